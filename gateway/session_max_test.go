package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
)

func TestSessionEndsWhenNothingWasProvenForTooLong(t *testing.T) {
	short := func(c *Config) { c.Limits.SessionMax = time.Hour }
	inBubble(t, byApp(t, short), func(t *testing.T, p *pod) {
		bob, _ := p.enter(login(t, jwt.MapClaims{"sub": "bob"}))
		began := time.Now()
		bob.ask("join", message{"room": "lobby"})
		time.Sleep(10 * time.Minute)
		ann, welcome := p.enter(login(t, nil))
		joined := ann.ask("join", message{"room": "lobby"})

		code, reason := bob.closed()
		if lasted := time.Since(began); code != CloseUnauthenticated || !strings.Contains(reason, "the session is over") || lasted < time.Hour || lasted > time.Hour+25*time.Second {
			t.Errorf("after %v: %d %q", lasted, code, reason)
		}
		if got := ann.want("member_left"); got["reason"] != "left" || time.Since(began) > time.Hour+26*time.Second {
			t.Errorf("after %v Ann sees %v: want no lingering", time.Since(began), got)
		}
		if n := p.server.schedule.Len(); n != 1 {
			t.Errorf("%d memberships are on the schedule, want Ann's", n)
		}

		// Nor does a chain of resumes last longer.
		for range 9 {
			ann.drop()
			time.Sleep(time.Second)
			ann, welcome = p.resume(welcome, message{"lobby": joined["cursor"]}, nil)
			if welcome["resumed"] != true {
				t.Fatalf("after %v: %v", time.Since(began), welcome)
			}
		}
		ann.wantClose(CloseUnauthenticated)
		if lasted := time.Since(began); lasted < 70*time.Minute || lasted > 70*time.Minute+25*time.Second {
			t.Errorf("resumed, it ended after %v", lasted)
		}
		late := p.connect()
		late.send(message{"type": "auth", "resume": message{"session": welcome["session"], "secret": welcome["secret"]}})
		late.wantClose(CloseUnauthenticated)
		anew := p.connect()
		got := anew.ask("auth", message{"credential": login(t, nil), "resume": message{"session": welcome["session"], "secret": welcome["secret"]}})
		if got["resumed"] != false || got["user"] != "ann" {
			t.Errorf("with a new credential: %v", got)
		}
		anew.bye()
	})
}

func TestTokensComeForAsLongAsTheSessionLasts(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, _ := p.enter(login(t, nil))
		newest := ann.ask("join", message{"room": "lobby"}).object("token")
		for range 11 * 60 {
			time.Sleep(time.Minute)
			for _, m := range ann.pending() {
				if m["type"] == "token" {
					newest = m
				}
			}
			p.claims(newest) // holds, though the app's token has expired
		}
		ann.wantClose(CloseUnauthenticated)
	})
}

func TestANewCredentialOnTheSocketExtendsTheSession(t *testing.T) {
	short := func(c *Config) { c.Limits.SessionMax = time.Hour }
	inBubble(t, byApp(t, short), func(t *testing.T, p *pod) {
		ann, welcome := p.enter(login(t, nil))
		joined := ann.ask("join", message{"room": "lobby"})
		secret := welcome.str("secret")
		for range 10 {
			time.Sleep(50 * time.Minute)
			got := ann.ask("auth", message{"credential": login(t, nil)})
			if got["type"] != "ok" || got["session_expires_in"] != 3_600_000.0 || got.str("secret") == "" || got.str("secret") == secret {
				t.Fatalf("the reply is %v", got)
			}
			secret = got.str("secret")
		}
		time.Sleep(50 * time.Minute)
		ann.drop()
		again, back := p.resume(message{"session": welcome["session"], "secret": secret}, message{"lobby": joined["cursor"]}, nil)
		if back["resumed"] != true {
			t.Errorf("welcome is %v", back)
		}
		again.bye()
	})
}

