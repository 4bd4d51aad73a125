package gateway

import (
	"crypto"
	"crypto/ed25519"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/janus/janustest"
	"github.com/roompass/roompass/tokens"
)

// The plugin goes on without a key where its file can't be read, and lets in everybody.
func TestThePodIsNotReadyBeforeAServerThatMustNotBeUsed(t *testing.T) {
	for name, is := range map[string]struct {
		why, state  string
		wrong, well func(*janustest.Server)
	}{
		"open": {"lets in everybody", janus.StateUnfit, func(s *janustest.Server) { s.Open = true }, func(s *janustest.Server) { s.Open = false }},
		"without the plugin": {"No such plugin", janus.StateUnfit,
			func(s *janustest.Server) { s.NoSFU = true }, func(s *janustest.Server) { s.NoSFU = false }},
		"with a secret": {"Unauthorized request", janus.StateUnfit,
			func(s *janustest.Server) { s.Secret = "another" }, func(s *janustest.Server) { s.Secret = "" }},
		"with a stranger's key": {"takes no token of ours", janus.StateUnfit,
			func(s *janustest.Server) { s.Verify = verifiedBy(ring(t, 9)) }, func(s *janustest.Server) { s.Verify = verifiedBy(ring(t, 0)) }},
	} {
		t.Run(name, func(t *testing.T) {
			withServers(t, 1, func(h *theatre, _ *Config) { is.wrong(h.janus.Server) }, func(t *testing.T, h *theatre) {
				code, problem, _ := h.operate("GET", "/readyz", "")
				if code != 503 || !strings.Contains(problem.str("detail"), is.why) {
					t.Errorf("readyz: %d %v", code, problem)
				}
				_, list, _ := h.operate("GET", "/v1/janus", "")
				if server := message(list.list("servers")[0].(map[string]any)); server.str("state") != is.state {
					t.Errorf("the operator sees %v", server)
				}
				if _, response, _ := h.dialFront(""); response == nil || response.StatusCode != 503 {
					t.Errorf("a browser gets %v", response)
				}
				h.janus.Change(is.well)
				time.Sleep(10 * time.Second)
				if code, problem, _ = h.operate("GET", "/readyz", ""); code != 200 {
					t.Errorf("when it was mended: %d %v", code, problem)
				}
			})
		})
	}
}

func TestAServerThatIsAwayKeepsThePodFromReadyOnlyWhereItIsAlone(t *testing.T) {
	for n, want := range map[int]int{1: 503, 2: 200} {
		withServers(t, n, func(h *theatre, _ *Config) { h.janus.away(true) }, func(t *testing.T, h *theatre) {
			if code, problem, _ := h.operate("GET", "/readyz", ""); code != want {
				t.Errorf("with %d servers: %d %v", n, code, problem)
			}
			h.janus.away(false)
			time.Sleep(10 * time.Second)
			h.janus.away(true) // it isn't the first time
			synctest.Wait()
			if code, problem, _ := h.operate("GET", "/readyz", ""); code != 200 {
				t.Errorf("later: %d %v", code, problem)
			}
		})
	}
}

func TestOneMayBeReadyWithoutJanus(t *testing.T) {
	withServers(t, 1, func(h *theatre, c *Config) { h.janus.Open, c.Janus.Optional = true, true }, func(t *testing.T, h *theatre) {
		if code, problem, _ := h.operate("GET", "/readyz", ""); code != 200 {
			t.Errorf("%d %v", code, problem)
		}
		if _, response, _ := h.dialFront(""); response == nil || response.StatusCode != 503 {
			t.Errorf("but it isn't used: %v", response)
		}
	})
}

