package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/janus/janustest"
	"github.com/roompass/roompass/tokens"
)

// A theatre is a pod with a front, and the Janus servers behind it.
type theatre struct {
	*pod
	janus   *stage
	servers []*stage // janus is the first
}

// A stage is a Janus that can be away. It verifies each token strictly at the moment
// at which it comes.
type stage struct {
	*janustest.Server
	name   string
	listen *pipes
	down   atomic.Bool
}

// away has the server be as if its process were killed, and there again.
func (s *stage) away(is bool) {
	s.down.Store(is)
	if is {
		s.Cut()
	}
}

// withJanus runs a test against a pod with a front of a Janus.
func withJanus(t *testing.T, change func(*Config), test func(t *testing.T, h *theatre)) {
	t.Helper()
	withServers(t, 1, func(_ *theatre, c *Config) {
		if change != nil {
			change(c)
		}
	}, test)
}

// withServers runs a test against a pod with a front of several; prepare may change
// what there is before the pod starts.
func withServers(t *testing.T, n int, prepare func(*theatre, *Config), test func(t *testing.T, h *theatre)) {
	t.Helper()
	h := &theatre{}
	for i := range n {
		h.servers = append(h.servers, &stage{Server: &janustest.Server{}, name: fmt.Sprintf("janus%d.test", i)})
	}
	h.janus = h.servers[0]
	var serving []*http.Server
	inBubble(t, func(c *Config) {
		c.Janus = &janus.Config{Client: &http.Client{Transport: &http.Transport{DialContext: h.dialJanus, DisableKeepAlives: true}}}
		for _, s := range h.servers {
			s.listen = newPipes() // the bubble's own
			server := &http.Server{Handler: s}
			serving = append(serving, server)
			go func() { _ = server.Serve(s.listen) }()
			c.Janus.Servers = append(c.Janus.Servers, "ws://"+s.name)
			s.Verify = verifiedBy(c.Keys)
		}
		if prepare != nil {
			prepare(h, c)
		}
	}, func(t *testing.T, p *pod) {
		h.pod = p
		synctest.Wait()
		for _, s := range h.servers {
			s.Forget() // how the front looked at it
		}
		test(t, h)
		for i, server := range serving {
			_ = server.Close()
			h.servers[i].Cut()
		}
	})
}

// verifiedBy has a Janus take the tokens of a key ring.
func verifiedBy(keys *tokens.KeyRing) func(string) ([]string, bool, bool) {
	return func(token string) ([]string, bool, bool) {
		claims, err := keys.Verify(token, time.Now())
		return claims.Rooms, claims.KickUsers, err == nil
	}
}

func (h *theatre) dialJanus(ctx context.Context, network, address string) (net.Conn, error) {
	for _, s := range h.servers {
		if strings.HasPrefix(address, s.name+":") && !s.down.Load() {
			return s.listen.dial(ctx, network, address)
		}
	}
	return nil, errors.New("connection refused")
}

// An adapter speaks janus-protocol as naf-janus-adapter does.
type adapter struct {
	t       *testing.T
	ws      *websocket.Conn
	heard   chan message
	code    chan websocket.StatusCode
	session float64
	handle  float64
	user    string
	n       int
}

// dialFront opens a socket to the front; query is "" or begins with ?.
func (h *theatre) dialFront(query string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return websocket.Dial(ctx, "ws://gateway.test/janus"+query, &websocket.DialOptions{
		Subprotocols: []string{janus.Subprotocol},
		HTTPClient:   &http.Client{Transport: &http.Transport{DialContext: h.listener.dial, DisableKeepAlives: true}},
	})
}

func (h *theatre) open(query string) *adapter {
	h.t.Helper()
	ws, _, err := h.dialFront(query)
	if err != nil {
		h.t.Fatal(err)
	}
	ws.SetReadLimit(4 << 20)
	a := &adapter{t: h.t, ws: ws, heard: make(chan message, 1000), code: make(chan websocket.StatusCode, 1)}
	go func() {
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				var closed websocket.CloseError
				errors.As(err, &closed)
				a.code <- closed.Code
				return
			}
			var m message
			_ = json.Unmarshal(text, &m)
			a.heard <- m
		}
	}()
	return a
}

func (a *adapter) write(text string) {
	a.t.Helper()
	if err := a.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		a.t.Fatalf("%.100s: %v", text, err)
	}
}

