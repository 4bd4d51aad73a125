package gateway

import (
	"net/http"

	"github.com/roompass/roompass/gateway/janus"
)

// serveJanus serves GET /janus, the front of Janus. What keeps a socket of /ws from
// being made keeps this one.
func (s *Server) serveJanus(w http.ResponseWriter, r *http.Request) {
	if !s.mayUpgrade(w, r, janus.Subprotocol) {
		return
	}
	s.janus.ServeHTTP(w, r)
}
