package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// errRevoked denies what the operator's rules do.
var errRevoked = access.Denial{Reason: "your access was revoked"}

// ruled is a grant with the operator's rules over it.
func ruled(g tokens.Grant, v policy.Verdict) tokens.Grant {
	if v.KickUsers != nil {
		g.KickUsers = *v.KickUsers
	}
	if v.JoinHub != nil {
		g.JoinHub = *v.JoinHub
	}
	return g
}

// admit asks who decides whether somebody may be in a room. What the operator has
// decided is above that.
func (s *Server) admit(ctx context.Context, r access.Request) (access.Admission, error) {
	if s.rules.On(r.Person.User, memberID(r.Session, r.Room), r.Room).Revoked {
		return access.Admission{}, errRevoked
	}
	return s.access.Admit(ctx, r)
}

// grant is what the seat's person may do just now.
func (s *seat) grant() tokens.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted
}

// permit gives the seat its first grant, which is what access said with the
// operator's rules over it.
func (s *seat) permit(said tokens.Grant) tokens.Grant {
	s.said = said
	s.granted = ruled(said, s.verdict())
	return s.granted
}

// verdict is what the operator's rules say of the seat's person.
func (s *seat) verdict() policy.Verdict {
	return s.conn.server.rules.On(s.said.User, s.member, s.room)
}

// regrant takes what access says now, or with nil looks at the operator's rules
// again. What has changed reaches the client as a token at once, and the grant
// before is never signed again for it. by is who caused it.
func (s *seat) regrant(ctx context.Context, said *tokens.Grant, by string) error {
	s.granting.Lock() // so that the newest decision is also the last
	defer s.granting.Unlock()
	if s.verdict().Revoked {
		return s.revoke(ctx, by)
	}
	s.mu.Lock()
	before, saidBefore := s.granted, s.said
	if said != nil {
		s.said = *said
	}
	s.granted = ruled(s.said, s.verdict())
	now, saidNow := s.granted, s.said
	s.mu.Unlock()
	var kept error
	if saidNow.Key() != saidBefore.Key() {
		kept = s.keepRights(ctx)
	}
	if now.Key() == before.Key() {
		return kept
	}
	began := s.conn.server.now()
	// If it can't be signed just now, the schedule goes on trying.
	err := s.token.SetGrant(ctx, now)
	if errors.Is(err, tokens.ErrRemoved) {
		return nil // it has gone meanwhile
	}
	s.audit("grant", by, err, s.conn.server.now().Sub(began), act{Rights: rightsChange{&now.JoinHub, &now.KickUsers}})
	return errors.Join(kept, err)
}

// revoke ends a place for good, and its tokens before anything else. While the
// rooms' shared view is out of reach nobody can be put out, but everybody can leave.
func (s *seat) revoke(ctx context.Context, by string) error {
	c := s.conn
	exposed := s.token.Expires()
	s.token.Remove()
	began := c.server.now()
	err := c.server.rooms.Remove(ctx, s.room, s.member, rooms.ReasonRevoked)
	if errors.Is(err, rooms.ErrUnavailable) {
		err = s.leave(ctx)
		c.removed(s, string(rooms.ReasonRevoked), CloseForbidden)
	}
	s.audit("revoke", by, err, c.server.now().Sub(began), act{Exposed: exposed})
	return err
}

// deny ends a place that its person may not have any more.
func (s *seat) deny(ctx context.Context, by string) error {
	s.granting.Lock()
	defer s.granting.Unlock()
	return s.revoke(ctx, by)
}

// expire ends a place because the app hasn't confirmed it for too long. It may be
// had again when the app answers.
func (s *seat) expire(ctx context.Context) {
	c := s.conn
	exposed, began := s.token.Expires(), c.server.now()
	c.removed(s, reasonUnconfirmed, CloseTryLater) // first, for it is told another reason than the others
	err := c.server.rooms.Remove(ctx, s.room, s.member, rooms.ReasonLost)
	if errors.Is(err, rooms.ErrUnavailable) {
		err = s.leave(ctx)
	}
	s.audit("expire", byGateway, err, c.server.now().Sub(began), act{Exposed: exposed})
}

// leave ends a place by nobody's putting it out.
func (s *seat) leave(ctx context.Context) error {
	if in := s.membership(); in != nil {
		return in.Leave(ctx)
	}
	return nil
}

// rights are what a member's pods keep of a grant, so that whoever comes back on
// another one while the app can't be asked gets what it had.
type rights struct {
	JoinHub   bool           `json:"j,omitempty"`
	KickUsers bool           `json:"k,omitempty"`
	Extra     map[string]any `json:"x,omitempty"`
}

// asRights is a grant's part of rooms.Member.Rights; "" where it isn't asked
// about again, and the resume secret has all of it.
func (s *Server) asRights(g tokens.Grant) string {
	if s.reviewer == nil {
		return ""
	}
	text, err := json.Marshal(rights{g.JoinHub, g.KickUsers, g.Extra})
	if err != nil {
		return "" // it couldn't be signed either
	}
	return string(text)
}

// keepRights has the other pods know what access said last.
func (s *seat) keepRights(ctx context.Context) error {
	s.mu.Lock()
	in, text := s.in, s.conn.server.asRights(s.said)
	s.mu.Unlock()
	if in == nil || text == "" {
		return nil
	}
	return in.SetRights(ctx, text)
}

// renew has who came back get a token, and the other pods know, where it was told
// in was that access says something else now than it did when it was here.
func (s *seat) renew(ctx context.Context, before rooms.Snapshot, now string) error {
	for _, m := range before.Members {
		if m.ID == s.member && m.Rights != now {
			return errors.Join(s.keepRights(ctx), s.token.SetGrant(ctx, s.grant()))
		}
	}
	return nil
}

// lastWord is what access said last of somebody who comes back, where it can't be
// asked just now: they are in the room still, or linger there. It counts from
// when this pod heard the app last, whomever it asked about.
func (s *Server) lastWord(ctx context.Context, r access.Request) (access.Admission, time.Time, error) {
	answered := s.reviewer.Answered()
	if s.now().Sub(answered) >= s.reviewer.MaxStale() {
		return access.Admission{}, time.Time{}, errStale
	}
	snapshot, err := s.rooms.Snapshot(ctx, r.Room)
	if err != nil {
		return access.Admission{}, time.Time{}, err
	}
	member := memberID(r.Session, r.Room)
	for _, m := range snapshot.Members {
		var is rights
		if m.ID != member || json.Unmarshal([]byte(m.Rights), &is) != nil {
			continue
		}
		return access.Admission{Grant: tokens.Grant{
			User: r.Person.User, Room: r.Room, JoinHub: is.JoinHub, KickUsers: is.KickUsers, Extra: is.Extra,
		}}, answered, nil
	}
	return access.Admission{}, time.Time{}, rooms.ErrNoMember
}

// reasonUnconfirmed is why somebody is removed whom the app hasn't confirmed for too long.
const reasonUnconfirmed = "unconfirmed"

// errStale says that nobody has been able to tell for too long.
var errStale = errors.New("the app hasn't answered for longer than its last answer holds")
