package gateway

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roompass/roompass/rooms"
)

// change asks the operator's API for another right.
func (p *pod) change(room, member, body string) message {
	p.t.Helper()
	code, answer, _ := p.operate("PATCH", "/v1/rooms/"+room+"/members/"+member, body)
	if code != 200 {
		p.t.Fatalf("PATCH %s: %d %v", body, code, answer)
	}
	return answer
}

// mint asks for a token without a socket.
func (p *pod) mint(credential, room string) (int, message) {
	p.t.Helper()
	r := httptest.NewRequest("POST", "http://gateway.test/v1/token", strings.NewReader(`{"credential":"`+credential+`","room":"`+room+`"}`))
	code, text, _ := get(p.server.Public(), r)
	return code, asMessage(p.t, text)
}

func TestARightThatIsTakenIsGoneAtOnceAndNeverSignedAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		member := bob.ask("join", message{"room": "r"}).str("member")
		if !p.claims(joined.object("token")).KickUsers {
			t.Fatal("Ann may not kick to begin with")
		}
		began := time.Now()
		answer := p.change("r", joined.str("member"), `{"kick_users":false}`)
		if got := p.claims(ann.want("token")); got.KickUsers || !got.JoinHub || time.Since(began) > 0 {
			t.Errorf("after %v her token says %+v", time.Since(began), got)
		}
		if answer["user"] != "ann" || answer["kick_users"] != false || int64(answer["until"].(float64)) != began.Add(12*time.Hour).UnixMilli() {
			t.Errorf("the operator is told %v", answer)
		}
		if got := ann.ask("kick", message{"room": "r", "member": member}); got["code"] != "not_allowed" {
			t.Errorf("she still kicks: %v", got)
		}
		none := func(when string, token message) {
			t.Helper()
			if p.claims(token).KickUsers {
				t.Errorf("%s she has the right again", when)
			}
		}
		for range 5 {
			none("at a refresh", ann.want("token"))
		}
		newest := ann.want("token")
		ann.drop()
		again, back := p.resume(welcome, message{"r": joined["cursor"]}, message{"r": newest["expires_at"]})
		none("after a resume", back.list("rooms")[0].(map[string]any)["token"].(map[string]any))
		again.ask("leave", message{"room": "r"})
		none("after leaving", again.ask("join", message{"room": "r"}).object("token"))
		other, _ := p.enter("ann")
		none("in another session", other.ask("join", message{"room": "r"}).object("token"))
		if !p.claims(other.ask("join", message{"room": "another"}).object("token")).KickUsers {
			t.Error("she lost the right in another room")
		}
		if code, token := p.mint("ann", "r"); code != 200 {
			t.Errorf("a token without a socket: %d %v", code, token)
		} else {
			none("without a socket", token)
		}
		if len(bob.pending()) == 0 || !p.claims(bob.want("token")).KickUsers {
			t.Error("Bob lost the right")
		}
		for _, c := range []*peer{again, other, bob} {
			c.bye()
		}
	})
}

func TestARightThatIsGivenCountsUntilItsTimeIsOver(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("")
		joined := ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("")
		other := bob.ask("join", message{"room": "r"})
		p.change("r", joined.str("member"), `{"kick_users":true,"join_hub":false,"for":3600000}`)
		if got := p.claims(ann.want("token")); !got.KickUsers || got.JoinHub {
			t.Errorf("her token says %+v", got)
		}
		ann.ask("leave", message{"room": "r"})
		if got := p.claims(ann.ask("join", message{"room": "r"}).object("token")); !got.KickUsers {
			t.Error("the one member that it is about lost the right by leaving")
		}
		if got := p.claims(bob.want("token")); got.KickUsers || !got.JoinHub {
			t.Errorf("another anonymous person has %+v", got)
		}
		if got := ann.ask("kick", message{"room": "r", "member": other["member"]}); got["type"] != "ok" {
			t.Errorf("she may kick, and: %v", got)
		}
		time.Sleep(time.Hour)
		ann.ask("leave", message{"room": "r"})
		if got := p.claims(ann.ask("join", message{"room": "r"}).object("token")); got.KickUsers || !got.JoinHub {
			t.Errorf("an hour later her token says %+v", got)
		}
		ann.bye()
		bob.wantClose(CloseForbidden)
	})
}

