package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

// An askedApp is an app that decides, as its tests do. The credential is the user.
type askedApp struct {
	mu       sync.Mutex
	says     func(access.Request) error // nil: yes
	kick     map[string]bool
	took     time.Duration // for each answer
	asked    []access.Request
	answered time.Time
}

const testStale = 15 * time.Minute

func (*askedApp) MaxStale() time.Duration { return testStale }
func (*askedApp) Headers() []string       { return nil }

func (a *askedApp) Answered() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered
}

func (a *askedApp) Authenticate(ctx context.Context, r access.Request) (access.Person, error) {
	_, err := a.answer(ctx, r)
	return access.Person{User: r.Credential}, err
}

func (a *askedApp) Admit(ctx context.Context, r access.Request) (access.Admission, error) {
	kick, err := a.answer(ctx, r)
	return access.Admission{
		Grant: tokens.Grant{User: r.Person.User, Room: r.Room, JoinHub: true, KickUsers: kick, Extra: map[string]any{"plan": "gold"}},
		Data:  json.RawMessage(`{"from":"the app"}`),
	}, err
}

func (a *askedApp) answer(ctx context.Context, r access.Request) (kick bool, err error) {
	a.mu.Lock()
	a.asked = append(a.asked, r)
	took, says := a.took, a.says
	kick = a.kick[r.Person.User]
	a.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if says != nil {
		err = says(r)
	}
	if err == nil || errors.Is(err, access.ErrDenied) {
		a.mu.Lock()
		a.answered = time.Now()
		a.mu.Unlock()
	}
	return kick, err
}

// set changes what the app says from now on.
func (a *askedApp) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// questions takes those with a reason that were asked since the last call.
func (a *askedApp) questions(why access.Reason) (found []access.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.asked {
		if r.Reason == why {
			found = append(found, r)
		}
	}
	a.asked = nil
	return found
}

var errAppAway = errors.New("the app doesn't answer")

func away(access.Request) error { return errAppAway }

// byAskedApp lets people in by an app that is asked.
func byAskedApp(t *testing.T, test func(t *testing.T, p *pod, app *askedApp)) {
	t.Helper()
	app := &askedApp{kick: map[string]bool{}}
	inBubble(t, func(c *Config) { c.Access, app.answered = app, time.Now() }, func(t *testing.T, p *pod) { test(t, p, app) })
}

func TestTheAppIsAskedAtJoinAndBeforeEachToken(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		if got := joined.list("members")[0].(map[string]any)["data"]; !cmp.Equal(got, map[string]any{"from": "the app"}) {
			t.Errorf("others see %v", got)
		}
		if got := p.claims(joined.object("token")).Extra["plan"]; string(got) != `"gold"` {
			t.Errorf("her token's plan is %v", got)
		}
		if got := app.questions(access.Join); len(got) != 1 {
			t.Fatalf("%d questions at the join", len(got))
		}
		for range 5 {
			ann.want("token")
			asked := app.questions(access.Refresh)
			if len(asked) != 1 {
				t.Fatalf("%d questions before a token", len(asked))
			}
			want := access.Request{
				Reason: access.Refresh, Person: access.Person{User: "ann"}, Room: "r", Session: welcome.str("session"),
				Credential: "ann", Address: "pipe",
			}
			if diff := cmp.Diff(want, asked[0]); diff != "" {
				t.Error(diff)
			}
		}
		ann.bye()
		time.Sleep(10 * time.Minute)
		if asked := app.questions(access.Refresh); len(asked) > 0 {
			t.Errorf("%d questions about somebody who has left", len(asked))
		}
	})
}

