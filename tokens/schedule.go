package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

var (
	// ErrStopped says that the schedule's Run has ended: it signs nothing any more.
	ErrStopped = errors.New("the token schedule has stopped")

	// ErrRemoved says that a membership is off the schedule.
	ErrRemoved = errors.New("the membership was removed")

	errSuperseded = errors.New("a later grant took this one's place")
)

// A Minter signs grants; an [Issuer] is one. It is called from several goroutines.
type Minter interface {
	Mint(Grant) (Token, error)
}

// ScheduleConfig says when tokens are due, and who signs them.
type ScheduleConfig struct {
	Minter Minter

	TTL     time.Duration // from a token's iat to its exp, as Minter makes them
	Refresh time.Duration // from iat to the next token, at the latest; more than 0 and less than TTL

	// VerifierSkew is how far the verifier's clock may be ahead of ours: a token
	// counts as expired that much before its exp. Less than TTL - Refresh.
	VerifierSkew time.Duration

	// Lead is how long before a token is due those memberships are told that want to
	// be ([Membership.OnDue]). 0 for none; less than 0.9 of Refresh.
	Lead time.Duration

	Signers int          // goroutines that sign; 0 is GOMAXPROCS
	Logger  *slog.Logger // told of signatures that fail; nil discards
	Observe Observer
}

// An Observer is told of what happens, from the schedule's goroutines: its
// functions must not block, and each may be nil.
type Observer struct {
	Signed   func(took time.Duration, err error) // a signature was tried
	Lateness func(time.Duration)                 // a renewal's pushes are made so long after it was due
	Lapsed   func()                              // the newest token that a live membership is proven to hold has expired
}

// A Schedule says which memberships' tokens are due, signs them earliest expiry
// first, and hands them out. Memberships with identical grants share their
// tokens. It holds no goroutine or timer per membership. Its methods may be
// called concurrently.
type Schedule struct {
	config ScheduleConfig
	wake   chan struct{} // tells the dispatcher that a group is due before all others

	mu      sync.Mutex // guards what follows, and all groups and memberships
	groups  map[string]*group
	due     heap
	ready   heap
	firsts  heap
	work    *sync.Cond // ready or firsts got longer, or stopped was set
	stopped bool
	count   int       // of memberships
	guarded time.Time // no delivered token expires before; zero when none is delivered
}

// NewSchedule returns an error where the times leave no room for a renewal.
func NewSchedule(config ScheduleConfig) (*Schedule, error) {
	c := config
	switch {
	case c.Minter == nil:
		return nil, errors.New("token schedule: no minter to sign with")
	case c.TTL <= 0:
		return nil, fmt.Errorf("token schedule: a TTL of %v; it must be more than 0", c.TTL)
	case c.Refresh <= 0:
		return nil, fmt.Errorf("token schedule: a refresh after %v; it must be more than 0", c.Refresh)
	case c.Refresh >= c.TTL:
		return nil, fmt.Errorf("token schedule: a refresh after %v; it must be less than the TTL of %v, or each token would expire before its successor comes", c.Refresh, c.TTL)
	case c.VerifierSkew < 0 || c.VerifierSkew >= c.TTL-c.Refresh:
		return nil, fmt.Errorf("token schedule: a verifier skew of %v; it must be from 0 to less than the %v between refresh and expiry", c.VerifierSkew, c.TTL-c.Refresh)
	case c.Lead < 0 || float64(c.Lead) >= earliest*float64(c.Refresh):
		return nil, fmt.Errorf("token schedule: a lead of %v; it must be from 0 to less than %g of the %v after which a token is refreshed", c.Lead, earliest, c.Refresh)
	case c.Signers < 0:
		return nil, fmt.Errorf("token schedule: %d signers; give at least 1, or 0 for one a processor", c.Signers)
	}
	if c.Signers == 0 {
		c.Signers = runtime.GOMAXPROCS(0)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Schedule{
		config: c,
		wake:   make(chan struct{}, 1),
		groups: map[string]*group{},
		due:    heap{lane: laneDue, before: func(a, b *group) bool { return a.look.Before(b.look) }},
		ready:  heap{lane: laneReady, before: func(a, b *group) bool { return a.use.Before(b.use) }},
		firsts: heap{lane: laneFirst, before: func(a, b *group) bool { return a.asked.Before(b.asked) }},
	}
	s.work = sync.NewCond(&s.mu)
	return s, nil
}

// Run signs and pushes until ctx ends, waits for the goroutines that it started,
// and returns nil. Calls that wait for a token then return [ErrStopped]. A
// schedule runs once.
func (s *Schedule) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { s.dispatch(ctx) })
	running.Go(func() { s.guard(ctx) })
	for range s.config.Signers {
		running.Go(s.sign)
	}
	<-ctx.Done()
	s.mu.Lock()
	s.stopped = true
	s.work.Broadcast()
	s.mu.Unlock()
	running.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		for _, w := range g.waiting {
			w.done <- result{err: ErrStopped}
		}
		g.waiting = nil
	}
	return nil
}

// Signers is how many signatures are made at a time.
func (s *Schedule) Signers() int { return s.config.Signers }

// Len is the number of memberships.
func (s *Schedule) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Add gives a grant to the schedule and returns its first token: the one that
// others with an identical grant were given less than Refresh/2 ago, or one that is
// signed now, and that the others then get as well. Each later token is given to
// push, from a signer's goroutine, one at a time and in order; push must not
// block. It may be called before Add has returned.
//
// Before Run, Add waits for it. It returns [ErrInvalidGrant] or
// [ErrReservedClaim] for the grant, ctx's error, the signer's, or [ErrStopped];
// there is no membership then.
func (s *Schedule) Add(ctx context.Context, g Grant, push func(Token)) (*Membership, Token, error) {
	return s.Resume(ctx, g, time.Time{}, push)
}

