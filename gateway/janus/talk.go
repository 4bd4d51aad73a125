package janus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/coder/websocket"
)

// A talk is one browser's with Janus. One goroutine reads from the browser, one
// from Janus.
type talk struct {
	front   *Front
	browser *websocket.Conn
	server  *websocket.Conn
	visitor Visitor

	mu       sync.Mutex // guards what follows
	code     websocket.StatusCode
	reason   string
	sessions map[uint64]bool    // that Janus made for this socket
	handles  map[uint64]*handle // the same
	pending  map[string]pending // by transaction: what will make one
}

// A handle is one attachment to a plugin.
type handle struct {
	session uint64
	plugin  string
	room    string // that it joined; "" is none
}

// pending is a create or an attach that Janus hasn't answered.
type pending struct {
	session uint64 // of an attach; 0: it is a create
	plugin  string
}

// mostPending bounds what a browser may have Janus remember, and us.
const mostPending = 64

func (t *talk) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		t.hear(ctx)
	}()
	goodbye := t.listen(ctx)
	cancel()
	<-done
	t.visitor.End(goodbye)
	t.mu.Lock()
	code, reason := t.code, t.reason
	t.mu.Unlock()
	if code == 0 {
		// Janus has hung up, or can't be understood: the adapter comes back after 1012.
		code, reason = websocket.StatusServiceRestart, "the media server is gone: come back"
	}
	_ = t.server.Close(websocket.StatusNormalClosure, "")
	_ = t.browser.Close(code, reason)
}

// close has the talk end, with what the browser is told.
func (t *talk) close(code websocket.StatusCode, reason string) {
	t.mu.Lock()
	if t.code == 0 {
		t.code, t.reason = code, reason
	}
	browser := t.browser
	t.mu.Unlock()
	if browser != nil {
		// Both readers end with their sockets. The close frame comes first.
		go func() { _ = browser.Close(code, reason) }()
	}
}

// ended is told by the rooms. An adapter that is closed with 1000 stays away.
func (t *talk) ended(why Ending) {
	if why.ComeBack {
		t.close(websocket.StatusServiceRestart, why.Reason)
		return
	}
	t.close(websocket.StatusNormalClosure, why.Reason)
}

// listen forwards what the browser says, as far as it may say that. It returns
// whether the browser said goodbye.
func (t *talk) listen(ctx context.Context) (goodbye bool) {
	for {
		kind, text, err := t.browser.Read(ctx)
		if err != nil {
			return websocket.CloseStatus(err) == websocket.StatusNormalClosure
		}
		if kind != websocket.MessageText {
			err = t.tell(ctx, (&refusal{codeInvalidJSON, "JSON error: a message is a text"}).answer(request{}))
		} else {
			err = t.take(ctx, text)
		}
		if err != nil {
			return false
		}
	}
}

// take does one message of the browser's.
func (t *talk) take(ctx context.Context, text []byte) error {
	r, refused := parse(text)
	if refused == nil {
		refused = t.check(r)
	}
	if refused != nil {
		return t.tell(ctx, refused.answer(r))
	}
	changed := r.fields
	var answers [][]byte
	if r.verb == "message" && t.attachment(r.handle).plugin == SFU {
		var body object
		if body, answers = t.consult(ctx, r); body != nil {
			changed = changed.with("body", body.encode())
		}
	}
	if answers != nil {
		return t.tell(ctx, answers...)
	}
	if r.verb == "detach" || r.verb == "destroy" {
		t.leave(r)
	}
	return t.forward(ctx, r, changed)
}

// leave forgets the handles that a message ends, and has the visitor leave the
// rooms that none is in any more.
func (t *talk) leave(r request) {
	t.mu.Lock()
	gone, left := map[string]bool{}, map[string]bool{}
	for id, is := range t.handles {
		if is.session == r.session && (r.verb == "destroy" || id == r.handle) {
			gone[is.room] = true
			delete(t.handles, id)
		} else {
			left[is.room] = true
		}
	}
	if r.verb == "destroy" {
		delete(t.sessions, r.session)
	}
	t.mu.Unlock()
	for room := range gone {
		if room != "" && !left[room] {
			t.visitor.Leave(room)
		}
	}
}

