package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// What kicks without the right, of oneself and of nobody come to is in
// TestKickRemovesAndKeepsFromResuming.
func TestKickReachesNobodyInAnotherRoom(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "hers"})
		bob, _ := p.enter("bob")
		theirs := bob.ask("join", message{"room": "his"})
		for name, test := range map[string]struct {
			fields message
			code   string
		}{
			"by way of her own room":        {message{"room": "hers", "member": theirs["member"]}, codeNoSuchMember},
			"in his, that she isn't in":     {message{"room": "his", "member": theirs["member"]}, codeNotJoined},
			"in a room that nobody is in":   {message{"room": "none", "member": theirs["member"]}, codeNotJoined},
			"by his user id":                {message{"room": "hers", "member": "bob"}, codeNoSuchMember},
			"of everybody, without a name":  {message{"room": "hers"}, codeBadRequest},
			"of everybody, by a pattern":    {message{"room": "hers", "member": "*"}, codeNoSuchMember},
			"in a room whose name has both": {message{"room": "hers\u2028his", "member": theirs["member"]}, codeNotJoined},
		} {
			if got := ann.ask("kick", test.fields); got["code"] != test.code {
				t.Errorf("%s: %v", name, got)
			}
		}
		if got := bob.ask("signal", message{"room": "his", "data": 1}); got["type"] != "ok" {
			t.Errorf("Bob afterwards: %v", got)
		}
		if got := bob.pending(); len(got) != 0 {
			t.Errorf("Bob was told %v", got)
		}
		ann.bye()
		bob.bye()
	})
}

func TestKickTakesTheRightOfOnesOwnGrant(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, _ := p.enter(login(t, nil))
		ann.ask("join", message{"room": "lobby", "data": message{"kick_users": true}})
		bob, _ := p.enter(login(t, jwt.MapClaims{"sub": "bob", "kick_users": true}))
		theirs := bob.ask("join", message{"room": "lobby"})
		got := ann.ask("kick", message{"room": "lobby", "member": theirs["member"], "kick_users": true})
		if got["code"] != codeNotAllowed || !strings.Contains(got.str("message"), "kick_users") {
			t.Errorf("a kick: %v", got)
		}
		if got := bob.ask("signal", message{"room": "lobby", "data": 1}); got["type"] != "ok" {
			t.Errorf("Bob afterwards: %v", got)
		}
		ann.bye()
		bob.bye()
	})
}

func TestSignalReachesNobodyInAnotherRoom(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "hers"})
		bob, _ := p.enter("bob")
		theirs := bob.ask("join", message{"room": "his"})
		for name, test := range map[string]struct {
			fields message
			code   string
		}{
			"to him by way of her own room": {message{"room": "hers", "to": theirs["member"]}, codeNoSuchMember},
			"to him in his":                 {message{"room": "his", "to": theirs["member"]}, codeNotJoined},
			"to all in his":                 {message{"room": "his"}, codeNotJoined},
			"to him by his user id":         {message{"room": "hers", "to": "bob"}, codeNoSuchMember},
			"to a room instead of a member": {message{"room": "hers", "to": "his"}, codeNoSuchMember},
		} {
			test.fields["data"] = "psst"
			if got := ann.ask("signal", test.fields); got["code"] != test.code {
				t.Errorf("%s: %v", name, got)
			}
		}
		if got := ann.ask("signal", message{"room": "hers", "data": "to all"}); got["type"] != "ok" {
			t.Errorf("to all in her own: %v", got)
		}
		if got := bob.pending(); len(got) != 0 {
			t.Errorf("Bob heard %v", got)
		}
		ann.bye()
		bob.bye()
	})
}

func TestNothingIsToldOfARoomThatOneIsNotIn(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, _ := p.enter(login(t, jwt.MapClaims{"room_ids": []string{"secret"}}))
		joined := ann.ask("join", message{"room": "secret", "data": "hers"})
		eve, welcome := p.enter(login(t, jwt.MapClaims{"sub": "eve", "kick_users": true}))
		eve.ask("join", message{"room": "lobby"})
		for kind, fields := range map[string]message{
			"join": {}, "leave": {}, "signal": {"data": 1}, "update": {"data": 1}, "kick": {"member": joined["member"]},
			"members": {}, "token": {}, "resume": {},
		} {
			var answers []string
			for _, room := range []string{"secret", "nowhere"} { // one that is there, and one that isn't
				fields["room"] = room
				got := eve.ask(kind, fields)
				if got["type"] != "error" {
					t.Errorf("%s: %v", kind, got)
				}
				delete(got, "id")
				answers = append(answers, fmt.Sprint(got))
			}
			if answers[0] != answers[1] {
				t.Errorf("%s: whether there is such a room can be told by %s and %s", kind, answers[0], answers[1])
			}
		}
		// Nor by coming back to where one never was, with a cursor of somebody who is there.
		again, back := p.resume(welcome, message{"secret": joined["cursor"], "nowhere": joined["cursor"]}, nil)
		if len(back.list("rooms")) != 0 {
			t.Errorf("welcome is %v", back)
		}
		for _, m := range again.pending() {
			if m["type"] != "removed" || m["reason"] != "revoked" {
				t.Errorf("it was told %v", m)
			}
		}
		ann.ask("signal", message{"room": "secret", "data": "psst"})
		ann.ask("update", message{"room": "secret", "data": "hers too"})
		ann.bye()
		if got := again.pending(); len(got) != 0 {
			t.Errorf("it heard %v", got)
		}
		eve.wantClose(CloseTakenOver)
		again.bye()
	})
}