// Resume is [Schedule.Add] for a peer that says it holds a token for g until
// expiresAt; more than a TTL from now counts as a TTL. If that is good for longer
// than the margin, TTL - Refresh, then nothing is signed: the token returned is
// zero, and the next push is scheduled by expiresAt.
func (s *Schedule) Resume(ctx context.Context, g Grant, expiresAt time.Time, push func(Token)) (*Membership, Token, error) {
	if err := g.Validate(); err != nil {
		return nil, Token{}, err
	}
	now := wallNow()
	if latest := now.Add(s.config.TTL); expiresAt.After(latest) {
		expiresAt = latest
	}
	m := &Membership{schedule: s, push: push}

	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil, Token{}, ErrStopped
	}
	group := s.join(m, g)
	s.count++
	if expiresAt.Sub(now) > s.config.TTL-s.config.Refresh {
		m.give(expiresAt.UnixNano())
		s.prove(m, expiresAt)
		s.hold(group, expiresAt)
		s.mu.Unlock()
		return m, Token{}, nil
	}
	if s.fresh(group, now) {
		m.give(group.token.ExpiresAt.UnixNano())
		token := group.token
		s.mu.Unlock()
		return m, token, nil
	}
	w := s.await(m, false, now)
	s.mu.Unlock()

	r := result{}
	select {
	case r = <-w.done:
	case <-ctx.Done():
		r = s.abandon(w, context.Cause(ctx))
	}
	if r.err != nil {
		m.Remove()
		return nil, Token{}, fmt.Errorf("first token: %w", r.err)
	}
	return m, r.token, nil
}

// join makes m a member of the group of g, which is made if need be.
func (s *Schedule) join(m *Membership, g Grant) *group {
	key := g.Key()
	to := s.groups[key]
	if to == nil {
		to = &group{grant: g.frozen(), key: key}
		s.groups[key] = to
	}
	to.link(m)
	return to
}

// part ends m's being in its group, and the group with its last member. Calls
// that wait for m's token get why.
func (s *Schedule) part(m *Membership, why error) {
	g := m.group
	m.unlink()
	kept := g.waiting[:0]
	for _, w := range g.waiting {
		if w.member == m {
			w.done <- result{err: why}
		} else {
			kept = append(kept, w)
		}
	}
	clear(g.waiting[len(kept):])
	g.waiting = kept
	if len(kept) == 0 {
		s.firsts.remove(g)
	}
	if g.members == nil {
		g.dropped = true
		s.due.remove(g)
		s.ready.remove(g)
		delete(s.groups, g.key)
	}
}

// await queues for a token of m's group.
func (s *Schedule) await(m *Membership, push bool, now time.Time) *waiter {
	g := m.group
	w := &waiter{member: m, push: push, done: make(chan result, 1)}
	if len(g.waiting) == 0 {
		g.asked = now
	}
	g.waiting = append(g.waiting, w)
	if !g.busy {
		s.firsts.put(g)
		s.work.Signal()
	}
	return w
}

// abandon ends w's waiting, unless the token has come in the meantime.
func (s *Schedule) abandon(w *waiter, why error) result {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case r := <-w.done:
		return r
	default:
	}
	if g := w.member.group; g != nil {
		g.leave(w)
		if len(g.waiting) == 0 {
			s.firsts.remove(g)
		}
	}
	return result{err: why}
}

// hold sees to it that g is renewed in time for a member that holds a token
// until expiresAt.
func (s *Schedule) hold(g *group, expiresAt time.Time) {
	if use := expiresAt.Add(-s.config.VerifierSkew); g.use.IsZero() || use.Before(g.use) {
		g.use = use
		if s.ready.has(g) {
			s.ready.put(g)
		}
	}
	s.plan(g, s.dueAfter(expiresAt))
}

// plan sets when to look after g next, unless that is sooner already.
func (s *Schedule) plan(g *group, at time.Time) {
	if !g.due.IsZero() && !at.Before(g.due) {
		return
	}
	g.due = at
	if !g.busy && !s.ready.has(g) {
		s.enqueueDue(g)
	}
}

// enqueueDue puts g where the dispatcher finds it.
func (s *Schedule) enqueueDue(g *group) {
	g.look = g.due
	if !g.told {
		g.look = g.due.Add(-s.config.Lead)
	}
	s.due.put(g)
	if s.due.first() == g {
		select {
		case s.wake <- struct{}{}:
		default: // it is told already
		}
	}
}

// earliest is the part of Refresh before which no token is renewed for its age.
// The jitter goes downwards only, so that clients that came together don't stay
// together, and none is late for it.
const earliest = 0.9

// dueAfter is when the successor of a token that expires at expiresAt is due.
func (s *Schedule) dueAfter(expiresAt time.Time) time.Time {
	issued := expiresAt.Add(-s.config.TTL)
	part := earliest + (1-earliest)*rand.Float64()
	return issued.Add(time.Duration(part * float64(s.config.Refresh)))
}

// fresh says whether g's token is young enough to be shared with who comes now.
func (s *Schedule) fresh(g *group, now time.Time) bool {
	return !g.token.IsZero() && now.Sub(g.token.IssuedAt) < s.config.Refresh/2
}

// wallNow is the time by the wall clock, which is what exp is compared with. The
// monotonic clock stands still while a machine sleeps; tokens expire meanwhile.
func wallNow() time.Time { return time.Now().Round(0) }