func TestTheAppsNewAnswerIsInTheNextToken(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		app.set(func() { app.kick["ann"] = true })
		ann, _ := p.enter("ann")
		if !p.claims(ann.ask("join", message{"room": "r"}).object("token")).KickUsers {
			t.Fatal("she may not kick to begin with")
		}
		ann.want("token")
		app.set(func() { app.kick["ann"] = false })
		for range 3 {
			if p.claims(ann.want("token")).KickUsers {
				t.Error("what the app has taken was signed again")
			}
		}
		app.set(func() { app.kick["ann"] = true })
		if !p.claims(ann.want("token")).KickUsers {
			t.Error("what the app has given is missing")
		}
		// The operator is above the app.
		_, room, _ := p.operate("GET", "/v1/rooms/r", "")
		p.change("r", message(room.list("members")[0].(map[string]any)).str("id"), `{"kick_users":false}`)
		for range 3 {
			if p.claims(ann.want("token")).KickUsers {
				t.Error("what the operator has taken was signed again, because the app says so")
			}
		}
		ann.bye()
	})
}

func TestWhomTheAppRefusesIsRemovedBeforeTheNextToken(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		cursor := ann.ask("join", message{"room": "r"})["cursor"]
		ann.want("token")
		app.set(func() { app.says = func(access.Request) error { return access.Denial{Reason: "she was banned"} } })
		time.Sleep(4 * time.Minute)
		for _, m := range ann.pending() {
			if m["type"] == "token" {
				t.Error("a token was pushed after the app had refused")
			}
			if m["type"] == "removed" && m["reason"] != "revoked" {
				t.Errorf("she is told %v", m)
			}
		}
		ann.wantClose(CloseForbidden)
		app.set(func() {
			app.says = func(r access.Request) error {
				if r.Reason == access.Connect {
					return nil
				}
				return access.Denial{Reason: "she was banned"}
			}
		})
		back, got := p.resume(welcome, message{"r": cursor}, nil)
		if len(got.list("rooms")) > 0 || back.want("removed")["reason"] != "revoked" {
			t.Errorf("she comes back to %v", got)
		}
		if got := back.ask("join", message{"room": "r"}); got["code"] != "not_allowed" {
			t.Errorf("she joins: %v", got)
		}
		back.bye()
	})
}

func TestTokensGoOnWhileTheAppIsAwayForAsLongAsItsAnswerHolds(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		app.set(func() { app.kick["ann"] = true })
		ann, welcome := p.enter("ann")
		cursor := ann.ask("join", message{"room": "r"})["cursor"]
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		confirmed := time.Now()
		app.set(func() { app.says = away })
		app.questions(access.Refresh)
		pushed := 0
		for {
			m := ann.next()
			if m["type"] == "token" {
				if pushed++; !p.claims(m).KickUsers {
					t.Error("a right was lost with the app")
				}
			}
			if m["type"] == "removed" {
				if m["reason"] != "unconfirmed" {
					t.Errorf("she is told %v", m)
				}
				break
			}
		}
		if lasted := time.Since(confirmed); pushed < 3 || lasted < testStale || lasted > testStale+time.Second {
			t.Errorf("removed after %v and %d tokens", lasted, pushed)
		}
		// From the first token's question on, every 10 to 15 s.
		if asked := len(app.questions(access.Refresh)); asked < 2*40 || asked > 2*75 {
			t.Errorf("the app was asked %d times about two people", asked)
		}
		ann.wantClose(CloseTryLater)
		bob.wantClose(CloseTryLater)
		early := p.connect()
		early.send(message{"type": "auth", "resume": message{"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": cursor}}})
		early.wantClose(CloseTryLater)

		app.set(func() { app.says = nil })
		back, got := p.resume(welcome, message{"r": cursor}, nil)
		if list := got.list("rooms"); len(list) != 1 || !p.claims(message(list[0].(map[string]any)).object("token")).KickUsers {
			t.Errorf("when the app is back she comes back to %v", got)
		}
		back.bye()
	})
}

func TestAnAppThatIsBackInTimeChangesWhatItWants(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		app.set(func() { app.kick["ann"], app.kick["bob"] = true, true })
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		app.set(func() { app.says = away })
		time.Sleep(10 * time.Minute)
		ann.pending()
		bob.pending()
		app.set(func() {
			app.says, app.kick["ann"] = nil, false
		})
		back := time.Now()
		if got := p.claims(ann.want("token")); got.KickUsers || time.Since(back) > 15*time.Second {
			t.Errorf("after %v her token says %+v", time.Since(back), got)
		}
		for range 10 {
			if !p.claims(bob.want("token")).KickUsers {
				t.Error("Bob lost a right")
			}
		}
		ann.bye()
		bob.bye()
	})
}