// ask sends a request, and returns the answer to it that isn't an ack.
func (a *adapter) ask(fields message) message {
	a.t.Helper()
	a.n++
	transaction := "t" + string(rune('0'+a.n%10)) + strings.Repeat("x", a.n/10)
	fields["transaction"] = transaction
	text, _ := json.Marshal(fields)
	a.write(string(text))
	for {
		select {
		case m := <-a.heard:
			if m.str("transaction") == transaction && m.str("janus") != "ack" {
				return m
			}
		case <-time.After(20 * time.Second):
			a.t.Fatalf("no answer to %s", text)
		}
	}
}

// attach makes a session, and a handle in it.
func (h *theatre) attach() *adapter {
	h.t.Helper()
	return h.attachFor("")
}

// attachFor is attach for a room, where there are several servers.
func (h *theatre) attachFor(room string) *adapter {
	h.t.Helper()
	query := ""
	if room != "" {
		query = "?room=" + room
	}
	a := h.open(query)
	a.session = a.ask(message{"janus": "create"}).object("data")["id"].(float64)
	a.handle = a.attachMore()
	return a
}

func (a *adapter) attachMore() float64 {
	a.t.Helper()
	m := a.ask(message{"janus": "attach", "session_id": a.session, "plugin": janus.SFU})
	return m.object("data")["id"].(float64)
}

// say sends a body to the plugin, and returns what that answered.
func (a *adapter) say(handle float64, body message) message {
	a.t.Helper()
	return a.ask(message{"janus": "message", "session_id": a.session, "handle_id": handle, "body": body}).object("plugindata").object("data")
}

// join joins as a publisher; token may be "".
func (a *adapter) join(room, user, token string) message {
	a.t.Helper()
	a.user = user
	body := message{"kind": "join", "room_id": room, "user_id": user, "subscribe": message{"notifications": true, "data": true}}
	if token != "" {
		body["token"] = token
	}
	return a.say(a.handle, body)
}

// subscribe joins on a handle of its own, for somebody's media.
func (a *adapter) subscribe(room, media, token string) message {
	a.t.Helper()
	return a.say(a.attachMore(), message{
		"kind": "join", "room_id": room, "user_id": a.user, "subscribe": message{"media": media}, "token": token,
	})
}

func (a *adapter) wantClose(want websocket.StatusCode) {
	a.t.Helper()
	select {
	case code := <-a.code:
		if code != want {
			a.t.Errorf("closed with %d, want %d", code, want)
		}
	case <-time.After(time.Minute):
		a.t.Errorf("not closed, want %d", want)
	}
}

func (a *adapter) bye() { _ = a.ws.Close(websocket.StatusNormalClosure, "") }

// tokenFor is one as the app's page gets it, from POST /v1/token.
func (h *theatre) tokenFor(user, room string) string {
	h.t.Helper()
	_, token, err := h.server.mint(context.Background(), user, room, "")
	if err != nil {
		h.t.Fatal(err)
	}
	return token.JWT
}

func succeeded(m message) bool { return m["success"] == true }

func whyNot(m message) string { return m.object("error").str("msg") }

// What it is all for: tokens were set once, five lifetimes pass, a third comes, and
// everybody can hear everybody.
func TestAnAdapterThatSetATokenOnceHearsWhoComesLater(t *testing.T) {
	withJanus(t, strictly, func(t *testing.T, h *theatre) {
		anns, bens := h.tokenFor("ann", "r"), h.tokenFor("ben", "r")
		ann, ben := h.attach(), h.attach()
		for who, m := range map[string]message{"ann": ann.join("r", "A", anns), "ben": ben.join("r", "B", bens)} {
			if !succeeded(m) {
				t.Fatalf("%s: %v", who, m)
			}
		}
		time.Sleep(25 * time.Minute)
		cleo := h.attach()
		if m := cleo.join("r", "C", h.tokenFor("cleo", "r")); !succeeded(m) || len(m.object("response").object("users").list("r")) != 2 {
			t.Fatalf("cleo: %v", m)
		}
		for _, m := range []message{
			ann.subscribe("r", "C", anns), ben.subscribe("r", "C", bens), cleo.subscribe("r", "A", ""), cleo.subscribe("r", "B", ""), ann.subscribe("r", "B", anns),
		} {
			if !succeeded(m) {
				t.Errorf("%v", m)
			}
		}
		if refused := h.janus.Refused(); len(refused) != 0 {
			t.Errorf("Janus refused: %v", refused)
		}
		for _, a := range []*adapter{ann, ben, cleo} {
			a.bye()
		}
	})
}

