package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// takeCookie has upgrades prove who somebody is by the cookie of that name; "" is
// none. Where a browser proves that by itself, with a cookie or with what it
// remembers of HTTP authentication, it does so for whichever page opens the socket:
// only the Origin tells a foreign one (cross-site WebSocket hijacking, CWE-1385).
func (s *Server) takeCookie(name string) error {
	if name != "" && (&http.Cookie{Name: name}).Valid() != nil {
		return fmt.Errorf("--access-cookie %q is not the name of a cookie: those have letters, digits and - or _ (RFC 6265)", name)
	}
	s.cookie, s.ambient = name, name != ""
	if s.reviewer != nil {
		for _, header := range s.reviewer.Headers() {
			s.ambient = s.ambient || header == "Cookie" || header == "Authorization"
		}
	}
	switch {
	case s.ambient && len(s.origins) == 0 && name != "":
		return errors.New("--access-cookie needs --origin: a browser sends its cookies whichever page connects, so say which may")
	case s.ambient && len(s.origins) == 0:
		return errors.New("--origin is missing: a browser sends Cookie and Authorization whichever page connects, so say which may")
	}
	return nil
}

// refusesOrigin says why the page that asks for a socket may not have one, or "".
// Where browsers prove by themselves who somebody is, it has to be one that the
// operator named. Our own host isn't enough then: behind a proxy we can't know our
// own scheme, and a page over http may be anybody's who is on the way.
func (s *Server) refusesOrigin(r *http.Request) string {
	origins := r.Header.Values("Origin")
	switch {
	case !s.ambient && !s.allowsOrigin(r):
		return "pages of this origin may not connect: the operator allows them by --origin"
	case s.ambient && (len(origins) != 1 || !s.origins[origins[0]]):
		return "who connects has to send an Origin, and one that the operator allows by --origin: here that goes for our own host's pages too"
	}
	return ""
}

// cookieOf returns the credential in the cookie of a name, or "". As net/http
// reads it, quotes around a value are no part of it, and a value that RFC 6265
// doesn't allow isn't there. A page of a neighbouring domain can add one of the
// same name, and which comes first is the browser's affair (RFC 6265, section 8.6):
// so of two that differ none is taken.
func cookieOf(r *http.Request, name string, longest int) (string, error) {
	all := r.CookiesNamed(name)
	if len(all) == 0 {
		return "", nil
	}
	value := all[0].Value
	switch {
	case slices.ContainsFunc(all, func(c *http.Cookie) bool { return c.Value != value }):
		return "", errors.New("there are two cookies " + name + " with different values")
	case len(value) > longest:
		return "", errors.New("the cookie " + name + " is longer than " + strconv.Itoa(longest) + " bytes")
	}
	return value, nil
}
