package load

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A client is one browser, as far as the gateway can tell.
type client struct {
	run  *run
	n    int
	room string

	mu      sync.Mutex // guards what follows
	conn    *websocket.Conn
	in      bool // it is in its room, on conn
	others  int  // in the room beside it
	session string
	secret  string
	cursor  string
	held    token // the newest
	padding string
}

// A token is what is known of one that was pushed.
type token struct {
	expires time.Time
	issued  time.Time
}

func newClient(r *run, n int) *client {
	return &client{run: r, n: n, room: "bench-" + strconv.Itoa(n%r.Rooms), padding: strings.Repeat("x", max(0, r.Payload-50))}
}

func (c *client) isIn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in
}

// What the gateway says, as far as clients go by it.
type heard struct {
	Type    string `json:"type"`
	ID      int    `json:"id"`
	Code    string `json:"code"`
	Session string `json:"session"`
	Secret  string `json:"secret"`
	Resumed bool   `json:"resumed"`
	Room    string `json:"room"`
	Cursor  string `json:"cursor"`
	Rooms   []struct {
		Room    string            `json:"room"`
		Members []json.RawMessage `json:"members"`
		Cursor  string            `json:"cursor"`
		Missed  []heard           `json:"missed"`
		Token   *struct {
			Token string `json:"token"`
		} `json:"token"`
	} `json:"rooms"`
	Members []json.RawMessage `json:"members"`
	Token   json.RawMessage   `json:"token"` // a text in a push, an object in what answers a join
	Data    *signalData       `json:"data"`
	Wait    int64             `json:"reconnect_in"`
}

type signalData struct {
	At int64 `json:"at"` // when it was meant to be sent, in ns since the run began
}

// live comes in, and comes back for as long as the run lasts. came is called once, when
// it is in or has given up.
func (c *client) live(ctx context.Context, due time.Time, came func()) {
	var once sync.Once
	defer once.Do(came)
	lost := time.Time{}
	for try := 0; ; try++ {
		err := c.connect(ctx, due, lost, func() { once.Do(came); try = 0 })
		if ctx.Err() != nil || c.run.stopping.Load() {
			return
		}
		if again := c.run.failed(err); !again {
			return
		}
		if lost.IsZero() || try == 0 {
			lost = time.Now()
		}
		// Full jitter, as browsers' client has it.
		most := min(100*time.Millisecond<<min(try, 7), 10*time.Second)
		if !sleepUntil(ctx, time.Now().Add(rand.N(most))) {
			return
		}
	}
}

// connect opens a socket, and reads from it until it ends.
func (c *client) connect(ctx context.Context, due, lost time.Time, in func()) error {
	address := c.run.URLs[(c.n+rand.IntN(len(c.run.URLs)))%len(c.run.URLs)]
	dialing, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	opts := &websocket.DialOptions{Subprotocols: []string{"roompass.v1"}, HTTPClient: c.run.httpFrom(c.n), HTTPHeader: http.Header{}}
	if c.run.Origin != "" {
		opts.HTTPHeader.Set("Origin", c.run.Origin)
	}
	conn, _, err := websocket.Dial(dialing, address, opts)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	defer c.out()
	stop := context.AfterFunc(ctx, func() { c.leave(conn) })
	defer stop()
	if err := c.say(conn, c.auth()); err != nil {
		return err
	}
	for {
		_, text, err := conn.Read(context.Background())
		if err != nil {
			return err
		}
		if err := c.hear(conn, text, due, lost, in); err != nil {
			return err
		}
	}
}

// out notes that the socket is gone.
func (c *client) out() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in {
		c.run.in.Add(-1)
	}
	c.in, c.conn = false, nil
}

func (c *client) leave(conn *websocket.Conn) { _ = conn.Close(websocket.StatusNormalClosure, "") }

func (c *client) say(conn *websocket.Conn, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

const (
	authID = 1
	joinID = 2
)

// auth is the first message: it comes back to the session where there is one.
func (c *client) auth() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[string]any{"type": "auth", "id": authID}
	if c.run.Credential != "" {
		m["credential"] = strings.ReplaceAll(c.run.Credential, "{n}", strconv.Itoa(c.n))
	}
	if c.session != "" {
		m["resume"] = map[string]any{
			"session": c.session, "secret": c.secret,
			"rooms": map[string]string{c.room: c.cursor}, "tokens": map[string]int64{c.room: c.held.expires.UnixMilli()},
		}
	}
	return m
}

// A refusal is an error that the gateway answered with.
type refusal string

func (e refusal) Error() string { return "the gateway refused: " + string(e) }

