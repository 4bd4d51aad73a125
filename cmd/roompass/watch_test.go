package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// played is a gateway that a test plays, the other side of one watch. Its methods
// fail the test from the server's goroutine, so they use Errorf and report
// whether to go on.
type played struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context
}

// expect reads one message and compares it.
func (g played) expect(want map[string]any) bool {
	_, frame, err := g.conn.Read(g.ctx)
	if err != nil {
		g.t.Errorf("waiting for %v: %v", want, err)
		return false
	}
	var got map[string]any
	if err := json.Unmarshal(frame, &got); err != nil {
		g.t.Errorf("watch sent %q: %v", frame, err)
		return false
	}
	if diff := cmp.Diff(want, got); diff != "" {
		g.t.Errorf("watch sent another message (-want +got):\n%s", diff)
		return false
	}
	return true
}

// send writes one message as it stands.
func (g played) send(message string) {
	if err := g.conn.Write(g.ctx, websocket.MessageText, []byte(message)); err != nil {
		g.t.Errorf("sending %s: %v", message, err)
	}
}

// admit takes watch through auth and join as user ada in room lobby.
func (g played) admit() bool {
	if !g.expect(map[string]any{"type": "auth", "id": 1.0, "credential": "ada"}) {
		return false
	}
	g.send(`{"type": "welcome", "id": 1}`)
	if !g.expect(map[string]any{"type": "join", "id": 2.0, "room": "lobby"}) {
		return false
	}
	g.send(`{"type": "joined", "id": 2}`)
	return true
}

// serveGateway lets play be the gateway for one connection and gives its
// address. The test doesn't end before play does.
func serveGateway(t *testing.T, play func(played)) string {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		if origin := r.Header.Get("Origin"); origin != "" {
			t.Errorf("watch sent Origin %q; it is no browser", origin)
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"roompass.v1"}})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer conn.CloseNow()
		play(played{t: t, conn: conn, ctx: r.Context()})
	}))
	t.Cleanup(func() {
		<-done
		server.Close()
	})
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
}

// watch calls roompass watch as user ada in room lobby, until ctx ends.
func watch(ctx context.Context, address, credential string) outcome {
	var out, stderr bytes.Buffer
	code := run(ctx, []string{"watch", "--url", address, "--room", "lobby", "--credential", credential}, strings.NewReader(""), &out, &stderr)
	return outcome{code: code, out: out.String(), stderr: stderr.String()}
}

