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

// A Minter signs grants; an [Issuer] is one.
type Minter interface {
	Mint(Grant) (Token, error)
}

// An Observer hears what a [Schedule] does. Each of its functions may be nil;
// none may block.
type Observer struct {
	Signed   func(took time.Duration, err error)
	Lateness func(time.Duration) // from when a push was due to when it was made
	Lapsed   func()              // a live membership's newest delivered token expired
}

// ScheduleConfig says when tokens are due.
type ScheduleConfig struct {
	Minter       Minter
	TTL          time.Duration // from iat to exp
	Refresh      time.Duration // a new token at the latest so long after the last; less than TTL
	VerifierSkew time.Duration // how far the verifier's clock may be ahead: taken off the TTL's use
	Signers      int           // signatures at a time; 0: one a processor
	Logger       *slog.Logger  // nil: slog.Default()
	Observe      Observer
}

// Times of the schedule.
const (
	// jitter is the part of Refresh by which a token may be early: those who
	// came together don't stay together. It never makes one late.
	jitter = 0.1
	// firstWithin is the deadline that a first token queues with: joins wait
	// behind refreshes that are nearer to their end, and can't starve them.
	firstWithin = 5 * time.Second
	// A failed signature is tried again after firstRetry, and twice as long
	// each time up to lastRetry: many times within the margin.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// ErrSchedule is what a refused configuration wraps.
var ErrSchedule = errors.New("no schedule keeps tokens fresh by that")

// A Schedule says which memberships' tokens are due, signs them earliest expiry
// first, and hands them out. Memberships with the same grant share their tokens.
// It holds no goroutine or timer per membership. It is safe for concurrent use.
type Schedule struct {
	cfg  ScheduleConfig
	wake chan struct{} // the dispatcher has something new to look at

	mu     sync.Mutex // guards what follows, and all groups and memberships
	groups map[string]*group
	due    heapOf[*group] // by when the next signature is due
	ready  heapOf[*group] // due now, by when the newest token expires
	work   *sync.Cond     // ready isn't empty, or stopped
	stop   bool
	count  int
	watch  watchdog
}

// A group is the memberships with one grant. While it is signed for nobody else
// signs for it.
type group struct {
	grant   Grant
	key     string
	members map[*Membership]struct{}
	newest  Token     // zero before the first
	expires time.Time // of the oldest token that a member relies on, or the deadline of a first one
	at      time.Time // when the next signature is due, or is tried again
	owed    time.Time // when it was due at first
	state   groupState
	again   bool // somebody wants a signature that begins after now
	retry   time.Duration
	place   int // in its heap
}

type groupState uint8

const (
	idle    groupState = iota // in due
	waiting                   // in ready
	signing
	dropped
)

func (g *group) index() *int { return &g.place }

// A Membership is one peer on the schedule.
type Membership struct {
	schedule *Schedule
	group    *group
	push     func(Token)
	first    chan Token // non-nil until the first token
	held     time.Time  // when the newest token that the peer is proven to hold expires; zero: none
	lapsed   bool       // counted for held
	gone     bool       // removed
}

// NewSchedule wraps [ErrSchedule] where Refresh isn't positive and less than TTL
// without VerifierSkew.
func NewSchedule(cfg ScheduleConfig) (*Schedule, error) {
	switch {
	case cfg.Minter == nil:
		return nil, fmt.Errorf("%w: there is no minter", ErrSchedule)
	case cfg.Refresh <= 0:
		return nil, fmt.Errorf("%w: the refresh of %v is not above zero", ErrSchedule, cfg.Refresh)
	case cfg.VerifierSkew < 0:
		return nil, fmt.Errorf("%w: the verifier's skew of %v is below zero", ErrSchedule, cfg.VerifierSkew)
	case cfg.TTL <= cfg.Refresh+cfg.VerifierSkew:
		return nil, fmt.Errorf("%w: a life of %v has to be longer than the refresh of %v and the verifier's skew of %v together", ErrSchedule, cfg.TTL, cfg.Refresh, cfg.VerifierSkew)
	}
	if cfg.Signers <= 0 {
		cfg.Signers = runtime.GOMAXPROCS(0)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Schedule{cfg: cfg, wake: make(chan struct{}, 1), groups: map[string]*group{}}
	s.due.less = func(a, b *group) bool { return a.at.Before(b.at) }
	s.ready.less = func(a, b *group) bool { return a.expires.Before(b.expires) }
	s.work = sync.NewCond(&s.mu)
	return s, nil
}

// Run signs and pushes until ctx ends; it owns all goroutines and waits for
// them. It returns the context's error.
func (s *Schedule) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for range s.cfg.Signers {
		running.Go(s.sign)
	}
	running.Go(func() { s.watchdog(ctx) })
	s.dispatch(ctx)
	s.mu.Lock()
	s.stop = true
	s.work.Broadcast()
	s.mu.Unlock()
	running.Wait()
	return ctx.Err()
}

// Len is how many memberships there are.
func (s *Schedule) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Add gives a grant to the schedule and returns its first token: signed now, or
// the one that others with the same grant were given lately. push is called with
// each later one, with the schedule's lock held: it must neither block nor call
// back into the schedule. When ctx ends first the membership is
// off again.
func (s *Schedule) Add(ctx context.Context, g Grant, push func(Token)) (*Membership, Token, error) {
	return s.Resume(ctx, g, time.Time{}, push)
}

// Resume is Add for a peer that says it still holds a token until expires; later
// than a TTL from now counts as a TTL. While that is good for longer than the
// margin nothing is signed, the zero Token is returned, and the next push is
// scheduled by it.
func (s *Schedule) Resume(ctx context.Context, g Grant, expires time.Time, push func(Token)) (*Membership, Token, error) {
	if err := g.validate(); err != nil {
		return nil, Token{}, err
	}
	now := time.Now()
	if latest := now.Add(s.cfg.TTL); expires.After(latest) {
		expires = latest
	}
	m := &Membership{schedule: s, push: push}
	s.mu.Lock()
	grp := s.groupLocked(g)
	m.group = grp
	grp.members[m] = struct{}{}
	s.count++
	if expires.Sub(now) > s.margin() {
		m.held = expires
		s.watch.add(expires)
		s.relyLocked(grp, expires, now)
		s.mu.Unlock()
		return m, Token{}, nil
	}
	if t := grp.newest; !t.IsZero() && now.Sub(t.IssuedAt) < s.cfg.Refresh/2 {
		s.relyLocked(grp, t.ExpiresAt, now)
		s.mu.Unlock()
		return m, t, nil
	}
	first := make(chan Token, 1)
	m.first = first
	s.wantLocked(grp, now, now.Add(firstWithin))
	s.mu.Unlock()
	select {
	case t := <-first:
		return m, t, nil
	case <-ctx.Done():
		m.Remove()
		return nil, Token{}, fmt.Errorf("wait for a signature: %w", ctx.Err())
	}
}

// margin is what a token has left when its successor is due at the latest.
func (s *Schedule) margin() time.Duration { return s.cfg.TTL - s.cfg.Refresh }

func (s *Schedule) groupLocked(g Grant) *group {
	key := g.Key()
	if grp, ok := s.groups[key]; ok {
		return grp
	}
	grp := &group{grant: g.frozen(), key: key, members: map[*Membership]struct{}{}, place: -1}
	s.groups[key] = grp
	return grp
}

// relyLocked notes that a member relies on a token until expires: the group's
// next signature is due in time for it.
func (s *Schedule) relyLocked(g *group, expires, now time.Time) {
	early := time.Duration(rand.Float64() * jitter * float64(s.cfg.Refresh))
	at := expires.Add(-s.margin() - s.cfg.VerifierSkew - early)
	switch g.state {
	case idle:
		if g.place >= 0 && !at.Before(g.at) {
			return // somebody's is due sooner
		}
		g.at, g.owed, g.expires = at, at, expires
		s.due.set(g)
		s.wakeLocked(g)
	case waiting:
		if expires.Before(g.expires) {
			g.expires = expires
			s.ready.set(g)
		}
	case signing: // the token on its way is newer than this one
	}
}

// wantLocked asks for a signature now, by a deadline.
func (s *Schedule) wantLocked(g *group, now, by time.Time) {
	switch g.state {
	case idle:
		if g.place >= 0 {
			s.due.remove(g)
			if g.expires.Before(by) {
				by = g.expires
			}
		}
		g.at, g.owed, g.expires, g.state = now, now, by, waiting
		s.ready.set(g)
		s.work.Signal()
	case waiting:
		if by.Before(g.expires) {
			g.expires = by
			s.ready.set(g)
		}
	case signing: // its outcome is for this member too
	}
}

// wakeLocked tells the dispatcher when g is now the first that is due.
func (s *Schedule) wakeLocked(g *group) {
	if g.place == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// dispatch moves groups from due to ready when it is time, with one timer.
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
		s.mu.Lock()
		now := time.Now()
		for s.due.len() > 0 && !s.due.first().at.After(now) {
			g := s.due.first()
			s.due.remove(g)
			g.state = waiting
			s.ready.set(g)
			s.work.Signal()
		}
		wait := time.Hour
		if s.due.len() > 0 {
			wait = s.due.first().at.Sub(now)
		}
		s.mu.Unlock()
		timer.Reset(wait)
	}
}

