package main

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/rooms/redistest"
)

const looking = "may-only-look-at-rooms" // a key of the operator's API

// roomNames look like something else to Redis, to its cluster's hash tags, to globs, to
// paths or to Lua. Each is a room of its own.
var roomNames = []string{
	"a{b}c", "b", "abc", "}{", "{}", "{", "}", "{pods}", "pods", "{rules}", "{rules}:all", "pod:a:rooms", "roompass:{b}:log",
	"b}:log", "b:members", "*", "[a-z]?", "%7Bpods%7D", "%", "a b", " ", "a\u00a0b", ".", "..", "/", "a/b", "\\", "'", `"`, "--", "nil",
	"é", "e\u0301", "\u200b", "\ufffd", "房间", "🙂", strings.Repeat("r", 256), strings.Repeat("{", 256),
}

func TestAnyNameIsARoomOfItsOwn(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	neighbours := []string{"{pods}:head", "b:members", "roompass", "pods", "{rules}"} // of other programs
	for _, key := range neighbours {
		redis.Do("SET", key, "theirs")
	}
	for store, args := range map[string][]string{"in memory": nil, "over Redis": {"--redis", redis.URL(), "--pod-id", "a"}} {
		t.Run(store, func(t *testing.T) {
			gateway := serveDev(t, append(args, "--max-rooms", "100", "--message-rate", "10000", "--message-burst", "1000", "--admin-key", "read:"+looking)...)
			ann, bob := visit(t, gateway), visit(t, gateway)
			for _, g := range []*guest{ann, bob} {
				g.ask(map[string]any{"type": "auth", "credential": "u"})
				for _, room := range roomNames {
					if got := g.ask(map[string]any{"type": "join", "room": room}); got["type"] != "joined" || got["room"] != room {
						t.Errorf("%q: %v", room, got)
					}
				}
			}
			for i, room := range roomNames {
				if got := ann.ask(map[string]any{"type": "signal", "room": room, "data": i}); got["type"] != "ok" {
					t.Errorf("%q: %v", room, got)
				}
			}
			eventually(t, "Bob hears Ann in every room", func() bool { return len(bob.all("signal")) >= len(roomNames) })
			for _, m := range bob.all("signal") {
				if want := roomNames[int(m["data"].(float64))]; m["room"] != want {
					t.Errorf("what was said in %q was heard in %q", want, m["room"])
				}
			}
			// To leave one is to leave no other.
			for _, room := range roomNames[:len(roomNames)/2] {
				if got := ann.ask(map[string]any{"type": "leave", "room": room}); got["type"] != "left" {
					t.Errorf("%q: %v", room, got)
				}
			}
			eventually(t, "Bob sees Ann leave", func() bool { return len(bob.all("member_left")) >= len(roomNames)/2 })
			for _, room := range roomNames {
				want := 2.0
				if slices.Index(roomNames, room) < len(roomNames)/2 {
					want = 1
				}
				path := "/v1/rooms/" + strings.ReplaceAll(url.PathEscape(room), ".", "%2E")
				if code, got := gateway.operate(t, looking, http.MethodGet, path, ""); got["room"] != room || got["count"] != want {
					t.Errorf("%q: %d %v, want %v members", room, code, got, want)
				}
			}
			if code := gateway.readiness(t); code != http.StatusOK {
				t.Errorf("readyz answers %d", code)
			}
			for _, key := range neighbours {
				if got := redis.Do("GET", key); got != "theirs" {
					t.Errorf("another program's %q is now %q", key, got)
				}
			}
			const others = `local n = 0; for _, k in ipairs(redis.call("KEYS", "*")) do if k:sub(1, 9) ~= "roompass:" then n = n + 1 end end; return n`
			if got := redis.Do("EVAL", others, 0); got != strconv.Itoa(len(neighbours)) {
				t.Errorf("%s keys are without our prefix, want the %d of others", got, len(neighbours))
			}

			refused := visit(t, gateway)
			refused.ask(map[string]any{"type": "auth"})
			for name, room := range map[string]string{
				"empty": "", "NUL": "a\x00b", "NUL alone": "\x00", "a line break": "a\r\nb", "DEL": "a\x7f", "C1": "a\u0085", "257 bytes": strings.Repeat("r", 257), "10 kB": strings.Repeat("r", 10_000),
			} {
				for _, kind := range []string{"join", "leave", "signal", "kick"} {
					if got := refused.ask(map[string]any{"type": kind, "room": room, "data": 1}); got["code"] != "bad_request" {
						t.Errorf("%s, %s: %v", kind, name, got)
					}
				}
			}
			if err := refused.ws.Write(t.Context(), websocket.MessageText, []byte("{\"type\":\"join\",\"room\":\"\xff\"}")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a name that isn't UTF-8 closes the socket", func() bool { return refused.code() == 4400 })
			for _, g := range []*guest{ann, bob} {
				if err := g.ended(); err != nil {
					t.Errorf("a socket ended: %v", err)
				}
			}
		})
	}
}
