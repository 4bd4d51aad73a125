package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

func TestMembersSeeEachOtherAndSignal(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		if welcome["type"] != "welcome" || welcome["user"] != "ann" || welcome["resumed"] != false || welcome.str("secret") == "" {
			t.Fatalf("welcome is %v", welcome)
		}
		first := ann.ask("join", message{"room": "r", "data": message{"name": "Ann"}})
		if first["type"] != "joined" || len(first.list("members")) != 1 || first.object("token").str("token") == "" {
			t.Fatalf("joined is %v", first)
		}
		bob, _ := p.enter("")
		second := bob.ask("join", message{"room": "r"})
		if len(second.list("members")) != 2 {
			t.Fatalf("Bob sees %v", second.list("members"))
		}
		came := ann.want("member_joined")
		if diff := cmp.Diff(second["member"], came.object("member")["id"]); diff != "" {
			t.Error(diff)
		}
		if came.object("member")["user"] != nil || came.object("member")["data"] != nil {
			t.Errorf("an anonymous member without data is %v", came)
		}

		if got := ann.ask("signal", message{"room": "r", "to": second["member"], "data": message{"sdp": "…"}}); got["type"] != "ok" {
			t.Fatal(got)
		}
		got := bob.want("signal")
		if got["from"] != first["member"] || got.object("data")["sdp"] != "…" {
			t.Errorf("Bob got %v", got)
		}
		bob.send(message{"type": "signal", "room": "r", "data": 7})
		if got := ann.want("signal"); got["data"] != 7.0 || got["from"] != second["member"] {
			t.Errorf("Ann got %v", got)
		}
		bob.ask("update", message{"room": "r", "data": "here"})
		if got := ann.want("member_updated"); got.object("member")["data"] != "here" {
			t.Errorf("Ann got %v", got)
		}
		if got := bob.ask("leave", message{"room": "r"}); got["type"] != "left" || got["room"] != "r" {
			t.Error(got)
		}
		if got := ann.want("member_left"); got["member"] != second["member"] || got["reason"] != "left" {
			t.Errorf("Ann got %v", got)
		}
		ann.bye()
		bob.bye()
	})
}

func TestTokenIsPushedBeforeItsPredecessorExpires(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		var peers []*peer
		var newest []string
		for i := range 10 {
			c, _ := p.enter(fmt.Sprint("user", i))
			joined := c.ask("join", message{"room": "r"})
			peers, newest = append(peers, c), append(newest, joined.object("token").str("token"))
		}
		pushes := 0
		for range 1800 {
			time.Sleep(time.Second)
			for i, c := range peers {
				for _, m := range c.pending() {
					if m["type"] == "token" {
						newest[i] = m.str("token")
						pushes++
					}
				}
				if _, err := p.keys.Verify(newest[i], time.Now()); err != nil {
					t.Fatalf("after %v peer %d holds a token that doesn't: %v", time.Now(), i, err)
				}
			}
		}
		if least := 10 * 7; pushes < least {
			t.Errorf("%d pushes in half an hour, want %d at least", pushes, least)
		}
		if n := p.server.metrics.lapses.value(); n != 0 {
			t.Errorf("%v lapses", n)
		}
		for _, c := range peers {
			c.bye()
		}
		if n := p.server.schedule.Len(); n != 0 {
			t.Errorf("%d memberships are still on the schedule", n)
		}
	})
}

func TestDroppedSocketResumesUnseenAndMissesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		cursor := ann.want("member_joined")["cursor"]
		ann.drop()
		for i := range 5 {
			bob.ask("signal", message{"room": "r", "data": i})
			time.Sleep(time.Second)
		}
		bob.ask("signal", message{"room": "r", "to": joined["member"], "data": "you"})

		again, back := p.resume(welcome, message{"r": cursor}, message{"r": joined.object("token")["expires_at"]})
		if back["resumed"] != true || back["session"] != welcome["session"] || len(back.list("rooms")) != 1 {
			t.Fatalf("welcome is %v", back)
		}
		room := message(back.list("rooms")[0].(map[string]any))
		if room["member"] != joined["member"] || room["gap"] != nil || room["token"] != nil {
			t.Errorf("the room came back as %v; want the same member, no gap, and no token while the old one is good", room)
		}
		var missed []any
		for _, m := range room.list("missed") {
			missed = append(missed, m.(map[string]any)["data"])
		}
		if diff := cmp.Diff([]any{0.0, 1.0, 2.0, 3.0, 4.0, "you"}, missed); diff != "" {
			t.Error(diff)
		}
		bob.ask("signal", message{"room": "r", "data": "live"})
		if got := again.want("signal"); got["data"] != "live" {
			t.Errorf("after the resume came %v", got)
		}
		for _, m := range bob.pending() {
			if m["type"] == "member_left" || m["type"] == "member_joined" {
				t.Errorf("Bob saw %v", m)
			}
		}
		again.bye()
		bob.bye()
	})
}

