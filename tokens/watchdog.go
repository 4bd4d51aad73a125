package tokens

import (
	"context"
	"time"
)

// look is how often the watchdog compares the clock with the first expiry.
const look = time.Second

// guard counts lapses, apart from the dispatcher and the signers that are there
// to prevent them. It looks at every membership only when the first of the
// delivered tokens would have expired had nothing been delivered since: about
// once a margin.
func (s *Schedule) guard(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.observeLapses(s.countLapses(wallNow()))
		}
	}
}

// countLapses finds the new lapses.
func (s *Schedule) countLapses(now time.Time) (lapses int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guarded.IsZero() || now.Before(s.guarded) {
		return 0
	}
	s.guarded = time.Time{}
	for _, g := range s.groups {
		for m := g.members; m != nil; m = m.next {
			if s.lapse(m, now) {
				lapses++
			}
			if m.delivered != 0 && !m.lapsed {
				s.guardFrom(s.usable(m))
			}
		}
	}
	return lapses
}

// LeastRemaining is for how much longer the token can be used that runs out first, of the newest that
// each membership is proven to hold; negative where it has run out. held is false where no membership
// holds one. It looks at all memberships, at less than a microsecond each.
func (s *Schedule) LeastRemaining() (left time.Duration, held bool) {
	now := wallNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	var first *Membership
	for _, g := range s.groups {
		for m := g.members; m != nil; m = m.next {
			if m.delivered != 0 && (first == nil || m.delivered < first.delivered) {
				first = m
			}
		}
	}
	if first == nil {
		return 0, false
	}
	return s.usable(first).Sub(now), true
}

// lapse says whether m's newest delivered token has expired, once for each.
func (s *Schedule) lapse(m *Membership, now time.Time) bool {
	if m.delivered == 0 || m.lapsed || now.Before(s.usable(m)) {
		return false
	}
	m.lapsed = true
	return true
}

// prove notes that m holds a token until expiresAt.
func (s *Schedule) prove(m *Membership, expiresAt time.Time) {
	m.delivered, m.lapsed = expiresAt.UnixNano(), false
	s.guardFrom(s.usable(m))
}

// usable is until when the newest delivered token of m can be used.
func (s *Schedule) usable(m *Membership) time.Time {
	return time.Unix(0, m.delivered).Add(-s.config.VerifierSkew)
}

// guardFrom has the watchdog look at the memberships at t, if not before.
func (s *Schedule) guardFrom(t time.Time) {
	if s.guarded.IsZero() || t.Before(s.guarded) {
		s.guarded = t
	}
}

func (s *Schedule) observeLapses(n int) {
	if s.config.Observe.Lapsed == nil {
		return
	}
	for range n {
		s.config.Observe.Lapsed()
	}
}
