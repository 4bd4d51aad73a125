package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roompass/roompass/rooms"
)

func TestOperatorListsRooms(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		if code, answer, _ := p.operate("GET", "/v1/rooms", ""); code != 200 || len(answer.list("rooms")) != 0 || answer["rooms"] == nil {
			t.Errorf("with nobody there: %d %v", code, answer)
		}
		ann, _ := p.enter("ann")
		for _, room := range []string{"b", "game/1", "game/2", "game/3", "a"} {
			ann.ask("join", message{"room": room})
		}
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "b"})
		list := func(query string) (lines []string, next string) {
			t.Helper()
			code, answer, header := p.operate("GET", "/v1/rooms"+query, "", withKey(readKey))
			if code != 200 || header.Get("Cache-Control") != "no-store" || answer["degraded"] != nil {
				t.Errorf("%s: %d %v %v", query, code, answer, header)
			}
			for _, item := range answer.list("rooms") {
				room := message(item.(map[string]any))
				lines = append(lines, fmt.Sprint(room["room"], " ", room["count"]))
			}
			return lines, answer.str("next")
		}
		for query, want := range map[string]string{
			"":                           "a 1,b 2,game/1 1,game/2 1,game/3 1",
			"?prefix=game%2F":            "game/1 1,game/2 1,game/3 1",
			"?prefix=none":               "",
			"?limit=1000&prefix=a":       "a 1",
			"?limit=5&something=unknown": "a 1,b 2,game/1 1,game/2 1,game/3 1",
		} {
			if got, next := list(query); strings.Join(got, ",") != want || next != "" {
				t.Errorf("%s: %q, next %q; want %q", query, got, next, want)
			}
		}
		first, next := list("?limit=2&prefix=game")
		ann.ask("leave", message{"room": "game/2"}) // the last one of the page
		second, last := list("?limit=2&prefix=game&after=" + next)
		if got := strings.Join(append(first, second...), ","); got != "game/1 1,game/2 1,game/3 1" || last != "" {
			t.Errorf("two pages: %q, next %q", got, last)
		}
		if all, _ := list(""); strings.Join(all, ",") != "a 1,b 2,game/1 1,game/3 1" {
			t.Errorf("without the room that was left: %q", all)
		}
		ann.bye()
		bob.bye()
	})
}

func TestOperatorReadsARoom(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		joined := ann.ask("join", message{"room": "r", "data": message{"name": "Ann"}})
		time.Sleep(time.Second)
		anonymous, _ := p.enter("")
		anonymous.ask("join", message{"room": "r"})
		code, answer, _ := p.operate("GET", "/v1/rooms/r", "", withKey(readKey))
		if code != 200 || answer.str("room") != "r" || answer["count"] != 2.0 || len(answer.list("members")) != 2 || answer["next"] != nil {
			t.Fatalf("%d %v", code, answer)
		}
		first, second := message(answer.list("members")[0].(map[string]any)), message(answer.list("members")[1].(map[string]any))
		if first["id"] != joined["member"] || first["user"] != "ann" || first.object("data").str("name") != "Ann" || first["joined_at"] != float64(time.Now().Add(-time.Second).UnixMilli()) {
			t.Errorf("Ann is %v", first)
		}
		if second["user"] != nil || second["data"] != nil || second["id"] == first["id"] {
			t.Errorf("the anonymous one is %v", second)
		}
		ann.drop() // lingers, and counts
		if _, answer, _ := p.operate("GET", "/v1/rooms/r", ""); answer["count"] != 2.0 {
			t.Errorf("with one that lingers: %v", answer)
		}
		anonymous.bye()
		time.Sleep(20 * time.Second)
		if code, answer, _ := p.operate("GET", "/v1/rooms/r", ""); code != 404 || answer.str("code") != "no_such_room" {
			t.Errorf("with nobody in it: %d %v", code, answer)
		}
	})
}