func TestChangesOfRightsThatCannotBeMeantAreRefused(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		member := ann.ask("join", message{"room": "r"}).str("member")
		for body, says := range map[string]string{
			`{}`: "kick_users or join_hub", `{"for":"1h"}`: "kick_users or join_hub", `[]`: "one JSON object", ``: "one JSON object",
			`{"kick_users":null}`: "true or false", `{"kick_users":"true"}`: "true or false", `{"join_hub":1}`: "true or false",
			`{"kick_users":true,"kick_users":false}`: "twice", `{"Kick_users":true}`: "not a field",
			`{"kick_users":true,"for":0}`: "for is how long", `{"kick_users":true,"for":"soon"}`: "for is how long",
			`{"kick_users":true,"for":-1}`: "for is how long", `{"kick_users":true,"for":"9000h"}`: "for is how long",
			`{"kick_users":true,"for":1e3}`: "for is how long", `{"kick_users":true,"for":99999999999999999999}`: "for is how long",
		} {
			code, answer, _ := p.operate("PATCH", "/v1/rooms/r/members/"+member, body)
			if code != 400 || !strings.Contains(answer.str("detail"), says) {
				t.Errorf("%s: %d %v, want it to say %q", body, code, answer, says)
			}
		}
		if got := ann.pending(); len(got) > 0 {
			t.Errorf("Ann was told of it: %v", got)
		}
		ann.bye()
	})
}

// revoke asks the operator's API to put a user out.
func (p *pod) revoke(body string) message {
	p.t.Helper()
	code, answer, _ := p.operate("POST", "/v1/revocations", body)
	if code != 200 {
		p.t.Fatalf("POST %s: %d %v", body, code, answer)
	}
	return answer
}

func TestWhoIsRevokedIsOutAndStaysOut(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		cursor := ann.ask("join", message{"room": "r"})["cursor"]
		token := ann.ask("join", message{"room": "s"}).object("token")
		idle, _ := p.enter("ann")            // in no room
		lingering, lingers := p.enter("ann") // without a socket
		lingering.ask("join", message{"room": "r"})
		lingering.drop()
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})

		began := time.Now()
		answer := p.revoke(`{"user":"ann","for":"1h"}`)
		exposed := int64(answer["exposure_until"].(float64))
		if exposed < int64(token["expires_at"].(float64)) || exposed > began.Add(5*time.Minute).UnixMilli() {
			t.Errorf("exposure until %v; her newest token runs out at %v", exposed, token["expires_at"])
		}
		for range 2 {
			if got := ann.want("removed"); got["reason"] != "revoked" {
				t.Errorf("she is told %v", got)
			}
		}
		ann.wantClose(CloseForbidden)
		idle.wantClose(CloseForbidden)
		for range 2 {
			if got := bob.want("member_left"); got["reason"] != "revoked" || time.Since(began) > 0 {
				t.Errorf("after %v Bob sees %v", time.Since(began), got)
			}
		}
		for when, c := range map[string]*peer{"with a credential": p.connect(), "by a resume": p.connect(), "by a resume of who lingered": p.connect()} {
			switch when {
			case "with a credential":
				c.send(message{"type": "auth", "credential": "ann"})
			case "by a resume":
				c.send(message{"type": "auth", "resume": message{"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"r": cursor}}})
			default:
				c.send(message{"type": "auth", "credential": "ann", "resume": message{"session": lingers["session"], "secret": lingers["secret"]}})
			}
			if code, reason := c.closed(); code != CloseForbidden || reason != "revoked" {
				t.Errorf("%s: %d %q", when, code, reason)
			}
		}
		if code, answer := p.mint("ann", "r"); code != 403 {
			t.Errorf("a token without a socket: %d %v", code, answer)
		}
		time.Sleep(time.Hour)
		back, _ := p.enter("ann")
		if got := back.ask("join", message{"room": "r"}); got["type"] != "joined" {
			t.Errorf("when it is over: %v", got)
		}
		back.bye()
		bob.bye()
	})
}

