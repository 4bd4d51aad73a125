package gateway

import (
	"net"
	"net/http"
	"strings"
)

// ownPagesOnly keeps the pages of other sites from asking the operator's
// listener by way of their visitor's browser, which may reach it where the page's
// author doesn't. It sets no CORS header, and refuses what a browser says comes
// from elsewhere, reading included (CSRF, CWE-352). A page whose name was made to
// point at this machine (DNS rebinding, CWE-350) is of the same origin to the
// browser: over loopback, where no other name leads here, only localhost and
// addresses are taken for a host. /livez and /readyz tell nothing, and probes
// send all kinds of hosts. The console tells nothing either, and a link may lead
// there: what it asks then comes from a page of ours.
func (s *Server) ownPagesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		why := ""
		switch {
		case r.URL.Path == "/livez" || r.URL.Path == "/readyz":
		case !isOwnPage(r) && !isConsole(r):
			why = "pages of other sites may not ask here: open the operator's own, or ask from outside of a browser"
		case !isOwnHost(r):
			why = "this listener is on loopback: ask by its address or as localhost; a proxy in front has to send such a Host"
		}
		if why == "" {
			next.ServeHTTP(w, r)
			return
		}
		refuseAs(w, &requestError{codeCrossSite, why})
		s.audit(act{
			Action: "refuse", By: byOperator, Result: codeCrossSite,
			Status: statusOf(codeCrossSite), Remote: s.proxies.client(r),
		})
	})
}

func isConsole(r *http.Request) bool {
	return r.URL.Path == "/console" || strings.HasPrefix(r.URL.Path, "/console/")
}

// isOwnPage says whether a request is from no page, or from one of this very listener.
// localhost with another port is the same site and another origin.
func isOwnPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	parsed, err := ParseOrigin(origin)
	_, host, _ := strings.Cut(parsed, "://")
	return err == nil && host == strings.ToLower(r.Host)
}

// isOwnHost says whether a request's host may be ours. A request without one is
// no browser's.
func isOwnHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || r.Host == "" || !isLoopback(local) {
		return true
	}
	host := strings.ToLower(strings.TrimSuffix(hostOf(r.Host), "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

func isLoopback(a net.Addr) bool {
	ip := net.ParseIP(hostOf(a.String()))
	return ip != nil && ip.IsLoopback()
}
