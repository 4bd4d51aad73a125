package gateway

import (
	"context"
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

// grant is what the seat's person may do just now. A rule of the operator's may have
// run out since the newest token was signed.
func (s *seat) grant() tokens.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ruled(s.said, s.verdict())
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
// before is never signed again for it. by is who caused it; asked, when access was
// asked: an older answer than the last counts for nothing.
func (s *seat) regrant(ctx context.Context, said *tokens.Grant, asked time.Time, by string) error {
	news, err := s.decide(ctx, said, asked, by)
	if news {
		s.keepRightsSoon()
	}
	return err
}

// decide is regrant on this pod. It returns whether access says something new.
func (s *seat) decide(ctx context.Context, said *tokens.Grant, asked time.Time, by string) (news bool, _ error) {
	s.granting.Lock() // so that the newest decision is also the last
	defer s.granting.Unlock()
	verdict := s.verdict()
	if verdict.Revoked {
		return false, s.revoke(ctx, by)
	}
	defer s.watchRules()
	s.mu.Lock()
	before := s.granted
	if said != nil && !asked.Before(s.asked) {
		news = said.Key() != s.said.Key()
		s.said, s.asked = *said, asked
	}
	s.granted = ruled(s.said, verdict)
	now := s.granted
	s.mu.Unlock()
	if now.Key() == before.Key() {
		return news, nil
	}
	began := s.conn.server.now()
	// If it can't be signed just now, the schedule goes on trying.
	err := s.token.SetGrant(ctx, now)
	if errors.Is(err, tokens.ErrRemoved) {
		return false, nil // it has gone meanwhile
	}
	s.audit("grant", by, err, s.conn.server.now().Sub(began), act{Rights: rightsChange{&now.JoinHub, &now.KickUsers}})
	return news, err
}

// knowsBetter says whether access was asked after that time, and has answered.
func (s *seat) knowsBetter(asked time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return asked.Before(s.asked)
}

// watchRules has the operator's rules looked at before each token where they change
// what access says: they run out. Where access is asked each time, that does it.
func (s *seat) watchRules() {
	if s.review != nil {
		return
	}
	s.mu.Lock()
	apart := s.granted.Key() != s.said.Key()
	s.mu.Unlock()
	if !apart {
		s.token.OnDue(nil)
		return
	}
	s.token.OnDue(func() {
		s.conn.server.tasks.spawnBrief(func(ctx context.Context) {
			_ = s.regrant(ctx, nil, time.Time{}, byOperator) // what came of it is in the audit
		})
	})
}

// condemn ends the tokens of a place that is going to be revoked.
func (s *seat) condemn() {
	s.mu.Lock()
	s.condemned = true
	s.mu.Unlock()
	s.token.Remove()
}

// isRevoked says whether the place may not be had, or was about to be ended while it
// wasn't yet.
func (s *seat) isRevoked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condemned || s.verdict().Revoked
}

// putOut ends a place for good, at once: its tokens, and what the client hears. What is
// left to do for the others may take its time: that is returned. It is nil for a place
// that has ended, and for one that the client wasn't told of yet, which begin ends.
func (s *seat) putOut(by string) (forOthers func(context.Context) error) {
	exposed, began := s.token.Expires(), s.conn.server.now()
	s.condemn()
	if !s.conn.removed(s, string(rooms.ReasonRevoked), CloseForbidden) {
		return nil
	}
	return func(ctx context.Context) error {
		err := s.remove(ctx, rooms.ReasonRevoked)
		s.audit("revoke", by, err, s.conn.server.now().Sub(began), act{Exposed: exposed})
		return err
	}
}

// revoke is putOut with what is left to do.
func (s *seat) revoke(ctx context.Context, by string) error {
	if forOthers := s.putOut(by); forOthers != nil {
		return forOthers(ctx)
	}
	return nil
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
	exposed, began := s.token.Expires(), s.conn.server.now()
	if !s.conn.removed(s, reasonUnconfirmed, CloseTryLater) {
		return
	}
	err := s.remove(ctx, rooms.ReasonLost)
	s.audit("expire", byGateway, err, s.conn.server.now().Sub(began), act{Exposed: exposed})
}

// remove takes the member out of the room for everybody. Where the rooms' shared view
// doesn't have it put out, it leaves.
func (s *seat) remove(ctx context.Context, why rooms.Reason) error {
	err := s.conn.server.rooms.Remove(ctx, s.room, s.member, why)
	switch {
	case errors.Is(err, rooms.ErrNoMember):
		return nil
	case err != nil:
		return s.leave(ctx)
	}
	return nil
}

// leave ends a place by nobody's putting it out, also where ctx is over. If it can't be
// told, the rooms go on trying.
func (s *seat) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if in := s.membership(); in != nil {
		return in.Leave(ctx)
	}
	return nil
}

// reasonUnconfirmed is why somebody is removed whom the app hasn't confirmed for too long.
const reasonUnconfirmed = "unconfirmed"