// Pages go on where the last one ended, also when whoever it ended with has left and
// when all have joined in the same moment.
func TestOperatorReadsALargeRoomInPages(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		var peers []*peer
		users := map[any]int{}
		for i := range 10 {
			c, _ := p.enter(fmt.Sprint("user", i))
			c.ask("join", message{"room": "r"})
			peers = append(peers, c)
			if i%4 == 3 {
				time.Sleep(time.Second)
			}
		}
		last, next, pages := 0.0, "", 0
		for {
			pages++
			code, answer, _ := p.operate("GET", "/v1/rooms/r?limit=3&after="+next, "")
			if next == "" {
				code, answer, _ = p.operate("GET", "/v1/rooms/r?limit=3", "")
			}
			if code != 200 {
				t.Fatalf("%d %v", code, answer)
			}
			var end string
			for _, item := range answer.list("members") {
				m := message(item.(map[string]any))
				users[m["user"]]++
				if m["joined_at"].(float64) < last {
					t.Errorf("%v joined before the one ahead of it", m)
				}
				last, end = m["joined_at"].(float64), m.str("user")
			}
			if next = answer.str("next"); next == "" {
				break
			}
			for i := range peers {
				if fmt.Sprint("user", i) == end {
					peers[i].ask("leave", message{"room": "r"})
				}
			}
		}
		if len(users) != 10 || pages != 4 {
			t.Errorf("%d pages had %v", pages, users)
		}
		for user, n := range users {
			if n != 1 {
				t.Errorf("%v came %d times", user, n)
			}
		}
		for _, c := range peers {
			c.bye()
		}
	})
}

func TestOperatorIsToldWhatIsWrongWithAPage(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "a"})
		ann.ask("join", message{"room": "b"})
		_, answer, _ := p.operate("GET", "/v1/rooms?limit=1", "")
		foreign := answer.str("next")
		for path, says := range map[string]string{
			"/v1/rooms?limit=0":            "limit is a number from 1 to 1000",
			"/v1/rooms?limit=1001":         "limit is a number from 1 to 1000",
			"/v1/rooms?limit=-1":           "limit is a number from 1 to 1000",
			"/v1/rooms?limit=":             "limit is a number from 1 to 1000",
			"/v1/rooms?limit=ten":          "limit is a number from 1 to 1000",
			"/v1/rooms?after=":             "after is the next",
			"/v1/rooms?after=a":            "after is the next",
			"/v1/rooms?after=%25":          "after is the next",
			"/v1/rooms?prefix=%zz":         "the query can't be read",
			"/v1/rooms/a?limit=0":          "limit is a number from 1 to 1000",
			"/v1/rooms/a?after=" + foreign: "after is the next",
		} {
			if code, answer, _ := p.operate("GET", path, ""); code != 400 || answer.str("code") != "bad_request" || !strings.Contains(answer.str("detail"), says) {
				t.Errorf("%s: %d %v", path, code, answer)
			}
		}
		ann.bye()
	})
}

// A room's name may be anything but control characters. In a path it is one segment.
func TestOperatorNamesRoomsByPercentEncoding(t *testing.T) {
	inBubble(t, func(c *Config) { c.Limits.Rooms = 32 }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		for name, encoded := range map[string]string{
			"a/b": "a%2Fb", "a b": "a%20b", "a+b": "a+b", "/": "%2F", "//": "%2F%2F", "a/signal": "a%2Fsignal",
			"%": "%25", "%2F": "%252F", "?x=1#y": "%3Fx=1%23y", "ночь": url.PathEscape("ночь"), "ü 🎲": url.PathEscape("ü 🎲"),
			".": "%2E", "..": "%2E%2E", "a;b": "a;b", "{room}": "%7Broom%7D", strings.Repeat("€", 85): strings.Repeat("%E2%82%AC", 85),
		} {
			member := ann.ask("join", message{"room": name}).str("member")
			path := "/v1/rooms/" + encoded
			if code, answer, _ := p.operate("GET", path, ""); code != 200 || answer.str("room") != name {
				t.Errorf("read %q: %d %v", name, code, answer)
			}
			if code, answer, _ := p.operate("POST", path+"/signal", `{"to":"`+member+`","data":"hello"}`); code != 204 {
				t.Errorf("signal to %q: %d %v", name, code, answer)
			}
			if got := ann.want("signal"); got.str("room") != name {
				t.Errorf("signal to %q: got %v", name, got)
			}
			bob, _ := p.enter("bob")
			other := bob.ask("join", message{"room": name}).str("member")
			if code, answer, _ := p.operate("DELETE", path+"/members/"+other, ""); code != 204 {
				t.Errorf("kick from %q: %d %v", name, code, answer)
			}
			bob.wantClose(CloseForbidden)
		}
		for _, encoded := range []string{"%00", "a%0Ab", "%FF", strings.Repeat("x", 257)} {
			if code, answer, _ := p.operate("GET", "/v1/rooms/"+encoded, ""); code != 400 || answer.str("code") != "bad_request" {
				t.Errorf("%.20s can't be a room: %d %v", encoded, code, answer)
			}
		}
		ann.bye()
	})
}