// strictly has a credential be needed, which an adapter's socket doesn't show.
func strictly(c *Config) { c.Access = doorman{} }

// doorman lets in who has a name.
type doorman struct{ access.Open }

func (d doorman) Authenticate(ctx context.Context, r access.Request) (access.Person, error) {
	if r.Credential == "" {
		return access.Person{}, access.Denial{Reason: "no credential"}
	}
	return d.Open.Authenticate(ctx, r)
}

func TestMembersOfBothKindsSeeEachOther(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		ann, _ := h.enter("ann")
		ann.ask("join", message{"room": "r"})
		ben := h.attach()
		if m := ben.join("r", "B", h.tokenFor("ben", "r")); !succeeded(m) {
			t.Fatal(m)
		}
		came := ann.want("member_joined").object("member")
		if came.str("user") != "ben" || came.object("data").str("user_id") != "B" {
			t.Errorf("ann sees %v", came)
		}
		_, room, _ := h.operate("GET", "/v1/rooms/r", "")
		if room["count"] != 2.0 {
			t.Errorf("the operator sees %v", room)
		}
		ben.bye()
		if left := ann.want("member_left"); left.str("reason") != "left" || left.str("member") != came.str("id") {
			t.Errorf("ann sees %v", left)
		}
		ann.bye()
	})
}

// What a member of /ws writes into its data doesn't make it somebody in Janus.
func TestAUserIDIsNotTakenByPresenceData(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		eve, _ := h.enter("eve")
		eve.ask("join", message{"room": "r", "data": message{"user_id": "B"}})
		ben := h.attach()
		if m := ben.join("r", "B", h.tokenFor("ben", "r")); !succeeded(m) {
			t.Errorf("ben: %v", m)
		}
		again := h.attach()
		if m := again.join("r", "E", h.tokenFor("eve", "r")); !succeeded(m) {
			t.Errorf("eve, who is on both: %v", m)
		}
		if m := again.say(again.handle, message{"kind": "kick", "room_id": "r", "user_id": "nobody"}); !succeeded(m) {
			t.Errorf("a kick of nobody: %v", m)
		}
		_, room, _ := h.operate("GET", "/v1/rooms/r", "")
		if room["count"] != 3.0 {
			t.Errorf("in the room are %v", room)
		}
		h.revoke(`{"user":"eve","for":"1h"}`)
		again.wantClose(websocket.StatusNormalClosure)
		eve.wantClose(CloseForbidden)
		ben.bye()
	})
}

// One of two who want one user_id at the same moment has it.
func TestAUserIDIsOnePersons(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		var coming sync.WaitGroup
		var in atomic.Int64
		var all []*adapter
		for i := range 10 {
			a, token := h.attach(), h.tokenFor(fmt.Sprint("user", i), "r")
			all = append(all, a)
			coming.Go(func() {
				if succeeded(a.join("r", "A", token)) {
					in.Add(1)
				}
			})
		}
		coming.Wait()
		if is := h.janus.Occupants("r"); in.Load() != 1 || len(is) != 1 {
			t.Errorf("%d are in, and in Janus %v", in.Load(), is)
		}
		for _, a := range all {
			a.bye()
		}
	})
}

