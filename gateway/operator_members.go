package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// kickMember answers DELETE /v1/rooms/{room}/members/{member}.
func (s *Server) kickMember(ctx context.Context, r *http.Request, _ *act) (any, error) {
	room := r.PathValue("room")
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	return nil, s.rooms.Remove(ctx, room, r.PathValue("member"), rooms.ReasonKicked)
}

// signalFrom answers POST /v1/rooms/{room}/signal. A body may be as large as a
// client's message.
func (s *Server) signalFrom(outside rooms.Announcer) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, r *http.Request, a *act) (any, error) {
		room := r.PathValue("room")
		if err := checkRoom(room); err != nil {
			return nil, err
		}
		fields, err := s.readBody(r, "the body is one JSON object with data, and to where it is for one member", "to", "data")
		if err != nil {
			return nil, err
		}
		if raw, given := fields["to"]; given && (!readString(raw, &a.Member) || a.Member == "") {
			return nil, badRequest("to is a member's id: leave it out where the signal is for everybody")
		}
		if fields["data"] == nil {
			return nil, badRequest("data is missing")
		}
		return nil, outside.Announce(ctx, room, a.Member, fields["data"])
	}
}

// A changedRights is the answer to a change of what somebody may do.
type changedRights struct {
	Room      string  `json:"room"`
	Member    string  `json:"member"`
	User      *string `json:"user"`
	KickUsers *bool   `json:"kick_users,omitempty"`
	JoinHub   *bool   `json:"join_hub,omitempty"`
	Until     int64   `json:"until"`
	Degraded  bool    `json:"degraded,omitempty"`
}

// changeMember answers PATCH /v1/rooms/{room}/members/{member}. It is about the
// person: all members that a user has in the room, and those to come, so that
// nobody gets a right back by coming in anew. An anonymous person is the one member.
func (s *Server) changeMember(ctx context.Context, r *http.Request, a *act) (any, error) {
	const shape = "the body is one JSON object with kick_users or join_hub, or both, and for where it isn't until the session's end"
	room, id := r.PathValue("room"), r.PathValue("member")
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	fields, err := s.readBody(r, shape, "kick_users", "join_hub", "for")
	if err != nil {
		return nil, err
	}
	lasts := s.limits.SessionMax
	if raw, given := fields["for"]; given {
		if lasts, err = readFor(raw); err != nil {
			return nil, err
		}
	}
	to := changedRights{Room: room, Member: id}
	for name, at := range map[string]**bool{"kick_users": &to.KickUsers, "join_hub": &to.JoinHub} {
		if raw, given := fields[name]; given {
			value, ok := readBool(raw)
			if !ok {
				return nil, badRequest(name + " is true or false")
			}
			*at = &value
		}
	}
	if to.KickUsers == nil && to.JoinHub == nil {
		return nil, badRequest(shape)
	}
	member, err := s.findMember(ctx, room, id)
	if err != nil {
		return nil, err
	}
	to.User, a.Subject, a.Rights = asWireUser(member.User), member.User, rightsChange{to.JoinHub, to.KickUsers}
	about := policy.Rule{User: member.User, Room: room, Until: s.now().Add(lasts)}
	if member.User == "" {
		about.Member = id
	}
	to.Until = about.Until.UnixMilli()
	var rules []policy.Rule
	for kind, value := range map[policy.Kind]*bool{policy.KickUsers: to.KickUsers, policy.JoinHub: to.JoinHub} {
		if value != nil {
			about.Kind, about.Value = kind, *value
			rules = append(rules, about)
		}
	}
	if _, to.Degraded, err = s.decide(ctx, rules...); err != nil {
		return nil, err
	}
	return to, nil
}

// findMember returns a member of a room, on whichever pod it is.
func (s *Server) findMember(ctx context.Context, room, id string) (rooms.Member, error) {
	snapshot, err := s.rooms.Snapshot(ctx, room)
	if err != nil {
		return rooms.Member{}, err
	}
	i := slices.IndexFunc(snapshot.Members, func(m rooms.Member) bool { return m.ID == id })
	if i < 0 {
		return rooms.Member{}, rooms.ErrNoMember
	}
	return snapshot.Members[i], nil
}

// decide has rules count, on every pod. apart says that the others can't be told
// just now: they are when the shared view is back.
func (s *Server) decide(ctx context.Context, rules ...policy.Rule) (stand []policy.Rule, apart bool, _ error) {
	stand, err := s.rules.Set(ctx, rules...)
	if errors.Is(err, policy.ErrUnavailable) {
		s.log.Warn("a decision of the operator counts on this pod alone for now", "error", err)
		return stand, true, nil
	}
	return stand, false, err
}