// sign is one signer: it takes what expires first, signs it and hands it out.
func (s *Schedule) sign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for s.ready.len() == 0 && !s.stop {
			s.work.Wait()
		}
		if s.stop {
			return
		}
		g := s.ready.first()
		s.ready.remove(g)
		g.state = signing
		s.mu.Unlock()
		started := time.Now()
		t, err := s.cfg.Minter.Mint(g.grant)
		if s.cfg.Observe.Signed != nil {
			s.cfg.Observe.Signed(time.Since(started), err)
		}
		s.mu.Lock()
		if err != nil {
			s.failedLocked(g, err)
		} else {
			s.signedLocked(g, t)
		}
	}
}

// failedLocked puts a group back. It is tried again also after its tokens have
// expired: a later one still heals its members.
func (s *Schedule) failedLocked(g *group, err error) {
	if g.state == dropped {
		return
	}
	g.retry = min(max(2*g.retry, firstRetry), lastRetry)
	s.cfg.Logger.Error("a token could not be signed, and is tried again", "room", g.grant.Room, "user", g.grant.User, "error", err)
	g.state = idle
	g.at = time.Now().Add(g.retry - time.Duration(rand.Float64()*float64(g.retry)/4))
	s.due.set(g)
	s.wakeLocked(g)
}