func TestWhoComesBackWhileTheAppIsAwayHasWhatItHad(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		app.set(func() { app.kick["ann"] = true })
		ann, welcome := p.enter("ann")
		cursor := ann.ask("join", message{"room": "r"})["cursor"]
		bob, other := p.enter("bob")
		at := bob.ask("join", message{"room": "r"})["cursor"]
		app.set(func() { app.says = away })
		began := time.Now()
		for range 3 {
			ann.drop()
			ann, welcome = p.resume(welcome, message{"r": cursor}, nil)
			list := welcome.list("rooms")
			if len(list) != 1 {
				t.Fatalf("she comes back to %v", welcome)
			}
			got := p.claims(message(list[0].(map[string]any)).object("token"))
			if !got.KickUsers || string(got.Extra["plan"]) != `"gold"` {
				t.Errorf("her token says %+v", got)
			}
		}
		if got := ann.ask("join", message{"room": "s"}); got["code"] != "unavailable" {
			t.Errorf("she enters another room: %v", got)
		}
		// Nor does coming back again and again make the app's last answer younger.
		for time.Since(began) < testStale-time.Minute {
			time.Sleep(30 * time.Second)
			bob.drop()
			if bob, other = p.resume(other, message{"r": at}, nil); len(other.list("rooms")) != 1 {
				t.Fatalf("after %v Bob comes back to %v", time.Since(began), other)
			}
		}
		ann.wantClose(CloseTryLater)
		bob.wantClose(CloseTryLater)
		if lasted := time.Since(began); lasted > testStale+time.Second {
			t.Errorf("they stayed for %v", lasted)
		}
	})
}

func TestWhoComesBackWithOtherRightsGetsATokenThoughItsOwnIsGood(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		held := message{"r": joined.object("token")["expires_at"]}
		ann.drop()
		ann, back := p.resume(welcome, message{"r": joined["cursor"]}, held)
		if room := message(back.list("rooms")[0].(map[string]any)); room["token"] != nil {
			t.Error("a token was signed for nothing")
		}
		ann.drop()
		app.set(func() { app.kick["ann"] = true })
		ann, back = p.resume(welcome, message{"r": joined["cursor"]}, held)
		token := message(back.list("rooms")[0].(map[string]any)).object("token")
		if token == nil || !p.claims(token).KickUsers {
			t.Errorf("her token is %v", token)
		}
		ann.bye()
	})
}

func TestASlowAppIsAskedOneQuestionAtATimeAndDelaysNoToken(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		app.set(func() { app.took = time.Hour }) // longer than any question lasts
		last := time.Now()
		for range 3 {
			ann.want("token")
			if since := time.Since(last); since > 4*time.Minute {
				t.Errorf("the token came after %v", since)
			}
			last = time.Now()
		}
		asked := app.questions(access.Refresh)
		if len(asked) > int(12*time.Minute/(requestTimeout+reviewRest))+1 {
			t.Errorf("%d questions", len(asked))
		}
		app.set(func() { app.took = 0 })
		ann.bye()
	})
}

func TestAnAnswerAboutAnOlderCredentialCountsForNothing(t *testing.T) {
	byAskedApp(t, func(t *testing.T, p *pod, app *askedApp) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		app.set(func() {
			app.took = 5 * time.Second
		})
		// While a question is under way she proves anew who she is.
		for len(app.questions(access.Refresh)) == 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		app.set(func() { app.kick["ann"] = true; app.took = 0 })
		if got := ann.ask("auth", message{"credential": "ann"}); got["type"] != "ok" {
			t.Fatalf("a new credential: %v", got)
		}
		if !p.claims(ann.want("token")).KickUsers {
			t.Error("the new credential's right is missing")
		}
		time.Sleep(10 * time.Second) // the answer to the old question comes in
		for _, m := range ann.pending() {
			if m["type"] == "token" && !p.claims(m).KickUsers {
				t.Error("the old answer took the right away")
			}
		}
		ann.bye()
	})
}
