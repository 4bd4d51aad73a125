package tokens

import (
	"context"
	"time"
)

// watchdog counts lapses, apart from the schedule that is there to prevent them.
// It knows the earliest expiry that any peer may hold, and looks at all of them
// only when that has come.
type watchdog struct {
	next time.Time // zero: nothing is held
}

// add notes that somebody holds a token until expires. The schedule's lock is held.
func (w *watchdog) add(expires time.Time) {
	if w.next.IsZero() || expires.Before(w.next) {
		w.next = expires
	}
}

// look is how often the watchdog compares its clock.
const look = time.Second

func (s *Schedule) watchdog(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for range s.countLapses(time.Now()) {
			if s.cfg.Observe.Lapsed != nil {
				s.cfg.Observe.Lapsed()
			}
		}
	}
}

// countLapses counts, once a membership and token, those whose newest delivered
// token has expired: to a verifier whose clock is ahead by the skew.
func (s *Schedule) countLapses(now time.Time) (lapses int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = now.Add(s.cfg.VerifierSkew)
	if s.watch.next.IsZero() || !now.After(s.watch.next) {
		return 0
	}
	s.watch.next = time.Time{}
	for _, g := range s.groups {
		for m := range g.members {
			switch {
			case m.held.IsZero() || m.lapsed:
			case now.After(m.held):
				m.lapsed = true
				lapses++
			default:
				s.watch.add(m.held)
			}
		}
	}
	return lapses
}