func TestOperatorKicks(t *testing.T) {
	var store *unsteady
	inBubble(t, withUnsteady(&store), func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		bob, welcome := p.enter("bob")
		member := bob.ask("join", message{"room": "r"}).str("member")
		path := "/v1/rooms/r/members/" + member
		store.out.Store(true)
		if code, answer, header := p.operate("DELETE", path, ""); code != 503 || answer.str("code") != "unavailable" || header.Get("Retry-After") != "1" {
			t.Errorf("without the store: %d %v %v", code, answer, header)
		}
		store.out.Store(false)
		if code, answer, _ := p.operate("DELETE", path, ""); code != 204 || answer != nil {
			t.Errorf("kick: %d %v", code, answer)
		}
		if got := bob.want("removed"); got.str("reason") != "kicked" || got.str("room") != "r" {
			t.Errorf("Bob got %v", got)
		}
		bob.wantClose(CloseForbidden)
		if got := ann.want("member_left"); got["member"] != member || got.str("reason") != "kicked" {
			t.Errorf("Ann got %v", got)
		}
		again, _ := p.resume(welcome, message{"r": ""}, nil)
		if got := again.want("removed"); got.str("reason") != "kicked" {
			t.Errorf("Bob came back: %v", got)
		}
		for _, path := range []string{path, "/v1/rooms/r/members/nobody", "/v1/rooms/none/members/" + member, "/v1/rooms/none/members/%2F"} {
			if code, answer, _ := p.operate("DELETE", path, ""); code != 404 || answer.str("code") != "no_such_member" {
				t.Errorf("%s: %d %v", path, code, answer)
			}
		}
		ann.bye()
		again.bye()
	})
}

func TestOperatorSignals(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		bob, _ := p.enter("bob")
		member := bob.ask("join", message{"room": "r"}).str("member")
		ann.pending()
		const path = "/v1/rooms/r/signal"
		if code, answer, _ := p.operate("POST", path, `{"data":{"say":"to all"}}`); code != 204 || answer != nil {
			t.Errorf("to all: %d %v", code, answer)
		}
		if code, answer, _ := p.operate("POST", path, ` { "data" : null , "to" : "`+member+`" } `); code != 204 {
			t.Errorf("to one: %d %v", code, answer)
		}
		synctest.Wait()
		for name, c := range map[string]*peer{"Ann": ann, "Bob": bob} {
			got := c.want("signal")
			if got.object("data").str("say") != "to all" || got["from"] != "" || got.str("cursor") == "" {
				t.Errorf("%s heard %v", name, got)
			}
		}
		if got := bob.want("signal"); got["data"] != nil {
			t.Errorf("Bob heard %v", got)
		}
		if more := ann.pending(); len(more) > 0 {
			t.Errorf("Ann heard what was for Bob: %v", more)
		}
		for body, code := range map[string]string{`{"data":1}`: "no_such_room", `{"data":1,"to":"` + member + `"}`: "no_such_room"} {
			if status, answer, _ := p.operate("POST", "/v1/rooms/none/signal", body); status != 404 || answer.str("code") != code {
				t.Errorf("to a room with nobody in it: %d %v", status, answer)
			}
		}
		if status, answer, _ := p.operate("POST", path, `{"data":1,"to":"nobody"}`); status != 404 || answer.str("code") != "no_such_member" {
			t.Errorf("to nobody: %d %v", status, answer)
		}
		ann.bye()
		bob.bye()
	})
}

