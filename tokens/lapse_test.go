package tokens

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// thousands is how many memberships a day is simulated for.
const thousands = 3_000

func TestNoTokenLapsesInADay(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		var pushes int
		for i := range thousands {
			g := Grant{Room: fmt.Sprint("room ", i%100), JoinHub: true}
			if i%2 == 0 { // half of them are persons, half anonymous in 50 rooms
				g.User = fmt.Sprint(i)
			}
			var m *Membership
			m, token, err := c.Add(c.t.Context(), g, func(token Token) {
				c.minter.mu.Lock()
				pushes++
				c.minter.mu.Unlock()
				m.Delivered(token)
			})
			if err != nil {
				t.Fatal(err)
			}
			m.Delivered(token)
			if i%20 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		c.pass(24 * time.Hour)
		if c.lapsed() != 0 {
			t.Errorf("%d lapses", c.lapsed())
		}
		c.minter.mu.Lock()
		defer c.minter.mu.Unlock()
		if least := thousands * int(24*time.Hour/testRefresh); pushes < least {
			t.Errorf("%d pushes; a membership gets one every four minutes at the least, so %d together", pushes, least)
		}
		if c.late > 100*time.Millisecond {
			t.Errorf("a push was %v late with an idle signer", c.late)
		}
	})
}

func TestSignerThatIsDownFor50SecondsOfEach60MakesNoLapse(t *testing.T) {
	for phase := range 6 {
		start := time.Duration(phase) * 10 * time.Second
		t.Run(fmt.Sprint(start), func(t *testing.T) {
			minter := &fakeMinter{down: func(now time.Time) bool {
				return (time.Duration(now.UnixNano())+start)%time.Minute >= 10*time.Second
			}}
			inBubble(t, ScheduleConfig{}, minter, func(c *clockwork) {
				for i := 0; c.Len() < 200; i++ {
					p := &peer{}
					m, token, err := c.Add(c.t.Context(), Grant{User: fmt.Sprint(i), Room: "a"}, p.push)
					if err != nil { // nobody new comes in meanwhile
						c.pass(time.Second)
						continue
					}
					p.is(m)
					m.Delivered(token)
				}
				c.pass(3 * time.Hour)
				if c.lapsed() != 0 {
					t.Errorf("%d lapses", c.lapsed())
				}
			})
		})
	}
}

func TestSignerThatIsDownForGoodMakesOneLapseAMembership(t *testing.T) {
	var down atomic.Bool
	minter := &fakeMinter{down: func(time.Time) bool { return down.Load() }}
	inBubble(t, ScheduleConfig{}, minter, func(c *clockwork) {
		var peers []*peer
		for i := range 10 {
			p, _ := c.add(Grant{User: fmt.Sprint(i), Room: "a"})
			peers = append(peers, p)
		}
		down.Store(true)
		c.pass(testTTL - time.Second)
		if c.lapsed() != 0 {
			t.Errorf("%d lapses before any token expired", c.lapsed())
		}
		c.pass(time.Hour)
		if c.lapsed() != len(peers) {
			t.Errorf("%d lapses of %d memberships in an hour without a signer", c.lapsed(), len(peers))
		}

		// It goes on trying: a token that is late still heals the client.
		down.Store(false)
		c.pass(lateRetry)
		for i, p := range peers {
			if len(p.received()) != 1 {
				t.Errorf("membership %d was pushed %d tokens when the signer came back", i, len(p.received()))
			}
		}
		down.Store(true)
		c.pass(time.Hour)
		if c.lapsed() != 2*len(peers) {
			t.Errorf("%d lapses; the second token of each lapsed as well", c.lapsed())
		}
	})
}

func TestOnlyWhatIsProvenToBeHeldCanLapse(t *testing.T) {
	inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
		p := &peer{deaf: true}
		m, token, err := c.Add(c.t.Context(), Grant{Room: "a"}, p.push)
		if err != nil {
			t.Fatal(err)
		}
		c.pass(2 * testTTL)
		if c.lapsed() != 0 {
			t.Fatal("a lapse of a token that nobody is known to have got")
		}
		m.Delivered(p.received()[0].token)
		c.pass(testTTL)
		if c.lapsed() != 1 {
			t.Errorf("%d lapses of a peer that proved one token and no later one", c.lapsed())
		}
		m.Delivered(token) // an old one's proof, overtaken
		c.pass(testTTL)
		if c.lapsed() != 1 {
			t.Errorf("%d lapses; an older token's proof is no news", c.lapsed())
		}
	})
}

func TestLapseIsCountedEvenIfTheWatchdogHasNotLooked(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(*peer)
	}{
		{"removed", func(p *peer) { p.Remove() }},
		{"late proof", func(p *peer) { p.Delivered(p.received()[0].token) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, ScheduleConfig{}, &fakeMinter{}, func(c *clockwork) {
				c.pass(time.Second / 2) // between two looks
				p, token := c.add(Grant{Room: "a"})
				p.mu.Lock()
				p.deaf = true
				p.mu.Unlock()
				c.pass(time.Until(token.ExpiresAt.Add(-time.Millisecond)))
				if c.lapsed() != 0 {
					t.Fatal("counted before the token expired")
				}
				time.Sleep(time.Millisecond)
				test.then(p)
				if c.lapsed() != 1 {
					t.Errorf("%d lapses", c.lapsed())
				}
				c.pass(3 * time.Second)
				if c.lapsed() != 1 {
					t.Errorf("%d lapses a while later", c.lapsed())
				}
			})
		})
	}
}

func TestVerifierSkewMakesTokensExpireSooner(t *testing.T) {
	inBubble(t, ScheduleConfig{VerifierSkew: 20 * time.Second}, &fakeMinter{}, func(c *clockwork) {
		p := &peer{deaf: true}
		m, token, err := c.Add(c.t.Context(), Grant{Room: "a"}, p.push)
		if err != nil {
			t.Fatal(err)
		}
		m.Delivered(token)
		c.pass(testTTL - 22*time.Second)
		if c.lapsed() != 0 {
			t.Error("counted before the verifier's clock got there")
		}
		c.pass(3 * time.Second)
		if c.lapsed() != 1 {
			t.Errorf("%d lapses when the token was expired to the verifier", c.lapsed())
		}
	})
}

func TestLeastRemainingIsOfTheTokenThatRunsOutFirst(t *testing.T) {
	inBubble(t, ScheduleConfig{VerifierSkew: 10 * time.Second}, &fakeMinter{}, func(c *clockwork) {
		if left, held := c.LeastRemaining(); held {
			t.Errorf("%v left of a token that nobody holds", left)
		}
		peers := map[string]*Membership{}
		enter := func(user string) {
			m, token, err := c.Add(c.t.Context(), Grant{User: user, Room: "a"}, func(Token) {})
			if err != nil {
				t.Fatal(err)
			}
			if user != "deaf" { // to whom nothing is proven to have come: there is nothing to run out
				m.Delivered(token)
			}
			peers[user] = m
		}
		want := func(when string, is time.Duration) {
			t.Helper()
			if left, held := c.LeastRemaining(); !held || left != is {
				t.Errorf("%s: %v left, want %v", when, left, is)
			}
		}
		enter("deaf")
		c.pass(time.Minute)
		enter("ann")
		c.pass(time.Minute)
		enter("ben")
		want("Ann came first", testTTL-time.Minute-10*time.Second)
		peers["ann"].Remove()
		want("Ann has left", testTTL-10*time.Second)
		c.pass(testTTL)
		want("no push was proven to have come", -10*time.Second)
	})
}
