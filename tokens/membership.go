package tokens

import (
	"context"
	"fmt"
	"time"
)

// Delivered says that the peer is proven to hold t. The watchdog counts by the
// newest such token: until the first is proven there is nothing to lapse.
func (m *Membership) Delivered(t Token) {
	s := m.schedule
	s.mu.Lock()
	lapsed := false
	if m.group != nil && t.ExpiresAt.UnixNano() > m.delivered {
		// Between two looks of the watchdog a token may expire and be replaced.
		lapsed = s.lapse(m, wallNow())
		s.prove(m, t.ExpiresAt)
	}
	s.mu.Unlock()
	if lapsed {
		s.observeLapses(1)
	}
}

// SetGrant changes what the membership is for. From the moment it is called the
// old grant is never signed again for it, and no token of the old grant is
// pushed after one of the new. It waits until the new grant's first token was
// given to push, which must therefore not call it.
//
// An invalid grant ([ErrInvalidGrant], [ErrReservedClaim]) changes nothing. With
// any other error the new grant stands, and its token is pushed as soon as it
// can be signed: ctx's, the signer's, [ErrRemoved], [ErrStopped], or that a later
// SetGrant took this one's place.
func (m *Membership) SetGrant(ctx context.Context, g Grant) error {
	if err := g.Validate(); err != nil {
		return err
	}
	s := m.schedule
	s.mu.Lock()
	if m.group == nil || s.stopped {
		err := ErrRemoved
		if s.stopped {
			err = ErrStopped
		}
		s.mu.Unlock()
		return err
	}
	now := wallNow()
	s.part(m, errSuperseded)
	group := s.join(m, g)
	m.sent = 0 // so that the group's token is pushed to it, whichever that is
	s.plan(group, now)
	w := s.await(m, true, now)
	s.mu.Unlock()

	r := result{}
	select {
	case r = <-w.done:
	case <-ctx.Done():
		r = s.abandon(w, context.Cause(ctx))
	}
	if r.err != nil {
		return fmt.Errorf("new grant's token: %w", r.err)
	}
	return nil
}

// Expires is when the last of all tokens runs out that the membership was given, or
// said that it holds; zero where there is none.
func (m *Membership) Expires() time.Time {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	if m.expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, m.expires)
}

// Token is the newest that was signed for the membership's grant; zero where there
// is none yet, or the membership was removed.
func (m *Membership) Token() Token {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	if m.group == nil {
		return Token{}
	}
	return m.group.token
}

// OnDue has nearlyDue called [ScheduleConfig.Lead] before each of the membership's next
// tokens is due, from the schedule's goroutines: it must not block. Where a token is
// signed sooner, because somebody else with the same grant needs one, it is called
// with that. The first token of a new grant isn't told of. Nil ends it.
func (m *Membership) OnDue(nearlyDue func()) {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	m.onDue = nearlyDue
}

// Remove takes the membership off the schedule; again is allowed. From the moment
// it is called no signature begins for it alone. When it has returned no push begins, but
// one that another goroutine was just beginning: Remove doesn't wait for that one, so
// that it may be called from push, and with locks held that push takes.
func (m *Membership) Remove() {
	s := m.schedule
	s.mu.Lock()
	lapsed := false
	if m.group != nil {
		lapsed = s.lapse(m, wallNow())
		s.part(m, ErrRemoved)
		s.count--
	}
	s.mu.Unlock()
	if lapsed {
		s.observeLapses(1)
	}
}
