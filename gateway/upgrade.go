package gateway

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// Subprotocol is the WebSocket subprotocol of the wire contract.
const Subprotocol = "roompass.v1"

// upgrade serves GET /ws. The handler returns once the socket is made: a blocked
// handler would keep net/http's own buffers and goroutine for as long as it lasts.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	if !s.mayUpgrade(w, r, Subprotocol) {
		return
	}
	offered := offers(r)
	bearer, err := bearerOf(offered, s.limits.MessageBytes)
	if err != nil {
		s.turnAway(w, http.StatusBadRequest, err.Error())
		return
	}
	cookie, err := cookieOf(r, s.cookie, s.limits.MessageBytes)
	if err != nil {
		s.turnAway(w, http.StatusBadRequest, err.Error())
		return
	}
	address := s.proxies.client(r)
	if !s.addresses.acquire(address) {
		w.Header().Set("Retry-After", "5")
		s.turnAway(w, http.StatusTooManyRequests, "too many sockets from this address wait for their auth")
		return
	}
	c := &conn{
		server:  s,
		limiter: rate.NewLimiter(rate.Limit(s.limits.MessageRate), s.limits.MessageBurst),
		remote:  address,
		counted: true,
		offered: cmp.Or(bearer, cookie),
		ambient: bearer == "",
		header:  s.reviewed(r.Header),
	}
	c.out.limit = s.limits.QueueBytes
	hijacked := &hijacker{ResponseWriter: w, timeout: s.limits.Pong}
	ws, err := websocket.Accept(hijacked, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // refusesOrigin has looked, and exactly
		CompressionMode:    websocket.CompressionDisabled,
		OnPongReceived:     c.pong,
	})
	if err != nil {
		s.addresses.release(address)
		return // the library has answered
	}
	ws.SetReadLimit(int64(s.limits.MessageBytes))
	hijacked.wire.ws = ws
	c.ws, c.wire = ws, hijacked.wire
	_ = c.wire.SetReadDeadline(time.Now().Add(s.limits.AuthTimeout))
	s.running.Add(1)
	s.conns.add(c)
	go c.serve()
}

// mayUpgrade says whether a socket of a subprotocol may be made, and where not has
// answered.
func (s *Server) mayUpgrade(w http.ResponseWriter, r *http.Request, subprotocol string) bool {
	if s.isDraining() || !s.ready.Load() {
		w.Header().Set("Retry-After", "1")
		s.turnAway(w, http.StatusServiceUnavailable, "this pod takes no new sockets: try again for another one")
		return false
	}
	if why := s.refusesOrigin(r); why != "" {
		s.turnAway(w, http.StatusForbidden, why)
		return false
	}
	if name := credentialParameter(r); name != "" {
		s.turnAway(w, http.StatusBadRequest, "no credential belongs in the URL, where logs keep it: send what is in "+name+" as auth's credential, or as a "+bearerPrefix+" subprotocol")
		return false
	}
	if isUpgrade(r) && !slices.Contains(offers(r), subprotocol) {
		s.turnAway(w, http.StatusBadRequest, "offer the WebSocket subprotocol "+subprotocol)
		return false
	}
	return true
}

// turnAway refuses to make a socket.
func (s *Server) turnAway(w http.ResponseWriter, status int, detail string) {
	s.metrics.refusals.WithLabelValues("upgrade", strconv.Itoa(status)).Inc()
	refuse(w, status, detail)
}

func isUpgrade(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// offers returns the subprotocols that the client offered.
func offers(r *http.Request) (all []string) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(p))
		}
	}
	return all
}

// reviewed are the headers that the reviewer wants to see again; nil: there are none.
func (s *Server) reviewed(all http.Header) http.Header {
	if s.reviewer == nil {
		return nil
	}
	var kept http.Header
	for _, name := range s.reviewer.Headers() {
		if values := all[name]; len(values) > 0 {
			if kept == nil {
				kept = http.Header{}
			}
			// net/http's own are a part of an array with all headers' values.
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

// allowsOrigin keeps foreign pages from opening sockets in their visitors' names
// (cross-site WebSocket hijacking, CWE-1385). A page of our own host may, and
// those that the operator named; a client without an Origin is no browser.
func (s *Server) allowsOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	parsed, err := ParseOrigin(origin)
	if err != nil || parsed != strings.ToLower(origin) {
		return false
	}
	_, host, _ := strings.Cut(parsed, "://")
	return host == strings.ToLower(r.Host) || s.origins[parsed]
}
