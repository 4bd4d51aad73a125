package gateway

import (
	"net/http"
	"strings"
)

// consolePolicy has the console run nothing, and ask nothing, but what this
// listener serves (Content Security Policy, level 3).
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// serveConsole serves the operator's console. The page itself tells nothing, and
// shows only what the API gives for the key that its reader types in. A browser
// that opens it has no key yet: it gets the page with status 401, and the page
// asks for one. A proxy in front that knows the operators may send the key along.
func (s *Server) serveConsole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", consolePolicy)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Referrer-Policy", "no-referrer")
	name, isPart := strings.CutPrefix(r.URL.Path, "/console/")
	if isPart && name != "" {
		http.ServeFileFS(w, r, s.console, name)
		return
	}
	status := http.StatusOK
	if _, err := s.authorize(r, scopeRead); err != nil {
		known := asOperatorError(err)
		status = statusOf(known.Code)
		challenge(w, r, known.Code)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Authorization")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(s.consolePage)
	}
}
