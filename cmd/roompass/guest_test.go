package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A guest is a client that keeps all that it is told.
type guest struct {
	t  *testing.T
	ws *websocket.Conn

	mu   sync.Mutex
	got  []map[string]any
	id   int
	done error
}

// enter has a user come into a room, and returns what joined said.
func enter(t *testing.T, gateway served, user, room string) (*guest, map[string]any) {
	t.Helper()
	g := visit(t, gateway)
	g.ask(map[string]any{"type": "auth", "credential": user})
	return g, g.ask(map[string]any{"type": "join", "room": room})
}

// comeBack has a guest resume on another socket, as one that saw all that it got. edit may
// change the request. The answer is nil where the socket was closed instead.
func (g *guest) comeBack(gateway served, edit func(auth, resume map[string]any)) (*guest, map[string]any) {
	g.t.Helper()
	welcome := g.all("welcome")[0]
	resume := map[string]any{"session": welcome["session"], "secret": welcome["secret"], "rooms": g.cursors()}
	auth := map[string]any{"type": "auth", "resume": resume}
	if edit != nil {
		edit(auth, resume)
	}
	again := visit(g.t, gateway)
	return again, again.ask(auth)
}

// visit opens a socket.
func visit(t *testing.T, gateway served) *guest {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(gateway.url, "http")+"/ws", &websocket.DialOptions{Subprotocols: []string{"roompass.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	g := &guest{t: t, ws: ws}
	t.Cleanup(func() { _ = ws.CloseNow() })
	go func() {
		for {
			_, text, err := ws.Read(context.Background())
			g.mu.Lock()
			if err != nil {
				g.done = err
				g.mu.Unlock()
				return
			}
			var m map[string]any
			if err := json.Unmarshal(text, &m); err != nil {
				t.Error(err)
			}
			g.got = append(g.got, m)
			g.mu.Unlock()
		}
	}()
	return g
}

// ask sends a request and waits for its reply; nil: the socket ended instead.
func (g *guest) ask(m map[string]any) (reply map[string]any) {
	g.t.Helper()
	g.id++
	m["id"] = g.id
	text, err := json.Marshal(m)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.ws.Write(g.t.Context(), websocket.MessageText, text); err != nil && g.ended() == nil {
		g.t.Error(err)
	}
	eventually(g.t, fmt.Sprint("a reply to ", m["type"]), func() bool {
		for _, got := range g.all("") {
			if got["id"] == float64(g.id) {
				reply = got
			}
		}
		return reply != nil || g.ended() != nil
	})
	return reply
}

// cursors returns the newest one of each room.
func (g *guest) cursors() map[string]any {
	newest := map[string]any{}
	note := func(room map[string]any) {
		if c := room["cursor"]; c != nil {
			newest[room["room"].(string)] = c
		}
	}
	for _, m := range g.all("") {
		note(m)
		for _, room := range list(m["rooms"]) {
			note(room)
		}
	}
	return newest
}

func list(v any) (all []map[string]any) {
	items, _ := v.([]any)
	for _, item := range items {
		all = append(all, item.(map[string]any))
	}
	return all
}

// events returns the messages of a type in order, those that a welcome said were missed included.
func (g *guest) events(kind string) (all []map[string]any) {
	for _, m := range g.all("") {
		for _, room := range list(m["rooms"]) {
			for _, missed := range list(room["missed"]) {
				if missed["type"] == kind {
					all = append(all, missed)
				}
			}
		}
		if m["type"] == kind {
			all = append(all, m)
		}
	}
	return all
}

// code is what the socket was closed with; -1: it is open.
func (g *guest) code() websocket.StatusCode {
	var closed websocket.CloseError
	if err := g.ended(); errors.As(err, &closed) {
		return closed.Code
	}
	return -1
}

// all returns the messages of a type; "" is all types.
func (g *guest) all(kind string) (all []map[string]any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.got {
		if kind == "" || m["type"] == kind {
			all = append(all, m)
		}
	}
	return all
}

// ended says why the socket ended; nil: it hasn't.
func (g *guest) ended() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}

// numbers returns what a member has signaled to g, in order.
func (g *guest) numbers(from any) (all []float64) {
	for _, m := range g.events("signal") {
		if n, ok := m["data"].(float64); ok && m["from"] == from {
			all = append(all, n)
		}
	}
	return all
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}