func TestANewCredentialBringsItsRightsAtOnce(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		three := jwt.MapClaims{"room_ids": []string{"lobby", "stage", "cellar"}}
		ann, _ := p.enter(login(t, three))
		bob, _ := p.enter(login(t, jwt.MapClaims{"sub": "bob", "room_ids": []string{"stage", "lobby"}}))
		for _, room := range []string{"lobby", "stage", "cellar"} {
			ann.ask("join", message{"room": room})
		}
		bob.ask("join", message{"room": "stage"})
		theirs := bob.ask("join", message{"room": "lobby"})
		time.Sleep(time.Second)
		ann.pending()

		// More: the token of each room says so, long before the next one is due.
		three["kick_users"] = true
		if got := ann.ask("auth", message{"credential": login(t, three)}); got["type"] != "ok" {
			t.Fatal(got)
		}
		rooms := map[string]bool{}
		for range 3 {
			token := ann.want("token")
			rooms[token.str("room")] = p.claims(token).KickUsers
		}
		if diff := cmp.Diff(map[string]bool{"lobby": true, "stage": true, "cellar": true}, rooms); diff != "" {
			t.Error(diff)
		}
		// The same: nothing comes.
		ann.ask("auth", message{"credential": login(t, three)})
		if got := ann.pending(); len(got) != 0 {
			t.Errorf("with the same rights came %v", got)
		}
		// Less: a room goes, for her and for the others.
		ann.ask("auth", message{"credential": login(t, jwt.MapClaims{"kick_users": true, "room_ids": []string{"lobby", "cellar"}})})
		if got := ann.want("removed"); got["room"] != "stage" || got["reason"] != "revoked" {
			t.Errorf("Ann got %v", got)
		}
		if got := bob.want("member_left"); got["room"] != "stage" || got["reason"] != "revoked" {
			t.Errorf("Bob got %v", got)
		}
		if got := ann.ask("join", message{"room": "stage"}); got["code"] != codeNotAllowed {
			t.Errorf("the room that went: %v", got)
		}
		if got := ann.ask("kick", message{"room": "lobby", "member": theirs["member"]}); got["type"] != "ok" {
			t.Errorf("a kick: %v", got)
		}
		ann.ask("auth", message{"credential": login(t, three)})
		if got := ann.ask("join", message{"room": "stage"}); got["type"] != "joined" {
			t.Errorf("the room that came back: %v", got)
		}
		// None: as after a kick from the last room.
		ann.send(message{"type": "auth", "id": 99, "credential": login(t, jwt.MapClaims{"room_ids": []string{}})})
		ann.wantClose(CloseForbidden)
		bob.bye()
	})
}

func TestACredentialThatCannotProveTheSessionChangesNothing(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, welcome := p.enter(login(t, nil))
		ann.ask("join", message{"room": "lobby"})
		for name, test := range map[string]struct {
			fields message
			code   string
			says   string
		}{
			"none":                {nil, codeAlreadyAuthenticated, "new credential"},
			"a resume":            {message{"credential": login(t, nil), "resume": message{"session": welcome["session"], "secret": welcome["secret"]}}, codeAlreadyAuthenticated, ""},
			"another user's":      {message{"credential": login(t, jwt.MapClaims{"sub": "bob"})}, codeNotAllowed, "another user's"},
			"one that is too old": {message{"credential": login(t, jwt.MapClaims{"exp": 1})}, codeNotAllowed, "it has expired"},
		} {
			got := ann.ask("auth", test.fields)
			if got["code"] != test.code || !strings.Contains(got.str("message"), test.says) {
				t.Errorf("%s: %v", name, got)
			}
		}
		if got := ann.ask("signal", message{"room": "lobby", "data": 1}); got["type"] != "ok" {
			t.Errorf("afterwards: %v", got)
		}
		ann.bye()
	})
}

// unsure can't tell of any credential.
type unsure struct{ access.Open }

func (unsure) Authenticate(context.Context, access.Request) (access.Person, error) {
	return access.Person{}, errors.New("the app's keys are away")
}

func TestWhereNobodyCanTellStrangersWaitAndSessionsGoOn(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		p.server.access = unsure{} // no request is being done
		if got := ann.ask("auth", message{"credential": "ann"}); got["code"] != codeUnavailable {
			t.Errorf("on the socket: %v", got)
		}
		stranger := p.connect()
		stranger.send(message{"type": "auth", "credential": "bob"})
		stranger.wantClose(CloseTryLater)
		ann.drop()
		again := p.connect()
		back := again.ask("auth", message{"credential": "ann", "resume": message{
			"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": joined["cursor"]},
		}})
		if back["resumed"] != true || len(back.list("rooms")) != 1 {
			t.Errorf("welcome is %v", back)
		}
		again.bye()
	})
}

// unremoving is rooms whose shared view is out of reach for a removal.
type unremoving struct{ rooms.Rooms }

func (unremoving) Remove(context.Context, string, string, rooms.Reason) error {
	return rooms.ErrUnavailable
}

func TestRightsThatAreGoneEndWhileTheStoreIsAwayToo(t *testing.T) {
	inBubble(t, byApp(t, func(c *Config) { c.Rooms = unremoving{c.Rooms} }), func(t *testing.T, p *pod) {
		ann, _ := p.enter(login(t, jwt.MapClaims{"room_ids": []string{"lobby", "stage"}}))
		ann.ask("join", message{"room": "lobby"})
		ann.ask("join", message{"room": "stage"})
		bob, _ := p.enter(login(t, jwt.MapClaims{"sub": "bob"}))
		bob.ask("join", message{"room": "lobby"})
		ann.ask("auth", message{"credential": login(t, jwt.MapClaims{"room_ids": []string{"stage"}})})
		if got := ann.want("removed"); got["room"] != "lobby" || got["reason"] != "revoked" {
			t.Errorf("Ann got %v", got)
		}
		if got := bob.want("member_left"); got["room"] != "lobby" {
			t.Errorf("Bob got %v", got)
		}
		if n := p.server.schedule.Len(); n != 2 {
			t.Errorf("%d memberships are on the schedule, want two", n)
		}
		ann.bye()
		bob.bye()
	})
}