func TestAfterALongSleepTheMemberIsBackWithAGapAndAFreshToken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		ann.drop()
		time.Sleep(30 * time.Minute)
		if got := bob.want("member_left"); got["reason"] != "lost" || got["member"] != joined["member"] {
			t.Errorf("Bob saw %v", got)
		}
		again, back := p.resume(welcome, message{"r": joined["cursor"]}, message{"r": joined.object("token")["expires_at"]})
		room := message(back.list("rooms")[0].(map[string]any))
		if back["resumed"] != true || room["gap"] != true || room["member"] != joined["member"] {
			t.Errorf("welcome is %v", back)
		}
		if _, err := p.keys.Verify(room.object("token").str("token"), time.Now()); err != nil {
			t.Error(err)
		}
		if got := bob.want("member_joined"); got.object("member")["id"] != joined["member"] {
			t.Errorf("Bob saw %v", got)
		}
		again.bye()
		bob.bye()
	})
}

// longer is a secret whose statement says that it ends later.
func longer(t *testing.T, secret string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(raw, []byte(`"e":`), []byte(`"e":9`), 1)
	if bytes.Equal(raw, changed) {
		t.Fatalf("no end in %q", raw)
	}
	return base64.RawURLEncoding.EncodeToString(changed)
}

func TestForgedResumeMakesANewSession(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		other, theirs := p.enter("eve")
		for name, resume := range map[string]message{
			"a wrong secret":            {"session": welcome["session"], "secret": "AAAA" + welcome.str("secret")[4:]},
			"another session's secret":  {"session": welcome["session"], "secret": theirs["secret"]},
			"no secret to speak of":     {"session": welcome["session"], "secret": "x"},
			"a secret that was cut":     {"session": welcome["session"], "secret": welcome.str("secret")[:len(welcome.str("secret"))-4]},
			"one that goes on":          {"session": welcome["session"], "secret": welcome.str("secret") + "AAAA"},
			"one that lasts for longer": {"session": welcome["session"], "secret": longer(t, welcome.str("secret"))},
			"a session that never was":  {"session": "ANOTHER", "secret": welcome["secret"]},
			"a secret that isn't ASCII": {"session": welcome["session"], "secret": "ü"},
		} {
			resume["rooms"] = message{"r": joined["cursor"]}
			c := p.connect()
			got := c.ask("auth", message{"resume": resume, "credential": "eve"})
			if got["resumed"] != false || got["session"] == welcome["session"] || len(got.list("rooms")) != 0 {
				t.Errorf("%s: %v", name, got)
			}
			c.bye()
		}
		c := p.connect()
		got := c.ask("auth", message{"credential": "eve", "resume": message{"session": welcome["session"], "secret": welcome["secret"]}})
		if got["resumed"] != false || got["user"] != "eve" {
			t.Errorf("a right secret beside another user's credential: %v", got)
		}
		if got := ann.ask("signal", message{"room": "r", "data": 1}); got["type"] != "ok" {
			t.Errorf("Ann's own socket: %v", got)
		}
		c.bye()
		other.bye()
		ann.bye()
	})
}

func TestSessionHasOneOwner(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		again, back := p.resume(welcome, message{"r": joined["cursor"]}, nil)
		if back["resumed"] != true {
			t.Fatal(back)
		}
		ann.wantClose(CloseTakenOver)
		if got := again.ask("signal", message{"room": "r", "data": 1}); got["type"] != "ok" {
			t.Error(got)
		}
		again.bye()
	})
}