// forward sends a message to Janus: as it came, where nothing is to be changed.
func (t *talk) forward(ctx context.Context, r request, changed object) error {
	for name, ours := range map[string]string{"token": t.front.config.Token, "apisecret": t.front.config.APISecret} {
		if ours == "" && changed.get(name) == nil {
			continue
		}
		if changed = changed.with(name, nil); ours != "" {
			changed = changed.with(name, quote(ours))
		}
	}
	text := r.text
	if len(changed) != len(r.fields) || len(changed) > 0 && &changed[0] != &r.fields[0] {
		text = changed.encode()
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return t.server.Write(ctx, websocket.MessageText, text)
}

// tell says something to the browser.
func (t *talk) tell(ctx context.Context, texts ...[]byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for _, text := range texts {
		if err := t.browser.Write(ctx, websocket.MessageText, text); err != nil {
			return err
		}
	}
	return nil
}

// check says what keeps a message from being forwarded, the plugin's matters aside.
func (t *talk) check(r request) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch r.verb {
	case "create":
		if r.session != 0 {
			return wrongType("session_id")
		}
		return t.expect(r, pending{})
	case "ping":
		return nil
	case "keepalive", "destroy", "attach":
		if r.handle != 0 {
			return wrongType("handle_id")
		}
	case "message", "trickle", "detach", "hangup":
	default:
		return &refusal{codeUnknownRequest, "Unknown request"}
	}
	if !t.sessions[r.session] {
		return &refusal{codeNoSession, "No such session"}
	}
	switch r.verb {
	case "attach":
		if !t.front.mayAttach(r.plugin) {
			return &refusal{codeNoPlugin, "No such plugin"}
		}
		return t.expect(r, pending{r.session, r.plugin})
	case "message", "trickle", "detach", "hangup":
		if is := t.handles[r.handle]; is == nil || is.session != r.session {
			return &refusal{codeNoHandle, "No such handle"}
		}
	}
	return nil
}

// expect notes that the answer to a request will name something new.
func (t *talk) expect(r request, what pending) *refusal {
	if _, twice := t.pending[r.transaction]; twice {
		return wrongType("transaction")
	}
	if len(t.pending) >= mostPending || len(t.sessions)+len(t.handles) >= 1000 {
		return &refusal{codeUnknown, "Too many sessions and handles on one socket"}
	}
	t.pending[r.transaction] = what
	return nil
}

// attachment is what a handle is; the zero value where there is none.
func (t *talk) attachment(id uint64) handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is := t.handles[id]; is != nil {
		return *is
	}
	return handle{}
}

// joined notes the room that a handle is in.
func (t *talk) joined(id uint64, room string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is := t.handles[id]; is != nil {
		is.room = room
	}
}

// hear forwards what Janus says.
func (t *talk) hear(ctx context.Context) {
	for {
		kind, text, err := t.server.Read(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, io.EOF) {
				t.front.config.Logger.Debug("Janus has hung up", "error", err)
			}
			return
		}
		if kind == websocket.MessageText {
			t.learn(text)
		}
		if err := t.tell(ctx, text); err != nil {
			return
		}
	}
}

// learn takes what a session or a handle is called from Janus's answer, where one
// is awaited.
func (t *talk) learn(text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return
	}
	var answer struct {
		Janus       string `json:"janus"`
		Transaction string `json:"transaction"`
		Data        struct {
			ID uint64 `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return
	}
	what, ok := t.pending[answer.Transaction]
	if !ok || answer.Janus == "ack" {
		return
	}
	delete(t.pending, answer.Transaction)
	switch {
	case answer.Janus != "success" || answer.Data.ID == 0:
	case what.session == 0:
		t.sessions[answer.Data.ID] = true
	case t.sessions[what.session]:
		t.handles[answer.Data.ID] = &handle{session: what.session, plugin: what.plugin}
	}
}
