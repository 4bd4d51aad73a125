package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// api serves all of /v1. Whatever isn't there, or hasn't the method, wants a key
// too. [http.ServeMux] would route as well, but for a segment that is an encoded
// slash and nothing more, which it takes for the path's end; and a room may be
// called so.
func (s *Server) api() http.Handler {
	operations := s.operations()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var others []string
		for _, op := range operations {
			method, path, _ := strings.Cut(op.pattern, " ")
			values, ok := match(path, r.URL.EscapedPath())
			if !ok {
				continue
			}
			for name, value := range values {
				r.SetPathValue(name, value)
			}
			if method == r.Method || method == http.MethodGet && r.Method == http.MethodHead {
				s.operate(w, r, op)
				return
			}
			others = append(others, method)
		}
		why := errNothingHere
		if len(others) > 0 {
			why = wrongMethod(w, others)
		}
		s.operate(w, r, failing(why))
	})
}

// match says whether a path, percent-encoded, is of a pattern's form, with the
// values of the segments that the pattern has in braces.
func match(pattern, path string) (values map[string]string, ok bool) {
	forms, segments := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(forms) != len(segments) {
		return nil, false
	}
	values = map[string]string{}
	for i, form := range forms {
		value, err := url.PathUnescape(segments[i])
		name, named := strings.CutPrefix(form, "{")
		switch {
		case err != nil, !named && value != form, named && value == "":
			return nil, false
		case named:
			values[strings.TrimSuffix(name, "}")] = value
		}
	}
	return values, true
}

var errNothingHere = &requestError{codeNotFound, "there is nothing at this path: /openapi.yaml says what there is"}

// wrongMethod is the error where a path has other methods only (RFC 9110, section 15.5.6).
func wrongMethod(w http.ResponseWriter, others []string) *requestError {
	if slices.Contains(others, http.MethodGet) {
		others = append(others, http.MethodHead)
	}
	allow := strings.Join(others, ", ")
	w.Header().Set("Allow", allow)
	return &requestError{codeMethodNotAllowed, "this path has other methods: " + allow}
}
