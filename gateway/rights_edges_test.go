package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

func TestARightThatWasGivenForAMinuteEndsWithIt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c, _ := p.enter("")
		member := c.ask("join", message{"room": "r"}).str("member")
		p.change("r", member, `{"kick_users":true,"for":"1m"}`)
		if !p.claims(c.want("token")).KickUsers {
			t.Fatal("not given")
		}
		time.Sleep(time.Minute + time.Second)
		c.pending()
		late := 0
		for range 5 {
			if p.claims(c.want("token")).KickUsers {
				late++
			}
		}
		if late > 0 {
			t.Errorf("%d of 5 tokens that were signed after it had run out have it", late)
		}
		c.bye()
	})
}

// betweenRules have a rule arrive just after the nth look at what counts: while the token waits
// for its signature.
type betweenRules struct {
	policy.Rules
	looks atomic.Int32
	nth   int32
	rules []policy.Rule
}

func (b *betweenRules) On(user, member, room string) policy.Verdict {
	v := b.Rules.On(user, member, room)
	if room != "" && b.looks.Add(1) == b.nth {
		_, _ = b.Rules.Set(context.Background(), b.rules...)
	}
	return v
}

func TestARightThatIsTakenWhileATokenWaitsIsNotHandedOut(t *testing.T) {
	for _, how := range []string{"POST /v1/token", "join"} {
		t.Run(how, func(t *testing.T) {
			rules := &betweenRules{nth: 2}
			inBubble(t, func(c *Config) {
				rules.Rules = policy.NewLocal(time.Now)
				rules.rules = []policy.Rule{{Kind: policy.KickUsers, User: "ann", Room: "r", Until: time.Now().Add(time.Hour)}}
				c.Rules = rules
			}, func(t *testing.T, p *pod) {
				var token message
				if how == "join" {
					ann, _ := p.enter("ann")
					token = ann.ask("join", message{"room": "r"}).object("token")
					defer ann.bye()
				} else {
					_, token = p.mint("ann", "r")
				}
				if p.claims(token).KickUsers {
					t.Error("signed and handed out after the right was taken")
				}
			})
		})
	}
}

// slowJoin are rooms that take their time to let somebody in.
type slowJoin struct {
	rooms.Rooms
	took time.Duration
}

func (s slowJoin) Join(ctx context.Context, room string, m rooms.Member, f rooms.Follower) (rooms.Membership, rooms.Snapshot, error) {
	time.Sleep(s.took)
	return s.Rooms.Join(context.WithoutCancel(ctx), room, m, f)
}

func TestWhoIsRevokedAndLetInAgainWhileItJoinsHasTokens(t *testing.T) {
	inBubble(t, func(c *Config) { c.Rooms = slowJoin{c.Rooms, 2 * time.Second} }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.send(message{"type": "join", "room": "r"})
		time.Sleep(time.Second)
		p.revoke(`{"user":"ann","room":"r","for":500}`)
		time.Sleep(9 * time.Minute)
		tokens := 0
		in := false
		for _, m := range ann.pending() {
			in = in || m["type"] == "joined"
			if m["type"] == "token" {
				tokens++
			}
		}
		if in && tokens == 0 {
			t.Error("she is in, and had no token for nine minutes")
		}
		ann.bye()
	})
}

func TestAJoinThatFailsAtItsEndLeavesNoPlace(t *testing.T) {
	rules := &betweenRules{nth: 2} // a right is taken while the join's token is signed
	inBubble(t, func(c *Config) {
		rules.Rules = policy.NewLocal(time.Now)
		rules.rules = []policy.Rule{{Kind: policy.KickUsers, User: "ann", Room: "r", Until: time.Now().Add(time.Hour)}}
		c.Rules, c.Limits.Ping = rules, time.Hour
		c.Rooms = slowJoin{c.Rooms, requestTimeout + time.Second}
	}, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		time.Sleep(5 * time.Second) // her first ping is over
		ann.send(message{"type": "join", "room": "r", "id": 7})
		time.Sleep(30 * time.Second)
		got := ann.pending()
		if len(got) != 1 {
			t.Fatalf("she is told %v", got)
		}
		switch seats := p.server.conns.all()[0].allSeats(); got[0]["type"] {
		case "error": // there was no time left for the other token
			if len(seats) > 0 {
				t.Errorf("she was told %v, and has a place; joining again: %v", got[0], ann.ask("join", message{"room": "r"}))
			}
		case "joined":
			if len(seats) != 1 || p.claims(got[0].object("token")).KickUsers {
				t.Errorf("she was told %v, and has %d places", got[0], len(seats))
			}
		default:
			t.Errorf("she is told %v", got[0])
		}
		ann.bye()
	})
}

// hungRemove are rooms whose shared view doesn't answer a Remove in time, as rooms over Redis say it.
type hungRemove struct {
	rooms.Rooms
	raw bool // the context's error as it is, as after a room that wasn't settled in time
}

func (h hungRemove) Remove(ctx context.Context, room, _ string, _ rooms.Reason) error {
	<-ctx.Done()
	if h.raw {
		return fmt.Errorf("remove from %q: %w", room, ctx.Err())
	}
	return fmt.Errorf("remove from %q: %w: %w", room, rooms.ErrUnavailable, ctx.Err())
}

func TestWhoIsRevokedIsOutThoughTheSharedViewHangs(t *testing.T) {
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprint(raw), func(t *testing.T) {
			inBubble(t, func(c *Config) { c.Rooms = hungRemove{c.Rooms, raw} }, func(t *testing.T, p *pod) {
				ann, _ := p.enter("ann")
				ann.ask("join", message{"room": "r"})
				ann.ask("join", message{"room": "s"})
				bob, _ := p.enter("bob")
				bob.ask("join", message{"room": "r"})
				p.revoke(`{"user":"ann","room":"r","for":"1h"}`)
				time.Sleep(30 * time.Second)
				ann.pending()
				bob.ask("signal", message{"room": "r", "data": "secret"})
				for _, m := range ann.pending() {
					if m["type"] == "signal" {
						t.Errorf("half a minute after she was revoked she hears %v", m)
					}
				}
				if _, room, _ := p.operate("GET", "/v1/rooms/r", ""); len(room.list("members")) != 1 {
					t.Errorf("in the room are %v", room.list("members"))
				}
				ann.bye()
				bob.bye()
			})
		})
	}
}

// A request looks for the place that a token is just being pushed to.
func TestARequestAndATokenDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		c := p.server.conns.all()[0]
		place := c.allSeats()[0]
		var both sync.WaitGroup
		both.Go(func() {
			for range 100_000 {
				if _, err := c.seat("r"); err != nil {
					t.Error(err)
				}
			}
		})
		both.Go(func() {
			for range 2_000 {
				place.push(tokens.Token{IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)})
			}
		})
		both.Wait()
		ann.bye()
	})
}
