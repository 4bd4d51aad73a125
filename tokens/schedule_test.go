package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenIsPushedBetween90And100PercentOfRefresh(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		var peers []*peer
		for i := range 500 {
			p, _ := c.add(Grant{User: fmt.Sprint(i), Room: "a"})
			peers = append(peers, p)
		}
		start := time.Now()
		c.pass(testRefresh)
		var sum time.Duration
		for i, p := range peers {
			got := p.received()
			if len(got) != 1 {
				t.Fatalf("peer %d: %d pushes in %v", i, len(got), testRefresh)
			}
			after := got[0].at.Sub(start)
			if after < testRefresh*9/10 {
				t.Errorf("peer %d: pushed after %v", i, after)
			}
			sum += after
		}
		// Evenly over the 24 s from 3:36 to 4:00: the mean is off by 1.6 s once in 10^6 runs.
		if mean := sum / time.Duration(len(peers)); (mean - testRefresh*95/100).Abs() > 2*time.Second {
			t.Errorf("pushed after %v on average", mean)
		}
	})
}

func TestIdenticalGrantsShareATokenAndItsRenewals(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		var peers []*peer
		for range 50 {
			p, _ := c.add(Grant{Room: "a", JoinHub: true})
			peers = append(peers, p)
			c.pass(time.Second)
		}
		if n := c.minter.signed(); n != 1 {
			t.Errorf("%d signatures for 50 first tokens with the same claims", n)
		}
		c.pass(testRefresh)
		if n := c.minter.signed(); n != 2 {
			t.Errorf("%d signatures after one renewal", n)
		}
		for i, p := range peers {
			if got := p.received(); len(got) != 1 || got[0].token != peers[0].received()[0].token {
				t.Errorf("peer %d got %v", i, got)
			}
		}
	})
}

func TestDifferentGrantsShareNothing(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		for _, g := range []Grant{
			{Room: "a"}, {Room: "b"}, {User: "1", Room: "a"}, {User: "a", Room: "1"}, {Room: "a", JoinHub: true},
			{Room: "a", KickUsers: true}, {Room: "a", Extra: map[string]any{"x": 1}}, {Room: "a", Extra: map[string]any{"x": "1"}},
		} {
			before := c.minter.signed()
			c.add(g)
			if c.minter.signed() != before+1 {
				t.Errorf("%+v was given somebody else's token", g)
			}
		}
	})
}

func TestOldSharedTokenIsRenewedForTheWholeGroup(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		first, old := c.add(Grant{Room: "a"})
		c.pass(testRefresh/2 + time.Second)
		_, young := c.add(Grant{Room: "a"})
		synctest.Wait()
		if !young.ExpiresAt.After(old.ExpiresAt) {
			t.Error("the second peer got a token that was past half of its refresh time")
		}
		if got := first.received(); len(got) != 1 || got[0].token != young {
			t.Errorf("the first peer got %v; want the second one's token", got)
		}
	})
}

func TestGrantIsSignedAsItWasWhenItWasAdded(t *testing.T) {
	var seen []string
	minter := &fakeMinter{seen: func(g Grant, _ time.Time) { seen = append(seen, g.Key()) }}
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		extra := map[string]any{"roles": []string{"speaker"}}
		c.add(Grant{Room: "a", Extra: extra})
		extra["roles"].([]string)[0] = "owner"
		extra["more"] = true
		c.pass(testRefresh)
	})
	if len(seen) != 2 || seen[0] != seen[1] {
		t.Errorf("signed %q", seen)
	}
}

