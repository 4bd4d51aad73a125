package gateway

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/roompass/roompass/rooms"
)

// Operator is the operator listener's handler. What it answers is described in
// openapi.yaml, which it serves, and a test holds it to that.
func (s *Server) Operator(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	handlers := map[string]http.Handler{
		"/livez":        http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, "ok\n") }),
		"/readyz":       http.HandlerFunc(s.serveReadiness),
		"/metrics":      metrics,
		"/openapi.yaml": http.HandlerFunc(serveDescription),
	}
	if s.console != nil {
		handlers["/console"] = http.HandlerFunc(s.serveConsole)
		handlers["/console/"] = handlers["/console"]
	}
	for path, h := range handlers {
		mux.Handle("GET "+path, h)
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			refuseAs(w, wrongMethod(w, []string{http.MethodGet}))
		})
	}
	mux.Handle("/v1/", s.api())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuseAs(w, errNothingHere) })
	return hardened(s.ownPagesOnly(mux))
}

// An operation is one call of the operator's API.
type operation struct {
	pattern string // method and path, as openapi.yaml has them
	action  string // what the audit calls it
	needs   scope  // that the key must have

	// do returns what is answered as JSON; nil: there is nothing to say. It may
	// add to what the audit will tell of the call.
	do func(ctx context.Context, r *http.Request, a *act) (any, error)
}

// operations are all there are.
func (s *Server) operations() []operation {
	all := []operation{
		{"GET /v1/rooms", "list_rooms", scopeRead, s.listRooms},
		{"GET /v1/rooms/{room}", "read_room", scopeRead, s.readRoom},
		{"DELETE /v1/rooms/{room}/members/{member}", "kick", scopeWrite, s.kickMember},
		{"PATCH /v1/rooms/{room}/members/{member}", "change_rights", scopeWrite, s.changeMember},
		{"GET /v1/revocations", "list_revocations", scopeRead, s.listRevocations},
		{"POST /v1/revocations", "revoke", scopeWrite, s.revokeUser},
		{"DELETE /v1/revocations/{revocation}", "lift_revocation", scopeWrite, s.liftRevocation},
	}
	if s.janus != nil {
		all = append(all,
			operation{"GET /v1/janus", "list_janus", scopeRead, s.listJanus},
			operation{"POST /v1/janus/{server}/drain", "drain_janus", scopeWrite, s.drainJanus},
			operation{"DELETE /v1/janus/{server}/drain", "undrain_janus", scopeWrite, s.undrainJanus},
		)
	}
	if to, ok := s.rooms.(rooms.Announcer); ok {
		all = append(all, operation{"POST /v1/rooms/{room}/signal", "signal", scopeWrite, s.signalFrom(to)})
	}
	if cluster, ok := s.rooms.(rooms.Cluster); ok {
		all = append(all,
			operation{"GET /v1/pods", "list_pods", scopeRead, s.listPods(cluster)},
			operation{"POST /v1/pods/{pod}/drain", "drain_pod", scopeWrite, s.drainPod(cluster)},
			operation{"DELETE /v1/pods/{pod}/drain", "undrain_pod", scopeWrite, s.undrainPod(cluster)},
		)
	}
	return all
}

// failing is an operation that nobody can do, for whatever else is asked of the API.
func failing(why error) operation {
	return operation{"", "refuse", scopeRead, func(context.Context, *http.Request, *act) (any, error) { return nil, why }}
}

// operate does an operation for those who have a key for it, and audits it.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, op operation) {
	began := s.now()
	a := act{
		Action: op.action, Room: r.PathValue("room"), Member: r.PathValue("member"),
		By: byOperator, Result: resultOK, Remote: s.proxies.client(r),
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	var result any
	var err error
	if a.AdminKey, err = s.authorize(r, op.needs); err == nil {
		result, err = op.do(ctx, r, &a)
	}
	switch {
	case err != nil:
		known := asOperatorError(err)
		if known.Code == codeUnavailable {
			s.log.Warn("an operator's request failed", "action", op.action, "room", a.Room, "error", err)
		}
		challenge(w, r, known.Code)
		a.Result, a.Status = known.Code, statusOf(known.Code)
		refuseAs(w, known)
	case result == nil:
		a.Status = http.StatusNoContent
		w.WriteHeader(a.Status)
	default:
		a.Status = http.StatusOK
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(result)
	}
	a.Duration = s.now().Sub(began)
	if err != nil || op.needs != scopeRead || s.looks.isNew(a, s.now()) {
		s.audit(a)
	}
}

func (s *Server) serveReadiness(w http.ResponseWriter, _ *http.Request) {
	why := ""
	switch {
	case s.isDraining():
		why = "draining"
	case !s.ready.Load():
		why = "starting"
	case s.outage() > outageGrace:
		why = "the rooms' shared view is out of reach"
	case s.janus != nil && s.janus.Ready() != nil:
		why = s.janus.Ready().Error()
	default:
		answer(w, "ok\n")
		return
	}
	refuseAs(w, &requestError{codeUnavailable, why})
}
