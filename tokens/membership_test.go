package tokens

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestResumeWithAGoodTokenSignsNothing(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		start := time.Now()
		p, token := c.resume(Grant{User: "1", Room: "a"}, start.Add(3*time.Minute))
		if !token.IsZero() || c.minter.signed() != 0 {
			t.Fatalf("%v, after %d signatures", token, c.minter.signed())
		}
		// It was issued two minutes ago, so it is due within two more.
		c.pass(testRefresh*9/10 - 2*time.Minute - time.Millisecond)
		if c.minter.signed() != 0 {
			t.Error("signed before its time")
		}
		c.pass(testRefresh/10 + time.Millisecond)
		if got := p.received(); len(got) != 1 {
			t.Errorf("%d pushes by the time that its margin begins", len(got))
		}
		if c.lapsed() != 0 {
			t.Errorf("%d lapses", c.lapsed())
		}
	})
}

func TestResumeWithATokenInItsMarginIsAdd(t *testing.T) {
	for name, left := range map[string]time.Duration{
		"at the margin": testTTL - testRefresh, "expired": -time.Hour, "none": -100 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
				_, token := c.resume(Grant{Room: "a"}, time.Now().Add(left))
				if token.IsZero() || c.minter.signed() != 1 {
					t.Errorf("%v, after %d signatures", token, c.minter.signed())
				}
			})
		})
	}
}

func TestResumeBelievesNoTokenToLastLongerThanTheTTL(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		p, _ := c.resume(Grant{Room: "a"}, time.Now().Add(1000*time.Hour))
		c.pass(testRefresh)
		if len(p.received()) != 1 {
			t.Errorf("%d pushes in a refresh time", len(p.received()))
		}
	})
}

func TestResumedPeerWithAnOlderTokenCostsItsGroupNoSignature(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		other, young := c.add(Grant{Room: "a"})
		p, _ := c.resume(Grant{Room: "a"}, time.Now().Add(90*time.Second))
		c.pass(31 * time.Second) // its own is due; the group's is still young
		if got := p.received(); len(got) != 1 || got[0].token != young {
			t.Errorf("got %v; want the token that the group has", got)
		}
		if n := c.minter.signed(); n != 1 {
			t.Errorf("%d signatures", n)
		}
		if len(other.received()) != 0 {
			t.Error("who has that token got it again")
		}
	})
}

func TestRemovedMembershipIsNeverSignedForAgain(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		p, _ := c.add(Grant{Room: "a"})
		p.Remove()
		p.Remove()
		if c.Len() != 0 {
			t.Errorf("%d memberships", c.Len())
		}
		c.pass(time.Hour)
		if n := c.minter.signed(); n != 1 || len(p.received()) != 0 || c.lapsed() != 0 {
			t.Errorf("%d signatures, %d pushes, %d lapses", n, len(p.received()), c.lapsed())
		}
		if err := p.SetGrant(c.t.Context(), Grant{Room: "b"}); !errors.Is(err, ErrRemoved) {
			t.Errorf("SetGrant: %v", err)
		}
	})
}

func TestRemovalWhileSigningPushesNothing(t *testing.T) {
	inBubble(t, ScheduleConfig{Signers: 1}, &fakeMinter{takes: time.Second}, func(c *clockwork) {
		p, _ := c.add(Grant{User: "1", Room: "a"})
		stays, _ := c.add(Grant{User: "2", Room: "a"})
		for range 2 * testRefresh / time.Second { // until the renewal is being signed
			c.pass(time.Second / 2)
			c.mu.Lock()
			busy := p.group.busy
			c.mu.Unlock()
			if busy {
				break
			}
		}
		p.Remove()
		c.pass(testRefresh)
		if len(p.received()) != 0 {
			t.Error("a removed membership was pushed a token")
		}
		if len(stays.received()) == 0 {
			t.Error("the other one wasn't")
		}
	})
}

func TestRemoveMayBeCalledFromPush(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		added := make(chan *Membership, 1)
		pushes := 0
		m, _, err := c.Add(c.t.Context(), Grant{Room: "a"}, func(Token) { pushes++; (<-added).Remove() })
		if err != nil {
			t.Fatal(err)
		}
		added <- m
		c.pass(time.Hour)
		if pushes != 1 {
			t.Errorf("%d pushes", pushes)
		}
	})
}