func TestARevocationOfOneRoomIsOfThatRoomOnly(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		cursors := message{"r": ann.ask("join", message{"room": "r"})["cursor"], "s": ann.ask("join", message{"room": "s"})["cursor"]}
		last, _ := p.enter("ann")
		last.ask("join", message{"room": "r"})
		id := p.revoke(`{"user":"ann","room":"r","for":3600000}`).str("id")
		if got := ann.want("removed"); got["room"] != "r" || got["reason"] != "revoked" {
			t.Errorf("she is told %v", got)
		}
		last.wantClose(CloseForbidden) // it was in no other room
		if got := ann.ask("join", message{"room": "r"}); got["code"] != "not_allowed" || !strings.Contains(got.str("message"), "revoked") {
			t.Errorf("she joins: %v", got)
		}
		if got := ann.want("token"); got["room"] != "s" {
			t.Errorf("a token for %v", got["room"])
		}
		ann.drop()
		ann, back := p.resume(welcome, cursors, nil)
		if list := back.list("rooms"); back["resumed"] != true || len(list) != 1 {
			t.Errorf("she comes back to %v", list)
		}
		if got := ann.want("removed"); got["room"] != "r" || got["reason"] != "revoked" {
			t.Errorf("on coming back she is told %v", got)
		}
		if code, _, _ := p.operate("DELETE", "/v1/revocations/"+id, ""); code != 204 {
			t.Errorf("lifting it: %d", code)
		}
		if got := ann.ask("join", message{"room": "r"}); got["type"] != "joined" {
			t.Errorf("once it is lifted: %v", got)
		}
		ann.bye()
	})
}

func TestRevocationsAreListedTheNewestFirst(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for _, user := range []string{"a", "b", "c"} {
			p.revoke(`{"user":"` + user + `","room":"r","for":"1h"}`)
			time.Sleep(time.Millisecond)
		}
		var users []string
		for path := "/v1/revocations?limit=2"; path != ""; {
			_, answer, _ := p.operate("GET", path, "")
			for _, r := range answer.list("revocations") {
				users = append(users, message(r.(map[string]any)).str("user"))
			}
			if path = ""; answer.str("next") != "" {
				path = "/v1/revocations?limit=2&after=" + answer.str("next")
			}
		}
		if got := strings.Join(users, ""); got != "cba" {
			t.Errorf("listed %q", got)
		}
		for body, says := range map[string]string{
			`{"user":"a"}`: "for is missing", `{"for":"1h"}`: "user is", `{"user":"","for":"1h"}`: "user is", `{"user":7,"for":"1h"}`: "user is",
			`{"user":"a","for":"1h","room":""}`: "room is missing", `{"user":"a","for":"1h","room":null}`: "room is a room's name",
			`{"user":"a","for":"1h","member":"m"}`: "not a field", `{"user":"` + strings.Repeat("x", 257) + `","for":1}`: "longer than 256",
		} {
			code, answer, _ := p.operate("POST", "/v1/revocations", body)
			if code != 400 || !strings.Contains(answer.str("detail"), says) {
				t.Errorf("%s: %d %v, want it to say %q", body, code, answer, says)
			}
		}
	})
}

func TestARevocationDoesNotWaitForTheStore(t *testing.T) {
	var store *unsteady
	inBubble(t, withUnsteady(&store), func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		store.out.Store(true)
		p.revoke(`{"user":"ann","for":"1h"}`)
		if got := ann.want("removed"); got["reason"] != "revoked" {
			t.Errorf("she is told %v", got)
		}
		ann.wantClose(CloseForbidden)
		store.out.Store(false)
	})
}

// slow are rooms whose store takes its time to put somebody out.
type slow struct{ *rooms.Memory }

func (s slow) Remove(ctx context.Context, room, member string, why rooms.Reason) error {
	time.Sleep(10 * time.Second)
	return s.Memory.Remove(ctx, room, member, why)
}

func TestAThousandRevocationsDoNotDelayAToken(t *testing.T) {
	inBubble(t, func(c *Config) { c.Rooms = slow{c.Rooms.(*rooms.Memory)} }, func(t *testing.T, p *pod) {
		honest, _ := p.enter("bob")
		honest.ask("join", message{"room": "r"})
		var revoked []*peer
		for i := range 200 {
			c, _ := p.enter(fmt.Sprint("eve", i))
			c.ask("join", message{"room": "s"})
			revoked = append(revoked, c)
		}
		time.Sleep(3*time.Minute + 30*time.Second)
		synctest.Wait()
		honest.pending()
		signed := p.server.schedule.Len()
		for i := range 1000 {
			p.revoke(fmt.Sprintf(`{"user":"eve%d","for":"1h"}`, i))
		}
		synctest.Wait()
		if left := p.server.schedule.Len(); left != signed-len(revoked) {
			t.Errorf("tokens are still signed for %d who were revoked", left-signed+len(revoked))
		}
		due := time.Now()
		if honest.want("token"); time.Since(due) > 30*time.Second {
			t.Errorf("the token came %v later", time.Since(due))
		}
		for _, c := range revoked {
			c.wantClose(CloseForbidden)
		}
		honest.bye()
	})
}