func (c *client) hear(conn *websocket.Conn, text []byte, due, lost time.Time, in func()) error {
	var m heard
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("a frame that isn't a message: %w", err)
	}
	c.enter(m)
	switch m.Type {
	case "welcome":
		return c.welcomed(conn, m, lost, in)
	case "joined":
		c.mu.Lock()
		c.in, c.others = true, len(m.Members)-1
		c.mu.Unlock()
		c.run.in.Add(1)
		c.run.joins.record(time.Since(due))
		in()
		var inside struct {
			Token string `json:"token"`
		}
		_ = json.Unmarshal(m.Token, &inside)
		c.take(inside.Token, false)
	case "token":
		var jwt string
		_ = json.Unmarshal(m.Token, &jwt)
		c.take(jwt, true)
	case "draining":
		// The browser's client opens its next socket first; here it is the time that counts.
		wait := time.Duration(m.Wait) * time.Millisecond
		time.AfterFunc(wait, func() { _ = conn.CloseNow() })
	case "gap", "removed":
		c.run.count(m.Type)
	case "error":
		if m.ID == authID || m.ID == joinID {
			return refusal(m.Code)
		}
		c.run.count(m.Code)
	}
	return nil
}

func (c *client) welcomed(conn *websocket.Conn, m heard, lost time.Time, in func()) error {
	c.mu.Lock()
	c.session, c.secret = m.Session, m.Secret
	c.mu.Unlock()
	if !m.Resumed {
		return c.say(conn, map[string]any{"type": "join", "id": joinID, "room": c.room})
	}
	for _, room := range m.Rooms {
		if room.Room != c.room {
			continue
		}
		c.mu.Lock()
		c.in = true
		if room.Members != nil {
			c.others = len(room.Members) - 1
		}
		c.mu.Unlock()
		for _, m := range room.Missed {
			c.enter(m)
		}
		c.mu.Lock()
		c.cursor = room.Cursor
		c.mu.Unlock()
		c.run.in.Add(1)
		c.run.resumed(time.Since(lost), room.Token != nil)
		if room.Token != nil {
			c.take(room.Token.Token, false)
		} else if c.hasLapsed() {
			c.run.lapses.Add(1) // it was told to go on with a token that is of no use
		}
		in()
		return nil
	}
	return c.say(conn, map[string]any{"type": "join", "id": joinID, "room": c.room})
}

// enter takes an entry of the room's log, whether it comes now or was missed.
func (c *client) enter(m heard) {
	if m.Cursor != "" {
		c.follow(m.Cursor)
	}
	switch m.Type {
	case "signal":
		c.signaled(m)
	case "member_joined", "member_left":
		c.counted(m.Type)
	}
}

// follow goes on to a place in the room's log. What comes twice, or behind what came
// already, is an error of the gateway's.
func (c *client) follow(cursor string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	epoch, text, _ := strings.Cut(cursor, ".")
	was, before, _ := strings.Cut(c.cursor, ".")
	n, _ := strconv.ParseUint(text, 36, 64)
	if last, err := strconv.ParseUint(before, 36, 64); err == nil && epoch == was && n <= last {
		c.run.disorder.Add(1)
	}
	c.cursor = cursor
}

// signaled takes what somebody said.
func (c *client) signaled(m heard) {
	if m.Data == nil {
		return
	}
	c.run.latency.record(time.Since(c.run.began) - time.Duration(m.Data.At))
	c.run.received.Add(1)
	c.run.now().Received.Add(1)
}

// counted counts those in the room.
func (c *client) counted(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if what == "member_joined" {
		c.others++
	} else {
		c.others--
	}
}

// take takes a token, and sees whether the one before had run out.
func (c *client) take(jwt string, pushed bool) {
	now := time.Now()
	is, err := c.run.keys.verify(jwt, c.room, now)
	if err != nil {
		c.run.bad(err)
		return
	}
	c.mu.Lock()
	before := c.held
	c.held = is
	c.mu.Unlock()
	c.run.remaining.record(is.expires.Sub(now))
	c.run.now().Tokens.Add(1)
	if !pushed || before.expires.IsZero() {
		return // it wasn't connected
	}
	if !now.Before(before.expires) {
		c.run.lapses.Add(1)
	}
	c.run.lateness.record(max(0, now.Sub(before.issued.Add(c.run.Refresh))))
}

// hasLapsed says whether the newest token has run out.
func (c *client) hasLapsed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !time.Now().Before(c.held.expires)
}

// signal says something to everybody else in the room, which was to be said at due.
func (c *client) signal(due time.Time) {
	c.mu.Lock()
	conn, in, others := c.conn, c.in, c.others
	c.mu.Unlock()
	if !in {
		c.run.count("not connected when a signal was due")
		return
	}
	text := fmt.Sprintf(`{"type":"signal","room":%q,"data":{"at":%d,"x":%q}}`, c.room, due.Sub(c.run.began), c.padding)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if conn.Write(ctx, websocket.MessageText, []byte(text)) != nil {
		return // whoever reads notices too
	}
	c.run.sent.Add(1)
	c.run.expected.Add(int64(others))
	c.run.now().Sent.Add(1)
}

// httpFrom is a client whose connections come from one of the source addresses.
func (r *run) httpFrom(n int) *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	if len(r.Sources) > 0 {
		dialer.LocalAddr = &net.TCPAddr{IP: r.Sources[n%len(r.Sources)].AsSlice()}
	}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}