// What can't be read in exactly one way is sent to nobody.
func TestOperatorsSignalIsReadStrictly(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		ann.pending()
		for body, says := range map[string]string{
			``:                             "the body is one JSON object with data",
			`[]`:                           "not a JSON object",
			`null`:                         "not a JSON object",
			`"data"`:                       "not a JSON object",
			`{"data":1} {"data":1}`:        "the body is one JSON object with data",
			`{"data":1`:                    "the body is one JSON object with data",
			"{\"data\":\"\xff\"}":          "the body is one JSON object with data",
			`{}`:                           "data is missing",
			`{"to":"x"}`:                   "data is missing",
			`{"data":1,"data":2}`:          "data is given twice",
			`{"data":1,"to":"a","to":"b"}`: "to is given twice",
			`{"data":1,"to":""}`:           "to is a member's id",
			`{"data":1,"to":null}`:         "to is a member's id",
			`{"data":1,"to":7}`:            "to is a member's id",
			`{"data":1,"To":"x"}`:          `"To" is not a field`,
			`{"data":1,"member":"x"}`:      `"member" is not a field`,
			`{"data":1,"d\u0061ta":2}`:     "data is given twice",
			`{"data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`: "the body is one JSON object",
		} {
			code, answer, _ := p.operate("POST", "/v1/rooms/r/signal", body)
			if code != 400 || answer.str("code") != "bad_request" || !strings.Contains(answer.str("detail"), says) {
				t.Errorf("%.40s: %d %v, want %q", body, code, answer, says)
			}
		}
		const around = `{"data":""}`
		for extra, want := range map[int]int{0: 204, 1: 413} {
			body := strings.Replace(around, `""`, `"`+strings.Repeat("x", 64<<10-len(around)+extra)+`"`, 1)
			if code, answer, _ := p.operate("POST", "/v1/rooms/r/signal", body); code != want {
				t.Errorf("a body of %d bytes: %d %v", len(body), code, answer)
			}
		}
		if got := ann.pending(); len(got) != 1 {
			t.Errorf("Ann got %d messages", len(got))
		}
		ann.bye()
	})
}

// apart is a store that is out of reach, on a pod that goes on with what it knows.
type apart struct{ *rooms.Memory }

func (apart) Outage() time.Duration { return time.Second }

func (a apart) Snapshot(ctx context.Context, room string) (rooms.Snapshot, error) {
	is, err := a.Memory.Snapshot(ctx, room)
	is.Degraded = true
	return is, err
}

func TestOperatorSeesThatPodsAreApart(t *testing.T) {
	inBubble(t, func(c *Config) { c.Rooms = apart{c.Rooms.(*rooms.Memory)} }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		for _, path := range []string{"/v1/rooms", "/v1/rooms/r"} {
			if code, answer, _ := p.operate("GET", path, ""); code != 200 || answer["degraded"] != true {
				t.Errorf("%s: %d %v", path, code, answer)
			}
		}
		ann.bye()
	})
}

// Whatever isn't there is a problem too, and in the API only for those with a key.
func TestOperatorAsksForWhatIsNotThere(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for _, is := range []struct {
			method, path, key string
			status            int
			allow             string
		}{
			{"GET", "/", writeKey, 404, ""},
			{"GET", "/nothing", "", 404, ""},
			{"GET", "/v1/nothing", readKey, 404, ""},
			{"GET", "/v1/nothing", "", 401, ""},
			{"GET", "/v1/rooms/", readKey, 404, ""},
			{"GET", "/v1/rooms/a/b", readKey, 404, ""},
			{"POST", "/v1/rooms", writeKey, 405, "GET, HEAD"},
			{"POST", "/v1/rooms", "", 401, "GET, HEAD"},
			{"OPTIONS", "/v1/rooms", "", 401, "GET, HEAD"},
			{"PUT", "/v1/rooms/r", writeKey, 405, "GET, HEAD"},
			{"GET", "/v1/rooms/r/members/m", writeKey, 405, "DELETE, PATCH"},
			{"GET", "/v1/rooms/r/signal", writeKey, 405, "POST"},
			{"POST", "/livez", "", 405, "GET, HEAD"},
		} {
			code, answer, header := p.operate(is.method, is.path, "", withKey(is.key))
			if code != is.status || header.Get("Allow") != is.allow {
				t.Errorf("%s %s: %d %v, Allow %q; want %d, %q", is.method, is.path, code, answer, header.Get("Allow"), is.status, is.allow)
			}
		}
		for _, path := range []string{"/ws", "/client.js", "/v1/token"} {
			if code, _, _ := p.operate("GET", path, ""); code != http.StatusNotFound {
				t.Errorf("%s is on the operator's listener: %d", path, code)
			}
		}
	})
}
