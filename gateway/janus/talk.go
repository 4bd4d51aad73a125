package janus

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// A talk is one browser's with Janus. One goroutine reads from the browser, one
// from Janus.
type talk struct {
	front   *Front
	browser *websocket.Conn
	server  *websocket.Conn
	visitor Visitor
	room    string  // that it is about; "": any, where there is one server
	at      *server // that it is with
	limiter *rate.Limiter
	entered func() // says that it is known who it is

	closing sync.WaitGroup // what goes on beside while it ends

	mu       sync.Mutex        // guards what follows
	userIDs  map[string]string // that it has in rooms
	pinging  *time.Timer
	over     bool // run waits for what was spawned
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

// open has the talk begin, when both legs are there. It may have been ended already.
func (t *talk) open(browser, server *websocket.Conn, visitor Visitor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.browser, t.server, t.visitor = browser, server, visitor
	t.limiter = rate.NewLimiter(rate.Limit(t.front.config.MessageRate), t.front.config.MessageBurst)
	if t.code != 0 {
		t.spawn(func() { t.hangUp(t.code, t.reason) })
	}
}

// enterWithin is how long a socket may be there of which nobody knows whose it is. The
// adapter joins when its media are connected.
const enterWithin = time.Minute

// run talks until either side hangs up.
func (t *talk) run() {
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		t.hear()
		// The adapter comes back after 1012.
		t.close(websocket.StatusServiceRestart, "the media server is gone: come back")
	}()
	late := time.AfterFunc(enterWithin, func() {
		t.close(websocket.StatusServiceRestart, "no join in time: come back, and join")
	})
	t.entered = func() { late.Stop() }
	ping := time.AfterFunc(t.front.config.Ping, t.ping)
	t.mu.Lock()
	t.pinging = ping
	t.mu.Unlock()
	goodbye := t.listen()
	late.Stop()
	ping.Stop()
	t.visitor.End(goodbye)
	_ = t.server.CloseNow()
	<-heard
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.closing.Wait()
	_ = t.browser.CloseNow()
}

// ping sees whether the browser is still there, from time to time. A socket that is
// only half open would keep its member in the room.
func (t *talk) ping() {
	t.mu.Lock()
	over, again := t.over, t.pinging
	t.mu.Unlock()
	if over {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.front.config.Pong)
	defer cancel()
	if t.browser.Ping(ctx) != nil {
		_ = t.browser.CloseNow()
		return
	}
	again.Reset(t.front.config.Ping)
}

// spawn has something go on beside, which run waits for. t.mu is held.
func (t *talk) spawn(f func()) {
	if !t.over {
		t.closing.Go(f)
	}
}

// close has the talk end, with what the browser is told.
func (t *talk) close(code websocket.StatusCode, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.code != 0 {
		return
	}
	t.code, t.reason = code, reason
	if t.browser != nil {
		t.spawn(func() { t.hangUp(code, reason) })
	}
}

// hangUp ends both legs, by which the reader of each ends. Janus's is first: the library
// waits for the browser's own close frame, for seconds where that one's network is gone, and
// whoever comes back meanwhile isn't to find themselves in Janus still.
func (t *talk) hangUp(code websocket.StatusCode, reason string) {
	_ = t.server.CloseNow()
	_ = t.browser.Close(code, reason)
}

// ended is told by the rooms. An adapter that is closed with 1000 stays away. Janus is
// told whom it has to put out, for where a session outlives its socket.
func (t *talk) ended(why Ending) {
	code := websocket.StatusNormalClosure
	if why.ComeBack {
		code = websocket.StatusServiceRestart
	}
	t.close(code, why.Reason)
	if !why.PutOut {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	userIDs := maps.Clone(t.userIDs)
	t.spawn(func() {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		for room, userID := range userIDs {
			t.at.kick(ctx, room, userID)
		}
	})
}

// listen forwards what the browser says, as far as it may say that. It returns
// whether the browser said goodbye.
func (t *talk) listen() (goodbye bool) {
	ctx := context.Background()
	for {
		_ = t.limiter.Wait(ctx) // who is too fast isn't read meanwhile
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
	if r.verb == "attach" && r.plugin != SFU {
		if err := t.visitor.Admit(ctx); err != nil {
			return t.tell(ctx, t.unexpect(r, err).answer(r))
		}
		t.entered()
	}
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
	changed = t.front.sign(changed)
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

// unexpect takes back that a request was expected to be answered.
func (t *talk) unexpect(r request, why error) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pending, r.transaction)
	return &refusal{codeUnauthorized, "Unauthorized request (" + t.wordsFor(why) + ")"}
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
func (t *talk) joined(id uint64, room, userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.userIDs[room] = userID
	if is := t.handles[id]; is != nil {
		is.room = room
	}
}

// hear forwards what Janus says.
func (t *talk) hear() {
	ctx := context.Background()
	for {
		kind, text, err := t.server.Read(ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			continue // Janus sends none
		}
		t.learn(text)
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
	var is answer
	if json.Unmarshal(text, &is) != nil {
		return
	}
	what, ok := t.pending[is.Transaction]
	if !ok || is.Janus == "ack" {
		return
	}
	delete(t.pending, is.Transaction)
	switch {
	case is.Janus != "success" || is.Data.ID == 0:
	case what.session == 0:
		t.sessions[is.Data.ID] = true
	case t.sessions[what.session]:
		t.handles[is.Data.ID] = &handle{session: what.session, plugin: what.plugin}
	}
}
