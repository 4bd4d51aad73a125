package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/policy"
)

// Answers of the operator's API about revocations.
type revocationList struct {
	Revocations []wireRevocation `json:"revocations"`
	Next        string           `json:"next,omitempty"`
}

type wireRevocation struct {
	ID    string `json:"id"`
	User  string `json:"user"`
	Room  string `json:"room,omitempty"` // absent: every room
	Since int64  `json:"since"`
	Until int64  `json:"until"`
}

// A newRevocation is one that was just made.
type newRevocation struct {
	wireRevocation
	ExposureUntil int64 `json:"exposure_until"`
	Degraded      bool  `json:"degraded,omitempty"`
}

func asWireRevocation(r policy.Rule) wireRevocation {
	return wireRevocation{r.ID(), r.User, r.Room, r.Set.UnixMilli(), r.Until.UnixMilli()}
}

// revokeUser answers POST /v1/revocations.
//
// No pod knows of all tokens that others gave out, nor of those that were given to
// clients without a socket. But whatever was signed before now runs out within a
// TTL: until then media servers, which nobody tells, may let the person in.
func (s *Server) revokeUser(ctx context.Context, r *http.Request, a *act) (any, error) {
	const shape = "the body is one JSON object with user and for, and room where it is about one room"
	fields, err := s.readBody(r, shape, "user", "room", "for")
	if err != nil {
		return nil, err
	}
	rule := policy.Rule{Kind: policy.Revoked, Value: true}
	if !readString(fields["user"], &rule.User) || rule.User == "" {
		return nil, badRequest("user is a user's id, as the app knows it")
	}
	if len(rule.User) > access.LongestUser {
		return nil, badRequest("user is longer than " + strconv.Itoa(access.LongestUser) + " bytes")
	}
	if raw, given := fields["room"]; given {
		if !readString(raw, &rule.Room) {
			return nil, badRequest("room is a room's name: leave it out where it is about all of them")
		}
		if err := checkRoom(rule.Room); err != nil {
			return nil, err
		}
	}
	if fields["for"] == nil {
		return nil, badRequest(`for is missing: how long nobody lets the user in again, as in "12h"`)
	}
	lasts, err := readFor(fields["for"])
	if err != nil {
		return nil, err
	}
	a.Room, a.Subject = rule.Room, rule.User
	rule.Until = s.now().Add(lasts)
	stand, apart, err := s.decide(ctx, rule)
	if err != nil {
		return nil, err
	}
	a.Exposed = s.now().Add(s.ttl)
	return newRevocation{asWireRevocation(stand[0]), a.Exposed.UnixMilli(), apart}, nil
}

// listRevocations answers GET /v1/revocations, the newest first.
func (s *Server) listRevocations(_ context.Context, r *http.Request, _ *act) (any, error) {
	const kind = "revocations:"
	p, _, err := readPage(r, kind)
	if err != nil {
		return nil, err
	}
	all := s.revocations()
	part, next := cut(p, all,
		func(r policy.Rule) bool { return placeOfRevocation(r) < p.after },
		func(r policy.Rule) string { return asPlace(kind, placeOfRevocation(r)) })
	list := revocationList{Revocations: make([]wireRevocation, len(part)), Next: next}
	for i, r := range part {
		list.Revocations[i] = asWireRevocation(r)
	}
	return list, nil
}

// revocations are those in force, in the order of their places, the last first.
func (s *Server) revocations() []policy.Rule {
	all := slices.DeleteFunc(s.rules.List(), func(r policy.Rule) bool { return r.Kind != policy.Revoked })
	slices.SortFunc(all, func(a, b policy.Rule) int { return cmp.Compare(placeOfRevocation(b), placeOfRevocation(a)) })
	return all
}

func placeOfRevocation(r policy.Rule) string {
	return fmt.Sprintf("%016d %s", r.Set.UnixMilli(), r.ID())
}

// liftRevocation answers DELETE /v1/revocations/{revocation}: the user may come in
// again, as far as access lets them.
func (s *Server) liftRevocation(ctx context.Context, r *http.Request, a *act) (any, error) {
	id := r.PathValue("revocation")
	all := s.revocations()
	i := slices.IndexFunc(all, func(r policy.Rule) bool { return r.ID() == id })
	if i < 0 {
		return nil, &requestError{codeNoSuchRevocation, "there is no such revocation: it has run out, or was lifted"}
	}
	lifted := policy.Rule{Kind: policy.Revoked, User: all[i].User, Room: all[i].Room, Until: all[i].Until}
	a.Subject, a.Room = lifted.User, lifted.Room
	return s.lift(ctx, lifted)
}

// lift decides that something isn't so any more. There is something to say of it only
// where the other pods can't be told.
func (s *Server) lift(ctx context.Context, rule policy.Rule) (any, error) {
	_, apart, err := s.decide(ctx, rule)
	if err != nil || !apart {
		return nil, err
	}
	return notTold{true}, nil
}

// A notTold says that the other pods don't know yet of what was done.
type notTold struct {
	Degraded bool `json:"degraded"`
}
