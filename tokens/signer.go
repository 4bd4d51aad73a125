package tokens

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// clockStep is the longest that the dispatcher sleeps: its timer doesn't hear of it
// when the wall clock is set, or when the machine was asleep.
const clockStep = 5 * time.Second

// dispatch moves groups that are due to where the signers take them from. It has
// the schedule's one timer.
func (s *Schedule) dispatch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		wait, tell := s.release(wallNow())
		timer.Reset(wait)
		for _, nearlyDue := range tell {
			nearlyDue()
		}
	}
}

// release makes ready what is due. It returns how long until the next is, and whom to
// tell that they are nearly due.
func (s *Schedule) release(now time.Time) (wait time.Duration, tell []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := s.due.first(); g != nil; g = s.due.first() {
		if wait := g.look.Sub(now); wait > 0 {
			return min(wait, clockStep), tell
		}
		if !g.told {
			g.told = true
			for m := g.members; m != nil; m = m.next {
				if m.onDue != nil && !g.awaitedBy(m) {
					tell = append(tell, m.onDue)
				}
			}
			s.enqueueDue(g)
			continue
		}
		s.due.remove(g)
		if g.since.IsZero() {
			g.since = g.due
		}
		if g.use.IsZero() { // its members hold nothing: they are not last for that
			g.use = now.Add(s.margin())
		}
		s.ready.put(g)
		s.work.Signal()
	}
	return clockStep, tell
}

// margin is from when a successor is due, at the latest, to when its
// predecessor can't be used any more.
func (s *Schedule) margin() time.Duration {
	return s.config.TTL - s.config.Refresh - s.config.VerifierSkew
}

// sign is one signer: it signs and hands out until the schedule stops.
func (s *Schedule) sign() {
	var to []*Membership // kept from group to group for its memory
	for {
		g := s.take()
		if g == nil {
			return
		}
		to = s.renew(g, to[:0])
		clear(to)
	}
}

// take waits for the next group to sign for; nil when the schedule has stopped.
func (s *Schedule) take() *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.stopped {
			return nil
		}
		if g := s.next(wallNow()); g != nil {
			s.due.remove(g)
			s.ready.remove(g)
			s.firsts.remove(g)
			g.busy = true
			return g
		}
		s.work.Wait()
	}
}

// next chooses between a renewal and a first token. Somebody waits for a first token,
// so it goes first, as long as the most urgent renewal has more than half of its
// margin left. From then on renewals go first: however many come to join, they
// can't make those lapse who are in. A common order by deadline would not do:
// the first tokens of a long queue have deadlines in the past.
func (s *Schedule) next(now time.Time) *group {
	renewal, first := s.ready.first(), s.firsts.first()
	if first == nil || renewal != nil && !now.Before(renewal.use.Add(-s.margin()/2)) {
		return renewal
	}
	return first
}

// renew signs for g, unless its token is fresh, and hands the token out. It
// returns to with those who were pushed to appended.
func (s *Schedule) renew(g *group, to []*Membership) []*Membership {
	s.mu.Lock()
	token, fresh := g.token, s.fresh(g, wallNow())
	s.mu.Unlock()

	if !fresh {
		began := time.Now()
		var err error
		token, err = s.config.Minter.Mint(g.grant)
		if s.config.Observe.Signed != nil {
			s.config.Observe.Signed(time.Since(began), err)
		}
		if err != nil {
			s.failed(g, err)
			return to
		}
	}

	to, early, since, pushed := s.signed(g, token, to)
	for _, m := range to {
		m.take(g, token)
	}
	for _, nearlyDue := range early {
		nearlyDue()
	}
	if len(to) > 0 && !since.IsZero() && s.config.Observe.Lateness != nil {
		s.config.Observe.Lateness(max(0, wallNow().Sub(since)))
	}
	for _, w := range pushed {
		w.done <- result{token: token}
	}
	s.giveBack(g)
	return to
}

// signed notes g's new token, gives it to the callers that wait for it, and
// returns the members that it is to be pushed to: those who were given an
// older one or none, whom to tell now because they weren't before, since when it was
// due, and the callers that wait for pushes.
func (s *Schedule) signed(g *group, token Token, to []*Membership) (_ []*Membership, early []func(), since time.Time, pushed []*waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	expires := token.ExpiresAt.UnixNano()
	for _, w := range g.waiting {
		if w.push {
			pushed = append(pushed, w)
			continue
		}
		w.member.give(expires)
		w.done <- result{token: token}
	}
	for m := g.members; m != nil; m = m.next {
		if m.sent < expires {
			if m.onDue != nil && !g.told && !g.awaitedBy(m) {
				early = append(early, m.onDue)
			}
			m.give(expires)
			to = append(to, m)
		}
	}
	g.waiting = nil
	since = g.since
	g.token, g.since, g.failures, g.told = token, time.Time{}, 0, false
	g.use = token.ExpiresAt.Add(-s.config.VerifierSkew)
	// A minter whose tokens are shorter than the TTL must not keep a signer busy
	// for one group.
	g.due = later(s.dueAfter(token.ExpiresAt), wallNow().Add(s.config.Refresh/4))
	return to, early, since, pushed
}

// take gives a token to push, unless m is in another group by now.
func (m *Membership) take(g *group, token Token) {
	m.pushing.Lock()
	defer m.pushing.Unlock()
	m.schedule.mu.Lock()
	current := m.group == g
	m.schedule.mu.Unlock()
	if current {
		m.push(token)
	}
}

// The delays between attempts to sign, in a row. They are short beside the
// margin, so that a signer that is back for 10 s of 60 is not missed.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 2 * time.Second

	// lateRetry is the longest delay once the token is as good as gone. It goes
	// on even then: a late token still heals the client.
	lateRetry = 5 * time.Second

	// tooLate is how long before its expiry a successor has to be out to be of
	// use: it still has to get to the client.
	tooLate = 5 * time.Second
)

// failed tells those who wait, and plans the next attempt for those who need one.
func (s *Schedule) failed(g *group, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := wallNow()
	waiting := g.waiting
	g.waiting = nil
	for _, w := range waiting {
		w.done <- result{err: err}
		if !w.push { // Add and Resume give up with it
			s.part(w.member, err)
			s.count--
		}
	}
	g.busy = false
	if g.dropped {
		return
	}
	level := slog.LevelDebug
	if g.failures == 0 { // one warning a renewal: with the signer down there are thousands
		level = slog.LevelWarn
	}
	s.config.Logger.Log(context.Background(), level, "a token could not be signed; trying again",
		"room", g.grant.Room, "user", g.grant.User, "failures", g.failures+1, "error", err)
	// What was signed early, for somebody who came to join, isn't due yet.
	if !g.due.After(now) {
		if g.since.IsZero() {
			g.since = g.due
		}
		g.due = now.Add(s.backoff(g, now))
	}
	g.failures++
	s.enqueueDue(g)
}

// backoff is the delay to the next attempt, with jitter: what failed together is
// not tried again together.
func (s *Schedule) backoff(g *group, now time.Time) time.Duration {
	if !g.use.IsZero() && now.After(g.use.Add(-tooLate)) {
		return lastRetry + rand.N(lateRetry-lastRetry)
	}
	delay := min(firstRetry<<min(g.failures, 8), lastRetry)
	return delay - rand.N(delay/4)
}

// giveBack gives g back to its lanes when a signer has done with it.
func (s *Schedule) giveBack(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.busy = false
	if g.dropped {
		return
	}
	if len(g.waiting) > 0 {
		s.firsts.put(g)
		s.work.Signal()
	}
	s.enqueueDue(g)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