func TestWhoIsKickedOrRevokedIsOutOfJanusAndStaysAway(t *testing.T) {
	for name, put := range map[string]func(*testing.T, *theatre, *peer, string){
		"a member kicks": func(t *testing.T, _ *theatre, ann *peer, member string) {
			ann.ask("kick", message{"room": "r", "member": member})
		},
		"the operator kicks": func(t *testing.T, h *theatre, _ *peer, member string) {
			if code, _, _ := h.operate("DELETE", "/v1/rooms/r/members/"+member, ""); code != 204 {
				t.Errorf("%d", code)
			}
		},
		"the operator revokes": func(_ *testing.T, h *theatre, _ *peer, _ string) { h.revoke(`{"user":"ben","for":"1h"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			withJanus(t, nil, func(t *testing.T, h *theatre) {
				ann, _ := h.enter("ann")
				ann.ask("join", message{"room": "r"})
				ben := h.attach()
				ben.join("r", "B", h.tokenFor("ben", "r"))
				member := ann.want("member_joined").object("member").str("id")
				put(t, h, ann, member)
				ben.wantClose(websocket.StatusNormalClosure)
				time.Sleep(time.Second)
				if is := h.janus.Occupants("r"); len(is) != 0 {
					t.Errorf("in Janus's room are %v", is)
				}
				ann.bye()
			})
		})
	}
}

func TestTheFrontRefusesAsThePluginWould(t *testing.T) {
	withJanus(t, strictly, func(t *testing.T, h *theatre) {
		expired := h.tokenFor("eve", "r")
		time.Sleep(6 * time.Minute)
		ann, ben, eve := h.attach(), h.attach(), h.attach()
		ann.join("r", "A", h.tokenFor("ann", "r"))
		ben.join("other", "B", h.tokenFor("ben", "other"))
		for name, is := range map[string]struct {
			got  message
			want string
		}{
			"nobody":               {eve.join("r", "E", ""), "Rejecting anonymous join!"},
			"a forged token":       {eve.join("r", "E", "eyJhbGciOiJub25lIn0.e30."), "Rejecting join with invalid token!"},
			"an expired token":     {eve.join("r", "E", expired), "Rejecting join with invalid token!"},
			"another's name":       {eve.join("r", "A", h.tokenFor("eve", "r")), "Rejecting join without permission!"},
			"one's own other name": {ann.say(ann.attachMore(), message{"kind": "join", "room_id": "r", "user_id": "X"}), "Rejecting join without permission!"},
			"another room's media": {ann.subscribe("r", "B", ""), "Can't subscribe to a nonexistent publisher."},
			"nobody's media":       {ann.subscribe("r", "nobody", ""), "Can't subscribe to a nonexistent publisher."},
			"a kick elsewhere":     {ben.say(ben.handle, message{"kind": "kick", "room_id": "r", "user_id": "A"}), "Rejecting kick without permission!"},
			"data for elsewhere":   {ben.say(ben.handle, message{"kind": "data", "whom": "A", "body": "x"}), "Rejecting a message to somebody who isn't in the room!"},
		} {
			if succeeded(is.got) || whyNot(is.got) != is.want {
				t.Errorf("%s: %v, want %s", name, is.got, is.want)
			}
		}
		for _, m := range h.janus.Seen() {
			if m.Body.Kind == "kick" || m.Body.UserID == "E" || m.Body.UserID == "X" || m.Body.Whom != nil {
				t.Errorf("Janus got %s", m.Text)
			}
		}
		for _, a := range []*adapter{ann, ben, eve} {
			a.bye()
		}
	})
}

func TestNobodyUsesAnothersSessionOrHandle(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		ann, eve := h.attach(), h.attach()
		ann.join("r", "A", h.tokenFor("ann", "r"))
		before := len(h.janus.Seen())
		for _, fields := range []message{
			{"janus": "message", "session_id": ann.session, "handle_id": ann.handle, "body": message{"kind": "data", "body": "x"}},
			{"janus": "message", "session_id": eve.session, "handle_id": ann.handle, "body": message{"kind": "data", "body": "x"}},
			{"janus": "trickle", "session_id": ann.session, "handle_id": ann.handle, "candidate": message{"completed": true}},
			{"janus": "detach", "session_id": eve.session, "handle_id": ann.handle},
			{"janus": "destroy", "session_id": ann.session},
			{"janus": "keepalive", "session_id": ann.session},
			{"janus": "attach", "session_id": ann.session, "plugin": janus.SFU},
			{"janus": "attach", "session_id": eve.session, "plugin": "janus.plugin.videoroom"},
			{"janus": "claim", "session_id": ann.session},
			{"janus": "info"},
			{"janus": "Message", "session_id": eve.session, "handle_id": eve.handle, "body": message{"kind": "data", "body": "x"}},
		} {
			if m := eve.ask(fields); m.str("janus") != "error" {
				t.Errorf("%v is answered with %v", fields, m)
			}
		}
		if seen := h.janus.Seen(); len(seen) != before {
			t.Errorf("Janus got %v", seen[before:])
		}
		ann.bye()
		eve.bye()
	})
}

func TestJanussOwnSecretsAreOurs(t *testing.T) {
	withJanus(t, func(c *Config) { c.Janus.APISecret = "ours" }, func(t *testing.T, h *theatre) {
		a := h.open("")
		a.ask(message{"janus": "create", "token": "theirs", "apisecret": "theirs"})
		a.ask(message{"janus": "create"})
		for _, m := range h.janus.Seen() {
			if m.Token != "" || m.APISecret != "ours" {
				t.Errorf("Janus got %s", m.Text)
			}
		}
		a.bye()
	})
}

func TestWhatNeedsNoChangeIsForwardedAsItCame(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		a := h.attach()
		sdp := strings.Repeat("a=candidate\\r\\n", 50_000)
		for _, text := range []string{
			`{ "janus" : "trickle", "session_id": SESSION, "handle_id":HANDLE , "transaction":"a","candidate":{"candidate":"x","sdpMLineIndex":0}}`,
			`{"janus":"message","transaction":"b","session_id":SESSION,"handle_id":HANDLE,"body":{ },"jsep":{"type":"offer","sdp":"` + sdp + `"}}`,
		} {
			text = strings.NewReplacer("SESSION", fmt.Sprint(a.session), "HANDLE", fmt.Sprint(a.handle)).Replace(text)
			a.write(text)
			time.Sleep(time.Second)
			seen := h.janus.Seen()
			if got := seen[len(seen)-1].Text; got != text {
				t.Errorf("%.100s came as %.100s", text, got)
			}
		}
		a.bye()
	})
}

// The adapter comes back on its own, with the name and the token that it has.
func TestAnAdapterComesBackToItsMembership(t *testing.T) {
	withJanus(t, strictly, func(t *testing.T, h *theatre) {
		watcher, _ := h.enter("w")
		watcher.ask("join", message{"room": "r"})
		token := h.tokenFor("ann", "r")
		ann := h.attach()
		ann.join("r", "A", token)
		member := watcher.want("member_joined").object("member").str("id")
		time.Sleep(30 * time.Minute)
		watcher.pending()
		h.janus.Cut() // Janus restarts
		ann.wantClose(websocket.StatusServiceRestart)
		again := h.attach()
		if m := again.join("r", "A", token); !succeeded(m) {
			t.Fatalf("with an expired token, to a membership that lingers: %v", m)
		}
		// Its socket dies, and nobody has noticed yet: it is the same member all the same.
		third := h.attach()
		if m := third.join("r", "A", token); !succeeded(m) {
			t.Fatalf("with an expired token, to a membership that is there: %v", m)
		}
		again.wantClose(websocket.StatusNormalClosure)
		time.Sleep(time.Minute)
		for _, m := range watcher.pending() {
			if m.str("type") == "member_left" || m.str("type") == "member_joined" {
				t.Errorf("the others see %v", m)
			}
		}
		_, room, _ := h.operate("GET", "/v1/rooms/r", "")
		if ids := room.list("members"); len(ids) != 2 || !slices.ContainsFunc(ids, func(m any) bool { return m.(map[string]any)["id"] == member }) {
			t.Errorf("in the room are %v", ids)
		}
		third.bye()
		time.Sleep(time.Second)
		if m := h.attach().join("r", "A", token); whyNot(m) != "Rejecting join with invalid token!" {
			t.Errorf("after a goodbye: %v", m)
		}
		watcher.bye()
	})
}

func TestJanusClientsMoveAwayFromAPodThatDrains(t *testing.T) {
	withJanus(t, nil, func(t *testing.T, h *theatre) {
		ann := h.attach()
		ann.join("r", "A", h.tokenFor("ann", "r"))
		drained := make(chan struct{})
		go func() { h.server.Drain(t.Context(), 30*time.Second); close(drained) }()
		ann.wantClose(websocket.StatusServiceRestart)
		<-drained
		synctest.Wait()
	})
}

// Nobody could tell that it is them who come back: their user_id would be taken.
func TestAnAnonymousAdapterDoesNotLinger(t *testing.T) {
	for name, end := range map[string]func(*theatre, *adapter){
		"its socket is cut":     func(_ *theatre, a *adapter) { _ = a.ws.CloseNow() },
		"Janus is cut":          func(h *theatre, _ *adapter) { h.janus.Cut() },
		"the pod is going away": func(h *theatre, _ *adapter) { h.server.Drain(h.t.Context(), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			withJanus(t, nil, func(t *testing.T, h *theatre) {
				a := h.attach()
				if m := a.join("r", "A", ""); !succeeded(m) {
					t.Fatal(m)
				}
				end(h, a)
				time.Sleep(time.Second)
				if room, err := h.server.rooms.Snapshot(h.t.Context(), "r"); err == nil {
					t.Errorf("in the room are %v", room.Members)
				}
			})
		})
	}
}

func TestNoJanusNoFront(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		if code, _, _ := get(p.server.Public(), request200("/janus")); code != http.StatusNotFound {
			t.Errorf("%d", code)
		}
	})
}
