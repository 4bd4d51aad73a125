package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// rulingAtOnce is how many places are dealt with at a time when rules change: the
// rest of the pod has Redis and the signers to itself as well.
const rulingAtOnce = 32

// obey puts what operators decided, here or on another pod, into force on this one.
// It returns soon: what takes time is done beside, so that the next decision isn't
// late.
func (s *Server) obey(decided []policy.Rule) {
	var revoked, changed []policy.Rule
	for _, r := range decided {
		switch {
		case r.Kind == policy.Drained:
			if r.Target == s.life {
				s.obeyDrain(r.Value)
			}
		case r.Kind == policy.DrainedServer:
			s.janus.Drain(r.Target, r.Value)
		case r.Kind != policy.Revoked:
			changed = append(changed, r)
		case r.Value:
			revoked = append(revoked, r)
		}
	}
	if len(revoked) > 0 {
		s.evict(newSubjects(revoked))
	}
	if len(changed) > 0 {
		s.regrantAll(newSubjects(changed))
	}
}

// subjects are whom rules concern, by user, or by member where that is anonymous.
type subjects map[string][]policy.Rule

func newSubjects(rules []policy.Rule) subjects {
	all := subjects{}
	for _, r := range rules {
		all[r.User+"\x00"+r.Member] = append(all[r.User+"\x00"+r.Member], r)
	}
	return all
}

// concern says whether one of the rules does somebody in a room; the room ""
// stands for none.
func (all subjects) concern(user, member, room string) bool {
	key := user + "\x00"
	if user == "" {
		key += member
	}
	return slices.ContainsFunc(all[key], func(r policy.Rule) bool { return r.Concerns(user, member, room) })
}

// seats are the places on this pod that the rules concern.
func (s *Server) seats(of subjects) (found []*seat) {
	for _, c := range s.conns.all() {
		user := c.who().person.User
		for _, seat := range c.allSeats() {
			if of.concern(user, seat.member, seat.room) {
				found = append(found, seat)
			}
		}
	}
	return found
}

// evict puts out who was revoked: those with a socket here at once, and then those who
// linger here.
func (s *Server) evict(who subjects) {
	var left []func(context.Context) error
	for _, seat := range s.seats(who) {
		if forOthers := seat.putOut(byOperator); forOthers != nil {
			left = append(left, forOthers)
		}
	}
	for _, c := range s.conns.all() {
		is := c.who()
		if is.session != "" && who.concern(is.person.User, "", "") {
			c.close(CloseForbidden, string(rooms.ReasonRevoked))
		}
	}
	s.tasks.spawn(func(ctx context.Context) {
		each(ctx, left, func(ctx context.Context, forOthers func(context.Context) error) { _ = forOthers(ctx) })
		s.evictLingering(ctx, who)
	})
}

// evictLingering puts out who has no socket just now.
func (s *Server) evictLingering(ctx context.Context, who subjects) {
	holder, ok := s.rooms.(rooms.Holder)
	if !ok {
		return
	}
	type place struct {
		room string
		rooms.Member
	}
	var found []place
	holder.Held(func(room string, m rooms.Member) bool {
		if who.concern(m.User, m.ID, room) {
			found = append(found, place{room, m})
		}
		return true
	})
	each(ctx, found, func(ctx context.Context, p place) {
		began := s.now()
		err := s.rooms.Remove(ctx, p.room, p.ID, rooms.ReasonRevoked)
		if errors.Is(err, rooms.ErrNoMember) {
			return // it had a socket after all
		}
		s.audit(act{
			Action: "revoke", Room: p.room, Member: p.ID, By: byOperator, User: p.User, Session: p.Session,
			Result: resultOf(err), Duration: s.now().Sub(began),
		})
	})
}

// regrantAll has everybody whom the rules concern get a token with the rights that
// they have now.
func (s *Server) regrantAll(who subjects) {
	seats := s.seats(who)
	s.tasks.spawn(func(ctx context.Context) {
		each(ctx, seats, func(ctx context.Context, seat *seat) { _ = seat.regrant(ctx, nil, time.Time{}, byOperator) })
	})
}

// each does something about places, several at a time. What became of it is in the
// audit.
func each[T any](ctx context.Context, places []T, do func(context.Context, T)) {
	var group errgroup.Group
	group.SetLimit(rulingAtOnce)
	for _, place := range places {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			do(ctx, place)
			return nil
		})
	}
	_ = group.Wait()
}