func TestNewGrantIsPushedAtOnceAndTheOldOneNeverSignedAgain(t *testing.T) {
	type signature struct {
		kick bool
		at   time.Time
	}
	var signatures []signature
	minter := &fakeMinter{seen: func(g Grant, now time.Time) {
		signatures = append(signatures, signature{g.KickUsers, now})
	}}
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		p, _ := c.add(Grant{User: "1", Room: "a", KickUsers: true})
		c.pass(time.Minute)
		changed := time.Now()
		if err := p.SetGrant(c.t.Context(), Grant{User: "1", Room: "a"}); err != nil {
			t.Fatal(err)
		}
		if got := p.received(); len(got) != 1 || !got[0].at.Equal(changed) {
			t.Fatalf("got %v; want one push at once", got)
		}
		c.pass(time.Hour)
		for i, s := range signatures {
			if s.kick != (i == 0) {
				t.Errorf("signature %d, at %v, may kick: %v", i, s.at, s.kick)
			}
		}
		if len(p.received()) < 15 || c.lapsed() != 0 {
			t.Errorf("%d pushes in an hour, %d lapses", len(p.received()), c.lapsed())
		}
	})
}

func TestNewGrantThatOthersHaveIsPushedUnsigned(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		_, shared := c.add(Grant{Room: "a"})
		p, _ := c.add(Grant{Room: "a", KickUsers: true})
		if err := p.SetGrant(c.t.Context(), Grant{Room: "a"}); err != nil {
			t.Fatal(err)
		}
		if got := p.received(); len(got) != 1 || got[0].token != shared || c.minter.signed() != 2 {
			t.Errorf("got %v after %d signatures", got, c.minter.signed())
		}
	})
}

func TestNewGrantStandsThoughTheSignerIsDown(t *testing.T) {
	var down atomic.Bool
	minter := &fakeMinter{down: func(time.Time) bool { return down.Load() }}
	inBubble(t, ScheduleConfig{Signers: 1}, minter, func(c *clockwork) {
		p, _ := c.add(Grant{Room: "a", KickUsers: true})
		down.Store(true)
		if err := p.SetGrant(c.t.Context(), Grant{Room: "b"}); !errors.Is(err, errSigner) {
			t.Fatalf("got %v", err)
		}
		c.pass(10 * time.Second)
		down.Store(false)
		c.pass(lastRetry)
		if got := p.received(); len(got) != 1 || got[0].token.JWT != "b" {
			t.Errorf("got %v; want the new grant's token when the signer was back", got)
		}
	})
}

func TestSetGrantGivesUpWithItsContextAndTheGrantStands(t *testing.T) {
	inBubble(t, ScheduleConfig{Signers: 1}, &fakeMinter{takes: 10 * time.Second}, func(c *clockwork) {
		p, _ := c.add(Grant{Room: "a"})
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		if err := p.SetGrant(ctx, Grant{Room: "b"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		c.pass(10 * time.Second)
		if got := p.received(); len(got) != 1 || got[0].token.JWT != "b" {
			t.Errorf("got %v", got)
		}
	})
}

func TestInvalidNewGrantChangesNothing(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		p, _ := c.add(Grant{Room: "a"})
		if err := p.SetGrant(c.t.Context(), Grant{}); !errors.Is(err, ErrInvalidGrant) {
			t.Fatalf("got %v", err)
		}
		c.pass(testRefresh)
		if got := p.received(); len(got) != 1 || got[0].token.JWT != "a" {
			t.Errorf("got %v", got)
		}
	})
}

func TestLaterGrantTakesAnEarlierOnesPlace(t *testing.T) {
	inBubble(t, ScheduleConfig{Signers: 1}, &fakeMinter{takes: time.Second}, func(c *clockwork) {
		p, _ := c.add(Grant{Room: "a"})
		first := make(chan error)
		go func() { first <- p.SetGrant(c.t.Context(), Grant{Room: "b"}) }()
		synctest.Wait()
		if err := p.SetGrant(c.t.Context(), Grant{Room: "c"}); err != nil {
			t.Errorf("the later one: %v", err)
		}
		if err := <-first; !errors.Is(err, errSuperseded) {
			t.Errorf("the earlier one: %v", err)
		}
		if got := p.received(); len(got) != 1 || got[0].token.JWT != "c" {
			t.Errorf("got %v", got)
		}
	})
}
