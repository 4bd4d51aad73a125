package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

// Public is the public listener's handler: the socket, the client, the keys, and
// tokens for clients that have no socket.
func (s *Server) Public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", s.upgrade)
	if s.janus != nil {
		mux.HandleFunc("GET /janus", s.serveJanus)
	}
	for _, entry := range []string{"client.js", "janus.js", "react.js"} {
		mux.HandleFunc("GET /"+entry, s.serveClient)
	}
	mux.HandleFunc("GET /.well-known/jwks.json", serveKey("application/jwk-set+json", s.keys.JWKS))
	mux.HandleFunc("GET /public.pem", serveKey("application/x-pem-file", s.keys.PublicPEM))
	mux.HandleFunc("GET /public.der", serveKey("application/octet-stream", s.keys.PublicDER))
	mux.HandleFunc("POST /v1/token", s.serveToken)
	mux.HandleFunc("OPTIONS /v1/token", s.serveTokenPreflight)
	return hardened(mux)
}

// hardened keeps browsers from guessing what an answer is (CWE-430).
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}

// serveClient serves the client's entries, to pages of any origin.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, s.client, r.URL.Path)
}

// serveKey serves the public half of the signing key in one of its forms.
// Verifiers may keep it for minutes: a new key is in the set before it signs
// only if the operator gives it that long.
func serveKey(kind string, key func() ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := key()
		if errors.Is(err, tokens.ErrNoPublicKey) {
			refuse(w, http.StatusNotFound, "the signing key has no public key in this form")
			return
		}
		if err != nil {
			refuse(w, http.StatusInternalServerError, "the key can't be shown")
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, _ = w.Write(text)
	}
}

// allowCORS lets the pages that may open a socket read an answer too.
func (s *Server) allowCORS(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	if !s.allowsOrigin(r) {
		refuse(w, http.StatusForbidden, "pages of this origin may not ask: the operator allows them by --origin")
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	return true
}

func (s *Server) serveTokenPreflight(w http.ResponseWriter, r *http.Request) {
	if s.allowCORS(w, r) {
		w.Header().Set("Access-Control-Allow-Methods", "POST")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveToken answers POST /v1/token: one token for a client that has no socket.
// It goes through the schedule's signers, behind the refreshes that are nearer
// to their end.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !s.allowCORS(w, r) {
		return
	}
	if s.isDraining() || !s.ready.Load() {
		refuse(w, http.StatusServiceUnavailable, "this pod is going away: try again for another one")
		return
	}
	address := s.proxies.client(r)
	if !s.addresses.acquire(address) {
		refuse(w, http.StatusTooManyRequests, "too many requests from this address at once")
		return
	}
	defer s.addresses.release(address)
	// A body that comes byte by byte would hold its place for good; net/http takes
	// the deadline off again. A recorder has none.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestTimeout))
	credential, room, err := decodeTokenRequest(http.MaxBytesReader(w, r.Body, int64(s.limits.MessageBytes)))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Message)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	began := s.now()
	person, token, mintErr := s.mint(ctx, credential, room, address)
	s.audit(act{
		Action: "token", Room: room, User: person.User, Result: resultOf(mintErr), Remote: address, Duration: s.now().Sub(began),
	})
	switch {
	case errors.Is(mintErr, access.ErrDenied):
		reason := access.DenialReason(mintErr)
		s.log.Debug("a credential doesn't open a room", "room", room, "reason", reason)
		refuse(w, http.StatusForbidden, strings.TrimSuffix("this credential doesn't open this room: "+reason, ": "))
	case mintErr != nil:
		s.log.Warn("a token could not be had", "room", room, "error", mintErr)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "no token can be had just now: try again")
	default:
		s.metrics.pushes.Inc()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(asWireToken(token, s.now()))
	}
}

func decodeTokenRequest(body io.Reader) (credential, room string, _ *requestError) {
	text, err := io.ReadAll(body)
	if err != nil || !json.Valid(text) {
		return "", "", &requestError{codeBadRequest, "the body is one JSON object with credential and room"}
	}
	fields, err := objectFields(nil, text, "credential", "room")
	if err != nil {
		return "", "", &requestError{codeBadRequest, "the body is one JSON object with credential and room: " + err.Error()}
	}
	if err := cmp.Or(fields.readString("credential", &credential), fields.readString("room", &room)); err != nil {
		return "", "", asRequestError(err)
	}
	if err := checkRoom(room); err != nil {
		return "", "", asRequestError(err)
	}
	return credential, room, nil
}

func (s *Server) mint(ctx context.Context, credential, room, address string) (access.Person, tokens.Token, error) {
	request := access.Request{Reason: access.Connect, Credential: credential, Address: address}
	person, err := s.access.Authenticate(ctx, request)
	if err != nil {
		return person, tokens.Token{}, err
	}
	request.Reason, request.Person, request.Room = access.Token, person, room
	admission, err := s.admit(ctx, request)
	if err != nil {
		return person, tokens.Token{}, err
	}
	for {
		before := s.rules.On(person.User, "", room)
		if before.Revoked {
			return person, tokens.Token{}, errRevoked
		}
		grant := ruled(admission.Grant, before)
		member, token, err := s.schedule.Add(ctx, grant, func(tokens.Token) {})
		if err != nil {
			return person, tokens.Token{}, err
		}
		member.Remove()
		// What was decided while it waited for its signature counts.
		after := s.rules.On(person.User, "", room)
		if !after.Revoked && ruled(admission.Grant, after).Key() == grant.Key() {
			return person, token, nil
		}
	}
}