func TestCredentialOfAMegabyteIsRefusedEverywhere(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		huge := login(t, nil) + strings.Repeat("x", 1<<20)
		c := p.connect()
		frame, _ := json.Marshal(message{"type": "auth", "credential": huge})
		_ = c.ws.Write(t.Context(), websocket.MessageText, frame) // closed before the end of it
		c.wantClose(CloseTooLarge)

		// More than net/http reads of a header: 431, if the client still listens.
		if _, err := p.dial(&websocket.DialOptions{Subprotocols: []string{Subprotocol, bearerPrefix + huge}}); err == nil {
			t.Error("as a subprotocol it makes a socket")
		}
		if _, err := p.dial(&websocket.DialOptions{Subprotocols: []string{Subprotocol, bearerPrefix + huge[:1<<19]}}); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("half of it as a subprotocol: %v", err)
		}

		body, _ := json.Marshal(message{"credential": huge, "room": "lobby"})
		code, text, _ := get(p.server.Public(), httptest.NewRequest(http.MethodPost, "http://gateway.test/v1/token", strings.NewReader(string(body))))
		if code != http.StatusBadRequest || len(text) > 1<<10 {
			t.Errorf("for a token: %d %.200s", code, text)
		}
		ann, welcome := p.enter(login(t, nil))
		if welcome["type"] != "welcome" {
			t.Errorf("afterwards: %v", welcome)
		}
		ann.bye()
	})
}

func TestFloodIsHeldToTheSustainedRate(t *testing.T) {
	const burst, rate, seconds = 60, 30, 20
	inBubble(t, func(c *Config) { c.Limits.MessageBurst, c.Limits.MessageRate = burst, rate }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		time.Sleep(time.Minute) // an idle minute earns no more than the burst
		bob.pending()
		flood := func(n int) {
			for range n {
				_ = ann.ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"signal","room":"r","data":1}`))
			}
			synctest.Wait()
		}
		flood(burst)
		for range seconds {
			time.Sleep(time.Second)
			flood(rate)
		}
		if got := len(bob.pending()); got != burst+rate*seconds {
			t.Errorf("%d messages went through in %d seconds, want %d", got, seconds, burst+rate*seconds)
		}
		flood(1)
		ann.wantClose(CloseRateLimited)
		for _, m := range bob.pending() {
			if m["type"] == "signal" {
				t.Error("the one beyond went through")
			}
		}
		bob.bye()
	})
}

func TestFloodBeforeAuthIsHeldToTheRateToo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c := p.connect()
		for range 61 {
			_ = c.ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"join","id":1,"room":"r"}`))
		}
		refused := 0
		for m := range c.inbox {
			if m["code"] != codeNotAuthenticated {
				t.Errorf("it got %v", m)
			}
			refused++
		}
		if err := <-c.ended; refused != 60 || websocket.CloseStatus(err) != websocket.StatusCode(CloseRateLimited) {
			t.Errorf("%d were answered, then %v", refused, err)
		}
	})
}

func TestBodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	inBubble(t, func(c *Config) { c.Limits.Unauthenticated = 1 }, func(t *testing.T, p *pod) {
		raw, err := p.listener.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		if _, err := io.WriteString(raw, "POST /v1/token HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 60000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		written := make(chan struct{})
		go func() { // a byte a second
			defer close(written)
			for {
				if _, err := raw.Write([]byte{' '}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		answer, _ := io.ReadAll(raw)
		<-written
		if took := time.Since(from); took > 15*time.Second {
			t.Errorf("waited for %v", took)
		}
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("the answer is %q", answer)
		}
		c, _ := p.enter("ann") // its address holds nothing any more
		c.bye()
		_ = raw.Close()
	})
}
