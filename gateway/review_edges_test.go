package gateway

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
)

func TestWhoSharesATokenIsAskedAboutHoweverManyComeToJoin(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, _ := p.enter("") // anonymous to us; the app knows her by her cookie
		ann.ask("join", message{"room": "r"})
		banned := ann
		session := app.questions(access.Join)[0].Session
		app.set(func() {
			app.says = func(r access.Request) error {
				if r.Session == session {
					return access.Denial{Reason: "banned"}
				}
				return nil
			}
		})
		began := time.Now()
		for time.Since(began) < time.Hour {
			time.Sleep(150 * time.Second)
			other, _ := p.enter("")
			other.ask("join", message{"room": "r"})
			other.bye()
		}
		got := banned.pending()
		tokens, removed := 0, false
		for _, m := range got {
			switch m["type"] {
			case "token":
				tokens++
			case "removed":
				removed = true
			}
		}
		if !removed {
			t.Errorf("an hour after the app would have said no she is in, and has had %d tokens", tokens)
			ann.bye()
		}
	})
}

func TestAnAnswerAboutAPlaceThatIsOverRemovesNobody(t *testing.T) {
	for name, how := range map[string]func(p *pod, ann *peer, welcome message, cursor any) *peer{
		"left and joined": func(_ *pod, ann *peer, _ message, _ any) *peer {
			ann.ask("leave", message{"room": "r"})
			ann.ask("join", message{"room": "r"})
			return ann
		},
		"resumed by a new credential": func(p *pod, ann *peer, welcome message, cursor any) *peer {
			ann.drop()
			c := p.connect()
			c.ask("auth", message{"credential": "ann", "resume": message{
				"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": cursor}}})
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
				ann, welcome := p.enter("ann")
				cursor := ann.ask("join", message{"room": "r"})["cursor"]
				app.set(func() {
					app.took = 5 * time.Second
					app.says = func(r access.Request) error {
						if r.Reason == access.Refresh {
							return access.Denial{Reason: "it is too old"}
						}
						return nil
					}
				})
				for len(app.questions(access.Refresh)) == 0 {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				app.set(func() { app.took = 0 })
				ann = how(p, ann, welcome, cursor)
				app.set(func() { app.says = nil }) // says yes: not asked anew about her but the old answer
				_ = ann.pending()
				time.Sleep(10 * time.Second)
				for _, m := range ann.pending() {
					if m["type"] == "removed" {
						t.Errorf("the app allowed her anew, and she is removed: %v", m)
					}
				}
				ann.bye()
			})
		})
	}
}

func TestWhoRejoinsHasNoOlderRightsWhileTheAppIsAway(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		app.set(func() { app.kick["ann"] = true })
		ann, welcome := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		app.set(func() { app.kick["ann"] = false })
		ann.drop()
		ann, welcome = p.resume(welcome, message{}, nil)
		joined := ann.ask("join", message{"room": "r"})
		if p.claims(joined.object("token")).KickUsers {
			t.Fatal("she may kick")
		}
		app.set(func() { app.says = away })
		ann.drop()
		ann, back := p.resume(welcome, message{"r": joined["cursor"]}, nil)
		for _, room := range back.list("rooms") {
			if p.claims(message(room.(map[string]any)).object("token")).KickUsers {
				t.Error("what the app has taken is signed again, for the app is away")
			}
		}
		ann.bye()
	})
}

func TestResumingProlongsNothingWhileTheAppAnswersForOthers(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		cursor := ann.ask("join", message{"room": "r"})["cursor"]
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		began := time.Now()
		app.set(func() {
			app.says = func(r access.Request) error {
				if r.Credential == "ann" || r.Person.User == "ann" {
					return errAppAway
				}
				return nil
			}
		})
		for time.Since(began) < 2*time.Hour {
			time.Sleep(10 * time.Minute)
			ann.drop()
			ann = p.connect()
			ann.send(message{"type": "auth", "id": 1, "resume": message{"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": cursor}}})
			m, ok := <-ann.inbox
			if !ok {
				break
			}
			welcome = m
		}
		if lasted := time.Since(began); lasted > 2*testStale {
			t.Errorf("she is in after %v, and the app said yes of her last %v ago", lasted, lasted)
			ann.bye()
		}
		bob.bye()
	})
}