func TestWatchPrintsEveryMessageAsOneLine(t *testing.T) {
	address := serveGateway(t, func(g played) {
		if !g.admit() {
			return
		}
		g.send("{\n  \"type\": \"signal\",\n  \"data\": [1, 2]\n}")
		g.send(`{"type":"of the future"}`)
		g.conn.Close(4403, "kicked from the last room")
	})
	got := watch(t.Context(), address, "ada")
	want := `{"type":"welcome","id":1}
{"type":"joined","id":2}
{"type":"signal","data":[1,2]}
{"type":"of the future"}
`
	if diff := cmp.Diff(want, got.out); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

func TestWatchSaysTheCloseCodeAndReason(t *testing.T) {
	for _, test := range []struct {
		code   websocket.StatusCode
		reason string
		says   string
	}{
		{1000, "over", `1000 "over"`},
		{1012, "draining", "run watch again"},
		{4401, "no such user", "--credential"},
		{4429, "slow down", `4429 "slow down"`},
	} {
		t.Run(test.code.String(), func(t *testing.T) {
			address := serveGateway(t, func(g played) {
				if g.expect(map[string]any{"type": "auth", "id": 1.0, "credential": "ada"}) {
					g.conn.Close(test.code, test.reason)
				}
			})
			watch(t.Context(), address, "ada").wantsOneSentence(t, exitFailed, test.says, test.reason)
		})
	}
}

func TestInterruptedWatchLeavesAndEndsInGoodOrder(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	address := serveGateway(t, func(g played) {
		if !g.admit() {
			return
		}
		interrupt()
		if !g.expect(map[string]any{"type": "leave", "id": 3.0, "room": "lobby"}) {
			return
		}
		g.send(`{"type":"left","id":3,"room":"lobby"}`)
		if _, _, err := g.conn.Read(g.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("watch ended with %v, want close code 1000", err)
		}
	})
	got := watch(ctx, address, "ada")
	if got.code != exitDone || got.stderr != "" {
		t.Errorf("exit code %d, standard error %q; want 0 and nothing", got.code, got.stderr)
	}
	if want := `{"type":"left","id":3,"room":"lobby"}` + "\n"; !strings.HasSuffix(got.out, want) {
		t.Errorf("standard output %q doesn't end with the reply to leave", got.out)
	}
}

func TestWatchInterruptedBeforeItJoinedDoesNotJoin(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	address := serveGateway(t, func(g played) {
		if !g.expect(map[string]any{"type": "auth", "id": 1.0, "credential": "ada"}) {
			return
		}
		interrupt()
		if !g.expect(map[string]any{"type": "leave", "id": 3.0, "room": "lobby"}) {
			return
		}
		g.send(`{"type":"welcome","id":1}`)
		g.send(`{"type":"error","id":3,"code":"not_joined","message":"join the room first"}`)
		if _, _, err := g.conn.Read(g.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("watch ended with %v, want close code 1000 and no join", err)
		}
	})
	if got := watch(ctx, address, "ada"); got.code != exitDone || got.stderr != "" {
		t.Errorf("exit code %d, standard error %q; want 0 and nothing", got.code, got.stderr)
	}
}

func TestRefusedJoinEndsTheWatch(t *testing.T) {
	address := serveGateway(t, func(g played) {
		if !g.expect(map[string]any{"type": "auth", "id": 1.0, "credential": "ada"}) {
			return
		}
		g.send(`{"type":"welcome","id":1}`)
		if !g.expect(map[string]any{"type": "join", "id": 2.0, "room": "lobby"}) {
			return
		}
		g.send(`{"type":"error","id":2,"code":"room_full","message":"try another room"}`)
		if _, _, err := g.conn.Read(g.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("watch ended with %v, want close code 1000", err)
		}
	})
	got := watch(t.Context(), address, "ada")
	if got.code != exitFailed || !strings.Contains(got.stderr, "room_full: try another room") {
		t.Errorf("exit code %d, standard error %q; want 1 and the refusal", got.code, got.stderr)
	}
	if !strings.Contains(got.out, `"code":"room_full"`) {
		t.Errorf("standard output %q lacks the error, which is a message too", got.out)
	}
}

func TestWatchTakesMessagesLargerThanItMaySend(t *testing.T) {
	large := `{"type":"joined","members":"` + strings.Repeat("m", 900<<10) + `"}`
	address := serveGateway(t, func(g played) {
		if g.admit() {
			g.send(large)
			g.conn.Close(1012, "")
		}
	})
	if got := watch(t.Context(), address, "ada"); !strings.Contains(got.out, large) {
		t.Errorf("%d bytes printed, want the message of %d bytes; standard error %q", len(got.out), len(large), got.stderr)
	}
}

func TestWatchReadsTheCredentialFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credential")
	if err := os.WriteFile(path, []byte("ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := serveGateway(t, func(g played) {
		if g.admit() {
			g.conn.Close(1012, "")
		}
	})
	if got := watch(t.Context(), address, "@"+path); !strings.Contains(got.out, "joined") {
		t.Errorf("got %+v, want to be let in as ada", got)
	}
	watch(t.Context(), "ws://127.0.0.1:1/ws", "@"+path+".missing").wantsOneSentence(t, exitUsage, "--credential", "no such file")
}

func TestWatchSaysWhatAnsweredInsteadOfAGateway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	address := "ws" + strings.TrimPrefix(server.URL, "http")
	watch(t.Context(), address, "ada").wantsOneSentence(t, exitFailed, "404", "/ws")

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		conn.CloseNow()
	}))
	defer other.Close()
	watch(t.Context(), "ws"+strings.TrimPrefix(other.URL, "http"), "ada").wantsOneSentence(t, exitFailed, "roompass.v1")

	address = serveGateway(t, func(g played) {
		if g.expect(map[string]any{"type": "auth", "id": 1.0, "credential": "ada"}) {
			g.send("hello")
		}
	})
	watch(t.Context(), address, "ada").wantsOneSentence(t, exitFailed, "not JSON")
}

func TestWatchShowsNoSecretOfItsAddressOrCredential(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	host := strings.TrimPrefix(closed.URL, "http://")
	closed.Close()
	got := watch(t.Context(), "ws://ada:hunter2@"+host+"/ws?token=hunter3", "hunter4")
	got.wantsOneSentence(t, exitFailed, host)
	if strings.Contains(got.stderr, "hunter") {
		t.Errorf("standard error %q shows a secret", got.stderr)
	}
}
