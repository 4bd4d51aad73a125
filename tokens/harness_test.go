package tokens

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testTTL     = 5 * time.Minute
	testRefresh = 4 * time.Minute
)

// errSigner is what a signer that is down says.
var errSigner = errors.New("the signer is down")

// A fakeMinter makes tokens without signing: the JWT is the room's name. It
// records what it was asked for.
type fakeMinter struct {
	takes time.Duration                // a signature
	down  func(now time.Time) bool     // nil is never
	seen  func(g Grant, now time.Time) // nil is nobody

	mu    sync.Mutex
	count int // signatures that were made
}

func (m *fakeMinter) Mint(g Grant) (Token, error) {
	if m.takes > 0 {
		time.Sleep(m.takes) // in a synctest bubble: no real time
	}
	now := time.Now()
	if m.down != nil && m.down(now) {
		return Token{}, errSigner
	}
	if m.seen != nil {
		m.seen(g, now)
	}
	m.mu.Lock()
	m.count++
	m.mu.Unlock()
	issued := time.Unix(now.Unix(), 0)
	return Token{JWT: g.Room, IssuedAt: issued, ExpiresAt: issued.Add(testTTL)}, nil
}

func (m *fakeMinter) signed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// A clockwork is a running schedule in a synctest bubble.
type clockwork struct {
	*Schedule
	t      *testing.T
	minter *fakeMinter
	lapses int // guarded by minter.mu
	late   time.Duration
}

// inBubble runs body with a schedule that is stopped, and waited for, at its end.
func inBubble(t *testing.T, config ScheduleConfig, minter *fakeMinter, body func(*clockwork)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{t: t, minter: minter} // the bubble's t, whose context belongs to it
		config.Minter = minter
		config.TTL, config.Refresh = testTTL, testRefresh
		config.Observe.Lapsed = func() {
			minter.mu.Lock()
			c.lapses++
			minter.mu.Unlock()
		}
		config.Observe.Lateness = func(d time.Duration) {
			minter.mu.Lock()
			c.late = max(c.late, d)
			minter.mu.Unlock()
		}
		s, err := NewSchedule(config)
		if err != nil {
			t.Fatal(err)
		}
		c.Schedule = s
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		body(c)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (c *clockwork) lapsed() int {
	c.minter.mu.Lock()
	defer c.minter.mu.Unlock()
	return c.lapses
}

// pass lets time go by, and everything that it brings along happen.
func (c *clockwork) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A peer takes pushes and proves at once that it has them, unless deaf.
type peer struct {
	*Membership
	deaf bool

	mu     sync.Mutex
	pushes []push
}

type push struct {
	at    time.Time
	token Token
}

func (p *peer) push(t Token) {
	p.mu.Lock()
	p.pushes = append(p.pushes, push{time.Now(), t})
	m, deaf := p.Membership, p.deaf
	p.mu.Unlock()
	if !deaf {
		m.Delivered(t)
	}
}

// is says which membership the peer has; no push comes before.
func (p *peer) is(m *Membership) {
	p.mu.Lock()
	p.Membership = m
	p.mu.Unlock()
}

func (p *peer) received() []push {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]push(nil), p.pushes...)
}

// add puts a peer on the schedule that proves its first token.
func (c *clockwork) add(g Grant) (*peer, Token) {
	c.t.Helper()
	p := &peer{}
	m, token, err := c.Add(c.t.Context(), g, p.push)
	if err != nil {
		c.t.Fatal(err)
	}
	p.is(m)
	m.Delivered(token)
	return p, token
}

func (c *clockwork) resume(g Grant, expiresAt time.Time) (*peer, Token) {
	c.t.Helper()
	p := &peer{}
	m, token, err := c.Resume(c.t.Context(), g, expiresAt, p.push)
	if err != nil {
		c.t.Fatal(err)
	}
	p.is(m)
	return p, token
}