// numbered is an app whose claims have a number as snowflake ids are.
type numbered struct{ *askedApp }

func (n numbered) Admit(ctx context.Context, r access.Request) (access.Admission, error) {
	a, err := n.askedApp.Admit(ctx, r)
	a.Grant.Extra = map[string]any{"discord_id": json.RawMessage("123456789012345678")}
	return a, err
}

func TestClaimsAreWholeAfterAResumeWhileTheAppIsAway(t *testing.T) {
	app := &askedApp{kick: map[string]bool{}}
	inBubble(t, func(c *Config) { c.Access = numbered{app} }, func(t *testing.T, p *pod) {
		app.set(func() { app.answered = time.Now() })
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		if got := string(p.claims(joined.object("token")).Extra["discord_id"]); got != "123456789012345678" {
			t.Fatal(got)
		}
		app.set(func() { app.says = away })
		ann.drop()
		ann, back := p.resume(welcome, message{"r": joined["cursor"]}, nil)
		token := message(back.list("rooms")[0].(map[string]any)).object("token")
		if got := string(p.claims(token).Extra["discord_id"]); got != "123456789012345678" {
			t.Errorf("her discord_id is signed as %s", got)
		}
		ann.bye()
	})
}

// slowRights are rooms whose shared view takes its time for rights.
type slowRights struct {
	rooms.Rooms
	took time.Duration
}

type slowHold struct {
	rooms.Membership
	took time.Duration
}

func (s slowRights) Join(ctx context.Context, room string, m rooms.Member, f rooms.Follower) (rooms.Membership, rooms.Snapshot, error) {
	in, snapshot, err := s.Rooms.Join(ctx, room, m, f)
	return slowHold{in, s.took}, snapshot, err
}

func (h slowHold) SetRights(ctx context.Context, rights string) error {
	time.Sleep(h.took)
	return h.Membership.SetRights(ctx, rights)
}

func TestAChangedRightDoesNotWaitForTheSharedView(t *testing.T) {
	app := &askedApp{kick: map[string]bool{"ann": true}}
	inBubble(t, func(c *Config) { c.Access = app; c.Rooms = slowRights{c.Rooms, 5 * time.Second} }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		app.set(func() { app.kick["ann"] = false })
		ann.send(message{"type": "auth", "credential": "ann"})
		began := time.Now()
		if got := p.claims(ann.want("token")); got.KickUsers || time.Since(began) > 100*time.Millisecond {
			t.Errorf("after %v her token says %+v", time.Since(began), got)
		}
		ann.bye()
	})
}

func TestWhoComesBackAfterLingeringHasTheNewRights(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		ann.drop()
		time.Sleep(20 * time.Second)
		app.set(func() { app.kick["ann"] = true })
		ann, back := p.resume(welcome, message{"r": joined["cursor"]}, message{"r": joined.object("token")["expires_at"]})
		began := time.Now()
		token := message(back.list("rooms")[0].(map[string]any)).object("token")
		if token == nil {
			token = ann.want("token")
		}
		if got := p.claims(token); !got.KickUsers || time.Since(began) > 100*time.Millisecond {
			t.Errorf("after %v her token says %+v", time.Since(began), got)
		}
		ann.bye()
	})
}

func TestARoomThatTheAppCannotTellOfDoesNotCostTheOthers(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		cursors := message{"r": ann.ask("join", message{"room": "r"})["cursor"]}
		app.set(func() {
			app.says = func(r access.Request) error {
				if r.Room == "s" {
					return errAppAway
				}
				return nil
			}
		})
		cursors["s"] = "gone.1" // where it isn't a member, and so has no last word
		ann.drop()
		ann, back := p.resume(welcome, cursors, nil)
		if list := back.list("rooms"); len(list) != 1 || list[0].(map[string]any)["room"] != "r" {
			t.Errorf("she comes back to %v", back)
		}
		if got := ann.want("removed"); got["room"] != "s" || got["reason"] != "unconfirmed" {
			t.Errorf("she is told %v", got)
		}
		ann.bye()
	})
}