func TestEarliestExpiryIsSignedFirst(t *testing.T) {
	var order []string
	minter := &fakeMinter{takes: time.Second}
	minter.seen = func(g Grant, _ time.Time) { order = append(order, g.User) }
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		// They all are due within a second, and one signer takes twenty for them.
		now := time.Now()
		expiries := []int{14, 3, 9, 19, 0, 11, 6, 17, 1, 12, 4, 8, 16, 2, 18, 5, 13, 7, 15, 10}
		for _, i := range expiries {
			c.resume(Grant{User: fmt.Sprint(i), Room: "a"}, now.Add(60*time.Second+time.Duration(i+1)*10*time.Millisecond))
		}
		c.pass(time.Minute)
	})
	// Which one finds the signer idle is up to chance.
	want := make([]string, 20)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	rest := slices.DeleteFunc(slices.Clone(want), func(u string) bool { return len(order) > 0 && u == order[0] })
	if len(order) != 20 || !slices.Equal(order[1:], rest) {
		t.Errorf("signed in the order %v; want the one that found the signer idle, then %v", order, rest)
	}
}

func TestFloodOfJoinsMakesNobodyInsideLapse(t *testing.T) {
	minter := &fakeMinter{takes: 100 * time.Millisecond}
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		for i := range 100 {
			c.add(Grant{User: fmt.Sprint("inside ", i), Room: "a"})
		}
		// Twice as many come as one signer can sign for, and wait for a minute each.
		flood, done := context.WithCancel(c.t.Context())
		joined := 0
		for i := range 20 * 900 {
			go func() {
				ctx, cancel := context.WithTimeout(flood, time.Minute)
				defer cancel()
				m, _, err := c.Add(ctx, Grant{User: fmt.Sprint("flood ", i), Room: "a"}, func(Token) {})
				if err == nil {
					m.Remove()
					minter.mu.Lock()
					joined++
					minter.mu.Unlock()
				}
			}()
			time.Sleep(50 * time.Millisecond)
		}
		done()
		synctest.Wait()
		if c.lapsed() != 0 {
			t.Errorf("%d lapses", c.lapsed())
		}
		if c.Len() != 100 {
			t.Errorf("%d memberships; want the 100 that are inside", c.Len())
		}
		if joined < 1000 {
			t.Errorf("%d came in; the renewals left time for thousands", joined)
		}
	})
}

func TestFirstTokenGoesAheadOfRenewalsThatHaveTime(t *testing.T) {
	minter := &fakeMinter{takes: 100 * time.Millisecond}
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		now := time.Now()
		for i := range 100 { // ten seconds of work
			c.resume(Grant{User: fmt.Sprint(i), Room: "a"}, now.Add(61*time.Second))
		}
		c.pass(2 * time.Second)
		began := time.Now()
		c.add(Grant{User: "new", Room: "a"})
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("waited %v for a first token", took)
		}
	})
}

func TestAddGivesUpWithItsContext(t *testing.T) {
	inBubble(t, ScheduleConfig{Signers: 1}, &fakeMinter{takes: time.Minute}, func(c *clockwork) {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.Add(ctx, Grant{Room: "a"}, func(Token) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if c.Len() != 0 {
			t.Error("who gave up is a member")
		}
		c.pass(time.Hour)
		if n := c.minter.signed(); n > 1 {
			t.Errorf("%d signatures for who gave up; the one that had begun would do", n)
		}
	})
}

func TestAddTellsOfTheSignersError(t *testing.T) {
	minter := &fakeMinter{down: func(time.Time) bool { return true }}
	inBubble(t, ScheduleConfig{}, minter, func(c *clockwork) {
		if _, _, err := c.Add(c.t.Context(), Grant{Room: "a"}, func(Token) {}); !errors.Is(err, errSigner) {
			t.Errorf("got %v", err)
		}
		if c.Len() != 0 {
			t.Error("who was refused is a member")
		}
	})
}

func TestAddRefusesAGrantThatCannotBeSigned(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		if _, _, err := c.Add(c.t.Context(), Grant{}, nil); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("no room: %v", err)
		}
		g := Grant{Room: "a", Extra: map[string]any{"exp": 1}}
		if _, _, err := c.Add(c.t.Context(), g, nil); !errors.Is(err, ErrReservedClaim) {
			t.Errorf("extra exp: %v", err)
		}
	})
}

func TestStoppedScheduleLetsNobodyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSchedule(ScheduleConfig{Minter: &fakeMinter{}, TTL: testTTL, Refresh: testRefresh})
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		go func() {
			_, _, err := s.Add(t.Context(), Grant{Room: "a"}, func(Token) {})
			waits <- err
		}()
		synctest.Wait()
		s.mu.Lock()
		s.stopped = true // so that no signer comes first
		s.mu.Unlock()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-waits; !errors.Is(err, ErrStopped) {
			t.Errorf("who waited got %v", err)
		}
		if _, _, err := s.Add(t.Context(), Grant{Room: "a"}, func(Token) {}); !errors.Is(err, ErrStopped) {
			t.Errorf("who came later got %v", err)
		}
	})
}

func TestScheduleConfigThatCannotWorkIsRefused(t *testing.T) {
	good := ScheduleConfig{Minter: &fakeMinter{}, TTL: testTTL, Refresh: testRefresh}
	if _, err := NewSchedule(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ScheduleConfig){
		"no minter":           func(c *ScheduleConfig) { c.Minter = nil },
		"no TTL":              func(c *ScheduleConfig) { c.TTL = 0 },
		"no refresh":          func(c *ScheduleConfig) { c.Refresh = 0 },
		"negative refresh":    func(c *ScheduleConfig) { c.Refresh = -1 },
		"refresh is TTL":      func(c *ScheduleConfig) { c.Refresh = c.TTL },
		"skew eats margin":    func(c *ScheduleConfig) { c.VerifierSkew = time.Minute },
		"negative skew":       func(c *ScheduleConfig) { c.VerifierSkew = -1 },
		"negative lead":       func(c *ScheduleConfig) { c.Lead = -1 },
		"lead eats refresh":   func(c *ScheduleConfig) { c.Lead = testRefresh * 9 / 10 },
		"fewer than 0 signer": func(c *ScheduleConfig) { c.Signers = -1 },
	} {
		config := good
		spoil(&config)
		if _, err := NewSchedule(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMembersThatWantToKnowAreToldALeadBeforeEachToken(t *testing.T) {
	const lead = 15 * time.Second
	inBubble(t, ScheduleConfig{Lead: lead}, &fakeMinter{}, func(c *clockwork) {
		wants, _ := c.add(Grant{User: "ann", Room: "a"})
		calls := make(chan time.Time, 100)
		wants.OnDue(func() { calls <- time.Now() })
		other, _ := c.add(Grant{User: "bob", Room: "a"})
		c.pass(10 * testRefresh)
		pushes := wants.received()
		if len(pushes) < 10 || len(calls) != len(pushes) {
			t.Fatalf("told %d times of %d tokens", len(calls), len(pushes))
		}
		for i := range pushes {
			if ahead := pushes[i].at.Sub(<-calls); ahead != lead {
				t.Errorf("told %v before token %d", ahead, i)
			}
		}
		if len(other.received()) < 10 {
			t.Error("who doesn't want to know gets no tokens")
		}
		wants.Remove()
		c.pass(2 * testRefresh)
		if len(calls) > 0 {
			t.Error("told after it was removed")
		}
	})
}

func TestNobodyIsToldOfATokenThatANewGrantNeeds(t *testing.T) {
	inBubble(t, ScheduleConfig{Lead: 15 * time.Second}, &fakeMinter{}, func(c *clockwork) {
		p, _ := c.add(Grant{User: "ann", Room: "a"})
		var told atomic.Int32
		p.OnDue(func() { told.Add(1) })
		if err := p.SetGrant(c.t.Context(), Grant{User: "ann", Room: "a", KickUsers: true}); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
		if n := len(p.received()); n != 1 || told.Load() != 0 {
			t.Errorf("%d tokens, told %d times", n, told.Load())
		}
		c.pass(testRefresh)
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times of the next one", n)
		}
	})
}