// signedLocked hands a token to everybody in the group.
func (s *Schedule) signedLocked(g *group, t Token) {
	if g.state == dropped {
		return
	}
	now := time.Now()
	g.retry, g.newest, g.state = 0, t, idle
	late, pushed := now.Sub(g.owed), false
	for m := range g.members {
		if m.first != nil {
			m.first <- t
			m.first = nil
			continue
		}
		m.push(t)
		pushed = true
	}
	if pushed && s.cfg.Observe.Lateness != nil {
		s.cfg.Observe.Lateness(max(0, late))
	}
	s.relyLocked(g, t.ExpiresAt, now)
}

// Delivered says that the peer is proven to hold t: the watchdog counts by the
// newest such token.
func (m *Membership) Delivered(t Token) {
	s := m.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.gone || !t.ExpiresAt.After(m.held) {
		return
	}
	m.held, m.lapsed = t.ExpiresAt, false
	s.watch.add(t.ExpiresAt)
}

// SetGrant changes what the peer may do. The old grant is never signed again for
// it; a token for the new one is signed and pushed at once.
func (m *Membership) SetGrant(_ context.Context, g Grant) error {
	if err := g.validate(); err != nil {
		return err
	}
	s := m.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.gone {
		return nil
	}
	s.leaveLocked(m)
	m.group = s.groupLocked(g)
	m.group.members[m] = struct{}{}
	if m.group.state == signing {
		return nil
	}
	now := time.Now()
	s.wantLocked(m.group, now, now.Add(firstWithin))
	return nil
}

// Remove takes the peer off the schedule: when it has returned, nothing will be
// signed for it alone, and push isn't called any more.
func (m *Membership) Remove() {
	s := m.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.gone {
		return
	}
	m.gone = true
	s.count--
	s.leaveLocked(m)
}

// leaveLocked takes a membership out of its group, and the group away with its last.
func (s *Schedule) leaveLocked(m *Membership) {
	g := m.group
	delete(g.members, m)
	if len(g.members) > 0 {
		return
	}
	switch g.state {
	case idle:
		if g.place >= 0 {
			s.due.remove(g)
		}
	case waiting:
		s.ready.remove(g)
	}
	g.state = dropped
	delete(s.groups, g.key)
}