// ring is a key ring made of seeds, of which 0 is the harness's own.
func ring(t *testing.T, seeds ...byte) *tokens.KeyRing {
	t.Helper()
	var signers []crypto.Signer
	for _, seed := range seeds {
		whole := make([]byte, ed25519.SeedSize)
		whole[0] = seed
		signers = append(signers, ed25519.NewKeyFromSeed(whole))
	}
	keys, err := tokens.NewKeyRing(tokens.KeyOptions{}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Each server gets the new key when it is started anew, and not before.
func TestEachServerIsShownTokensOfTheKeyThatItHas(t *testing.T) {
	withServers(t, 2, func(h *theatre, c *Config) {
		c.Keys = ring(t, 1, 0) // 1 is the new one
		for _, s := range h.servers {
			s.Verify = verifiedBy(ring(t, 0))
		}
	}, func(t *testing.T, h *theatre) {
		come := func(room, user string) {
			t.Helper()
			a := h.attachFor(room)
			if m := a.join(room, user, h.tokenFor(user, room)); !succeeded(m) {
				t.Errorf("%s: %v", room, m)
			}
			defer a.bye()
		}
		come("r", "A")
		come("s", "B")
		for _, s := range h.servers { // one after the other
			s.away(true)
			s.Change(func(is *janustest.Server) { is.Verify = verifiedBy(ring(t, 1)) })
			s.away(false)
			time.Sleep(10 * time.Second)
			come("r", "A")
			come("s", "B")
		}
		for _, s := range h.servers {
			for _, why := range s.Refused() {
				// The front finds out by trying.
				if why != "Rejecting anonymous join!" {
					t.Errorf("%s: %s", s.name, why)
				}
			}
		}
	})
}

// where is the server that a user_id is on; "" is none, or several.
func (h *theatre) where(room, userID string) (at string) {
	for _, s := range h.servers {
		if slices.Contains(s.Occupants(room), userID) {
			at += s.name
		}
	}
	return at
}

func (h *theatre) come(room, user string) *adapter {
	h.t.Helper()
	a := h.attachFor(room)
	if m := a.join(room, user, h.tokenFor(user, room)); !succeeded(m) {
		h.t.Fatalf("%s in %s: %v", user, room, m)
	}
	return a
}

func TestARoomIsOnOneServerAndRoomsAreOnTheLeastUsed(t *testing.T) {
	withServers(t, 2, nil, func(t *testing.T, h *theatre) {
		var all []*adapter
		for _, room := range []string{"r", "s", "t", "u"} {
			all = append(all, h.come(room, "A"), h.come(room, "B"))
			if a, b := h.where(room, "A"), h.where(room, "B"); a != b {
				t.Errorf("in %s A is on %s and B on %s", room, a, b)
			}
		}
		_, list, _ := h.operate("GET", "/v1/janus", "")
		for _, is := range list.list("servers") {
			if server := message(is.(map[string]any)); server["sockets"] != 4.0 || server["total"] != 4.0 {
				t.Errorf("%v", server)
			}
		}
		if m := h.attachFor("r").join("s", "C", h.tokenFor("c", "s")); whyNot(m) != "Rejecting join without permission!" {
			t.Errorf("in another room than was said: %v", m)
		}
		if _, response, _ := h.dialFront(""); response == nil || response.StatusCode != 400 {
			t.Errorf("without a room: %v", response)
		}
		for _, a := range all {
			a.bye()
		}
	})
}

func TestTheRoomsOfAServerThatDiesMove(t *testing.T) {
	withServers(t, 2, nil, func(t *testing.T, h *theatre) {
		ann, ben := h.come("r", "A"), h.come("r", "B")
		before := h.where("r", "A")
		for _, s := range h.servers {
			s.away(s.name == before)
		}
		ann.wantClose(websocket.StatusServiceRestart)
		ben.wantClose(websocket.StatusServiceRestart)
		ann, ben = h.come("r", "A"), h.come("r", "B")
		if a, b := h.where("r", "A"), h.where("r", "B"); a == before || a != b {
			t.Errorf("A is on %s and B on %s; they were on %s", a, b, before)
		}
		ann.bye()
		ben.bye()
	})
}

// A Janus that is started anew is there again before its rooms have moved.
func TestTheRoomsOfAServerThatIsBackSoonStay(t *testing.T) {
	withServers(t, 2, nil, func(t *testing.T, h *theatre) {
		ann := h.come("r", "A")
		before := h.where("r", "A")
		for _, s := range h.servers {
			if s.name == before {
				s.away(true)
				time.AfterFunc(500*time.Millisecond, func() { s.away(false) })
			}
		}
		ann.wantClose(websocket.StatusServiceRestart)
		ann = h.come("r", "A")
		if at := h.where("r", "A"); at != before {
			t.Errorf("on %s, not %s", at, before)
		}
		ann.bye()
	})
}

// A process that is stopped answers no more, and no socket says so.
func TestAServerThatHangsIsLeft(t *testing.T) {
	withServers(t, 2, nil, func(t *testing.T, h *theatre) {
		ann := h.come("r", "A")
		before := h.where("r", "A")
		for _, s := range h.servers {
			if s.name == before {
				s.Change(func(is *janustest.Server) { is.Hangs = true })
				s.down.Store(true)
			}
		}
		ann.wantClose(websocket.StatusServiceRestart)
		ann = h.come("r", "A")
		for _, s := range h.servers {
			if s.name != before && !slices.Contains(s.Occupants("r"), "A") {
				t.Errorf("A isn't on %s", s.name)
			}
		}
		ann.bye()
	})
}

func TestAnOperatorDrainsAServer(t *testing.T) {
	withServers(t, 2, nil, func(t *testing.T, h *theatre) {
		ann, ben := h.come("r", "A"), h.come("r", "B")
		before := h.where("r", "A")
		path := "/v1/janus/" + before + "/drain"
		if code, answer, _ := h.operate("DELETE", path, ""); code != 404 || answer.str("code") != codeNotDrained {
			t.Errorf("undrain: %d %v", code, answer)
		}
		if code, answer, _ := h.operate("POST", "/v1/janus/nobody/drain", ""); code != 404 || answer.str("code") != codeNoSuchServer {
			t.Errorf("of nobody: %d %v", code, answer)
		}
		if code, answer, _ := h.operate("POST", path, ""); code != 200 || answer.str("server") != before {
			t.Fatalf("drain: %d %v", code, answer)
		}
		ann.wantClose(websocket.StatusServiceRestart)
		ben.wantClose(websocket.StatusServiceRestart)
		ann, ben = h.come("r", "A"), h.come("r", "B")
		after := h.where("r", "A")
		if after == before || h.where("r", "B") != after {
			t.Errorf("A is on %s, B on %s", after, h.where("r", "B"))
		}
		if code, answer, _ := h.operate("POST", "/v1/janus/"+after+"/drain", ""); code != 409 || answer.str("code") != codeLastServer {
			t.Errorf("the last one: %d %v", code, answer)
		}
		other := h.come("s", "C")
		if at := h.where("s", "C"); at != after {
			t.Errorf("a new room is on %s", at)
		}
		if code, answer, _ := h.operate("DELETE", path, ""); code != 204 {
			t.Errorf("undrain: %d %v", code, answer)
		}
		more := h.come("t", "D")
		if at := h.where("t", "D"); at != before {
			t.Errorf("then a new room is on %s", at)
		}
		for _, a := range []*adapter{ann, ben, other, more} {
			a.bye()
		}
	})
}

// A server can be told to keep the sessions of those who lost their socket.
func TestWhoIsPutOutIsKickedInJanusToo(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		ben := h.attach()
		ben.join("r", "B", h.tokenFor("ben", "r"))
		h.revoke(`{"user":"ben","for":"1h"}`)
		ben.wantClose(websocket.StatusNormalClosure)
		synctest.Wait()
		kicks := 0
		for _, m := range h.janus.Seen() {
			if m.Body.Kind == "kick" && m.Body.UserID == "B" && m.Body.RoomID == "r" {
				kicks++
				if _, may, ok := h.janus.Verify(m.Body.Token); !may || !ok {
					t.Errorf("the kick's token doesn't hold")
				}
			}
		}
		if kicks != 1 {
			t.Errorf("%d kicks", kicks)
		}
	})
}

func TestASocketWhoseOwnerNobodyKnowsIsBounded(t *testing.T) {
	withJanus(t, func(c *Config) { c.Limits.Unauthenticated = 2 }, func(t *testing.T, h *theatre) {
		ann, idle := h.attach(), h.attach()
		if _, response, _ := h.dialFront(""); response == nil || response.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the third: %v", response)
		}
		ann.join("r", "A", h.tokenFor("ann", "r"))
		h.attach().bye() // one of them is known by now
		time.Sleep(time.Hour)
		idle.wantClose(websocket.StatusServiceRestart)
		if is := h.janus.Occupants("r"); len(is) != 1 {
			t.Errorf("in Janus's room are %v", is)
		}
		ann.bye()
	})
}