func TestKickRemovesAndKeepsFromResuming(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		mine := ann.ask("join", message{"room": "r"})
		bob, welcome := p.enter("")
		theirs := bob.ask("join", message{"room": "r"})
		bob.ask("join", message{"room": "other"})
		kick := func(c *peer, member any) string {
			return c.ask("kick", message{"room": "r", "member": member}).str("code")
		}
		if code := kick(bob, mine["member"]); code != codeNotAllowed {
			t.Errorf("an anonymous kick: %q", code)
		}
		if code := kick(ann, mine["member"]); code != codeBadRequest {
			t.Errorf("a kick of oneself: %q", code)
		}
		if code := kick(ann, "nobody"); code != codeNoSuchMember {
			t.Errorf("a kick of nobody: %q", code)
		}
		if code := kick(ann, theirs["member"]); code != "" {
			t.Errorf("a kick: %q", code)
		}
		if got := bob.want("removed"); got["room"] != "r" || got["reason"] != "kicked" {
			t.Error(got)
		}
		if got := ann.want("member_left"); got["reason"] != "kicked" || got["member"] != theirs["member"] {
			t.Error(got)
		}
		// Bob has another room, so his socket stays.
		if got := bob.ask("signal", message{"room": "other", "data": 1}); got["type"] != "ok" {
			t.Error(got)
		}
		again, back := p.resume(welcome, message{"r": theirs["cursor"], "other": ""}, nil)
		if len(back.list("rooms")) != 1 {
			t.Errorf("welcome is %v", back)
		}
		if got := again.want("removed"); got["room"] != "r" || got["reason"] != "kicked" {
			t.Error(got)
		}
		bob.wantClose(CloseTakenOver)
		again.bye()
		ann.bye()
	})
}

func TestKickFromTheLastRoomCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		theirs := bob.ask("join", message{"room": "r"})
		ann.ask("kick", message{"room": "r", "member": theirs["member"]})
		bob.wantClose(CloseForbidden)
		ann.bye()
	})
}

func TestSlowReaderIsClosedAndResumesWithoutLoss(t *testing.T) {
	small := func(c *Config) {
		c.Limits.QueueBytes = 4 << 10
		c.Limits.MessageRate = 1000
		c.Limits.MessageBurst = 1000
	}
	inBubble(t, small, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		synctest.Wait()

		// A resume on a socket that nobody reads from after its welcome.
		slow, err := p.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		slow.send(message{"type": "auth", "resume": message{
			"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": joined["cursor"]},
		}})
		if _, _, err := slow.ws.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.wantClose(CloseTakenOver)
		for i := range 100 {
			bob.ask("signal", message{"room": "r", "data": fmt.Sprintf("%0100d", i)})
		}
		time.Sleep(11 * time.Second) // the write's deadline
		synctest.Wait()
		if n := p.server.conns.len(); n != 1 {
			t.Errorf("%d connections, want Bob's alone", n)
		}
		go slow.read()
		for range slow.inbox {
		}
		again, back := p.resume(welcome, message{"r": joined["cursor"]}, nil)
		missed := message(back.list("rooms")[0].(map[string]any)).list("missed")
		signals := 0
		for _, m := range missed {
			if m := message(m.(map[string]any)); m["type"] == "signal" {
				if want := fmt.Sprintf("%0100d", signals); m["data"] != want {
					t.Fatalf("signal %d is %v", signals, m["data"])
				}
				signals++
			}
		}
		if signals != 100 {
			t.Errorf("%d signals of 100 after the resume", signals)
		}
		again.bye()
		bob.bye()
	})
}

func TestPeerThatDoesNotAnswerPingsIsClosedWithinTheMargin(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		deaf, err := p.dial(&websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		go deaf.read()
		deaf.ask("auth", nil)
		deaf.ask("join", message{"room": "r"})
		started := time.Now()
		for range deaf.inbox {
		}
		if waited := time.Since(started); waited > 15*time.Second {
			t.Errorf("closed after %v", waited)
		}
	})
}

func TestGoodbyeLeavesAndADropLingers(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		for _, end := range []struct {
			how    func(*peer)
			reason string
			after  time.Duration
		}{{(*peer).bye, "left", 0}, {(*peer).drop, "lost", 15 * time.Second}} {
			bob, _ := p.enter("bob")
			bob.ask("join", message{"room": "r"})
			from := time.Now()
			end.how(bob)
			got := ann.want("member_left")
			if got["reason"] != end.reason || time.Since(from).Truncate(time.Second) != end.after {
				t.Errorf("after %v Ann saw %v", time.Since(from), got)
			}
		}
		ann.bye()
	})
}
