package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// A lastWord is what access said last of a member, where it is asked again and again.
// The member's pods keep it, as [rooms.Member]'s Rights, so that whoever comes back on
// another one while the app can't be asked has what it had.
type lastWord struct {
	JoinHub   bool                       `json:"j,omitempty"`
	KickUsers bool                       `json:"k,omitempty"`
	Extra     map[string]json.RawMessage `json:"x,omitempty"`

	// Since is when it was said, in ms, where the app was asked again in vain: it
	// isn't younger for who comes back. 0: the app has answered each time.
	Since int64 `json:"s,omitempty"`
}

// asRights is a grant as a member's Rights. since is zero where the app has answered.
// It is "" where nobody is asked again, and the resume secret has all there is to know.
func (s *Server) asRights(g tokens.Grant, since time.Time) string {
	if s.reviewer == nil {
		return ""
	}
	word := lastWord{JoinHub: g.JoinHub, KickUsers: g.KickUsers}
	if !since.IsZero() {
		word.Since = since.UnixMilli()
	}
	for name, value := range g.Extra {
		raw, err := json.Marshal(value)
		if err != nil {
			return "" // it couldn't be signed either
		}
		if word.Extra == nil {
			word.Extra = map[string]json.RawMessage{}
		}
		word.Extra[name] = raw
	}
	text, err := json.Marshal(word)
	if err != nil {
		return ""
	}
	return string(text)
}

// parseRights undoes asRights.
func parseRights(text, user, room string) (g tokens.Grant, since time.Time, ok bool) {
	var word lastWord
	if json.Unmarshal([]byte(text), &word) != nil {
		return tokens.Grant{}, time.Time{}, false
	}
	g = tokens.Grant{User: user, Room: room, JoinHub: word.JoinHub, KickUsers: word.KickUsers}
	if len(word.Extra) > 0 {
		g.Extra = map[string]any{}
		for name, raw := range word.Extra {
			g.Extra[name] = raw
		}
	}
	if word.Since != 0 {
		since = time.UnixMilli(word.Since)
	}
	return g, since, true
}

// keepRightsSoon is keepRights beside what goes on: it may take its time.
func (s *seat) keepRightsSoon() {
	if s.review == nil {
		return
	}
	s.conn.server.tasks.spawnBrief(func(ctx context.Context) {
		if err := s.keepRights(ctx); err != nil {
			s.conn.server.log.Debug("keep rights", "room", s.room, "member", s.member, "error", err)
		}
	})
}

// keepRights has the other pods know what access said last, and whether that is old.
func (s *seat) keepRights(ctx context.Context) error {
	if s.review == nil {
		return nil
	}
	s.review.keeping.Lock() // so that what is written last is the newest
	defer s.review.keeping.Unlock()
	s.mu.Lock()
	in, said := s.in, s.said
	s.mu.Unlock()
	if in == nil {
		return nil
	}
	return in.SetRights(ctx, s.conn.server.asRights(said, s.review.staleSince()))
}

// renew looks at what the other pods knew of who has come back, before; anew, where
// they didn't. Unless that is what access says now they are told, and the client gets
// a token though its own may be good.
func (s *seat) renew(ctx context.Context, before rooms.Snapshot, anew bool) error {
	if s.review == nil {
		return nil
	}
	i := slices.IndexFunc(before.Members, func(m rooms.Member) bool { return m.ID == s.member })
	if i < 0 {
		return nil
	}
	s.mu.Lock()
	said := s.said
	s.mu.Unlock()
	was, since, known := parseRights(before.Members[i].Rights, said.User, s.room)
	same := known && was.Key() == said.Key()
	if !same || !since.Equal(s.review.staleSince()) {
		s.keepRightsSoon()
	}
	if same && !anew {
		return nil
	}
	return s.token.SetGrant(ctx, s.grant())
}

// lastWord is what access said last of somebody who comes back, and when, where it
// can't be asked just now. They are in the room still, or linger there. Unless it is
// known when that was, it counts from when this pod heard the app last, whomever it
// asked about.
func (s *Server) lastWord(ctx context.Context, r access.Request) (tokens.Grant, time.Time, error) {
	snapshot, err := s.rooms.Snapshot(ctx, r.Room)
	if err != nil {
		return tokens.Grant{}, time.Time{}, err
	}
	member := memberID(r.Session, r.Room)
	for _, m := range snapshot.Members {
		if m.ID != member {
			continue
		}
		grant, at, ok := parseRights(m.Rights, r.Person.User, r.Room)
		if at.IsZero() {
			at = s.reviewer.Answered()
		}
		if !ok || s.now().Sub(at) >= s.reviewer.MaxStale() {
			return tokens.Grant{}, time.Time{}, errStale
		}
		return grant, at, nil
	}
	return tokens.Grant{}, time.Time{}, rooms.ErrNoMember
}

// errStale says that nobody has been able to tell for too long.
var errStale = errors.New("the app hasn't answered for longer than its last answer holds")
