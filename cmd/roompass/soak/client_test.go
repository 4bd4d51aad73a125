//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A client is one browser, in one room, that goes by docs/protocol.md.
type client struct {
	world  *world
	n      int
	user   string
	room   string
	ledger *ledger

	mu      sync.Mutex // guards what follows
	socket  int        // counts its sockets
	conn    *websocket.Conn
	pod     string
	in      bool      // it is in its room, on conn
	heard   time.Time // when anything last came, pings too
	stalled time.Time // until when it reads nothing
	session string
	secret  string
	asked   bool // for the session, on a socket that brought no welcome
	cursor  string
	token   held
	members map[string]string // id → user
	id      int
	pending map[int]*signal
	revoked bool // by an operator, who may not have been answered yet
	putOut  bool // it may not come back before it is lifted
	left    bool
	diary   []string
}

// held is the newest token.
type held struct {
	expires time.Time
	lapsed  bool // that was noted
}

// A message is what the gateway says, as far as clients go by it.
type message struct {
	Type    string          `json:"type"`
	ID      int             `json:"id"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Session string          `json:"session"`
	Secret  string          `json:"secret"`
	Pod     string          `json:"pod"`
	Resumed bool            `json:"resumed"`
	Rooms   []state         `json:"rooms"`
	Wait    int64           `json:"reconnect_in"`
	Reason  string          `json:"reason"`
	Data    json.RawMessage `json:"data"`
	state
}

// A state is what joined has, and what welcome has of a room.
type state struct {
	Room     string          `json:"room"`
	Cursor   string          `json:"cursor"`
	Members  []member        `json:"members"`
	Member   json.RawMessage `json:"member"` // one's own id, or somebody else
	Token    json.RawMessage `json:"token"`  // the token itself, or in a push its text
	Issued   int64           `json:"issued_at"`
	Missed   []message       `json:"missed"`
	Gap      bool            `json:"gap"`
	Degraded bool            `json:"degraded"`
}

type member struct {
	ID   string `json:"id"`
	User string `json:"user"`
}

// What a signal has as data.
type content struct {
	By  int    `json:"by"`
	N   int    `json:"n"`
	Pad string `json:"pad,omitempty"`
}

const (
	authID = 1
	joinID = 2
	diary  = 60 // lines that a client keeps
)

// note is for the report of a run that failed. The caller has c.mu.
func (c *client) note(format string, values ...any) {
	if len(c.diary) == diary {
		c.diary = c.diary[1:]
	}
	c.diary = append(c.diary, clock(time.Now())+" "+fmt.Sprintf(format, values...))
}

// wrong reports something that must not be. The caller has c.mu.
func (c *client) wrong(format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	c.note("WRONG: %s", text)
	c.world.wrong(c.n, text)
}

// live comes in, and comes back, until ctx ends. Then it leaves.
func (c *client) live(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		conn, err := c.dial(ctx)
		for conn != nil {
			var next *websocket.Conn
			began := time.Now()
			next, err = c.converse(ctx, conn)
			conn = next
			if time.Since(began) > 5*time.Second {
				try = 0
			}
		}
		c.mu.Lock()
		c.note("no socket: %v", err)
		out := c.putOut
		c.mu.Unlock()
		wait := rand.N(min(100*time.Millisecond<<min(try, 7), 3*time.Second)) // as the browser's, but sooner
		if out {
			wait = time.Second + rand.N(2*time.Second) // it tries although it may not
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (c *client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, c.world.balancer.url(), &websocket.DialOptions{
		Subprotocols:   []string{"roompass.v1"},
		HTTPClient:     &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		OnPingReceived: func(context.Context, []byte) bool { c.hears(); return true },
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(16 << 20)
	return conn, nil
}

func (c *client) hears() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now()
}

// converse lives on one socket until that ends. It returns the next one, where the pod drains.
func (c *client) converse(ctx context.Context, conn *websocket.Conn) (next *websocket.Conn, err error) {
	defer conn.CloseNow()
	c.mu.Lock()
	c.socket++
	c.conn, c.heard, c.pending, c.pod = conn, time.Now(), map[int]*signal{}, ""
	auth := c.auth()
	c.mu.Unlock()
	reading, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.leave(conn) })()
	moved := make(chan *websocket.Conn, 1)
	var moving sync.WaitGroup
	defer func() {
		cancel()
		moving.Wait()
		select {
		case next = <-moved:
		default:
		}
		c.mu.Lock()
		c.in, c.conn = false, nil
		c.mu.Unlock()
	}()
	if err := c.write(conn, auth); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		pause := time.Until(c.stalled)
		c.mu.Unlock()
		if pause > 0 {
			time.Sleep(pause)
			c.hears()
		}
		_, text, err := conn.Read(reading)
		if err != nil {
			return nil, c.closed(err)
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			c.mu.Lock()
			c.wrong("a frame that isn't a message: %v", err)
			c.mu.Unlock()
			return nil, err
		}
		if m.Type == "draining" {
			// It opens its next socket first, and drops this one when it has that.
			moving.Go(func() {
				select {
				case <-time.After(time.Duration(m.Wait) * time.Millisecond):
				case <-reading.Done():
					return
				}
				for reading.Err() == nil {
					if next, err := c.dial(reading); err == nil {
						moved <- next
						cancel()
						return
					}
				}
			})
		}
		if err := c.receive(conn, m); err != nil {
			return nil, err
		}
	}
}

func (c *client) leave(conn *websocket.Conn) {
	c.mu.Lock()
	c.left = true
	c.mu.Unlock()
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

func (c *client) write(conn *websocket.Conn, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// auth is the first message. The caller has c.mu.
func (c *client) auth() map[string]any {
	m := map[string]any{"type": "auth", "id": authID, "credential": c.user}
	if c.session == "" {
		return m
	}
	resume := map[string]any{"session": c.session, "secret": c.secret}
	if c.cursor != "" {
		resume["rooms"] = map[string]string{c.room: c.cursor}
		resume["tokens"] = map[string]int64{c.room: c.token.expires.UnixMilli()}
	}
	m["resume"] = resume
	c.asked = true
	return m
}

// closed takes note of how a socket ended.
func (c *client) closed(err error) error {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch closed.Code {
	case 1000, 1006, 1012, 1013:
	case 4403:
		if !c.revoked && !c.world.mayBeOut(c) && !c.left {
			c.wrong("closed with %d %s, and nobody revoked it", closed.Code, closed.Reason)
		}
		c.out()
		c.isPutOut()
	case 4409:
		// Its own resume on a socket that ended before the welcome came.
		if !c.asked {
			c.wrong("closed with %d %s, and it has no other socket", closed.Code, closed.Reason)
		}
	default:
		c.wrong("closed with %d %s", closed.Code, closed.Reason)
	}
	return err
}

// isPutOut notes that it may not come back, if that is so. The caller has c.mu.
func (c *client) isPutOut() { c.putOut = c.revoked || c.world.app.refuses(c.user) }

// out forgets the room. The caller has c.mu.
func (c *client) out() {
	c.in, c.cursor, c.token, c.members = false, "", held{}, nil
	c.ledger.ends(c.n)
}

func (c *client) receive(conn *websocket.Conn, m message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now()
	if c.left {
		return nil
	}
	switch m.Type {
	case "welcome":
		return c.welcomed(conn, m)
	case "joined":
		c.note("joined, degraded %v, at %s", m.Degraded, m.Cursor)
		c.degraded(m.Degraded)
		c.ledger.begins(c.n, m.Degraded)
		c.enters(m.state)
		c.take(m.Token)
	case "token":
		c.takeText(m.Token, m.Issued)
	case "error":
		return c.refused(m)
	case "ok":
		if s := c.pending[m.ID]; s != nil {
			delete(c.pending, m.ID)
			c.ledger.acknowledged(s)
		}
	case "removed":
		c.note("removed: %s", m.Reason)
		switch {
		case m.Reason == "revoked" && !c.revoked && !c.world.mayBeOut(c):
			c.wrong("removed, as revoked, and nobody revoked it")
		case m.Reason == "unconfirmed":
			c.wrong("removed, as unconfirmed, and the app was never away for so long")
		}
		c.out()
		if m.Reason != "revoked" {
			c.world.count("removed " + m.Reason)
			return c.join(conn)
		}
	case "draining":
		c.note("told to move in %d ms", m.Wait)
	default:
		c.event(m)
	}
	return nil
}

func (c *client) join(conn *websocket.Conn) error {
	return c.write(conn, map[string]any{"type": "join", "id": joinID, "room": c.room})
}

// welcomed goes on where it was, or joins. The caller has c.mu.
func (c *client) welcomed(conn *websocket.Conn, m message) error {
	if c.session != "" && !m.Resumed {
		c.wrong("its session was not resumed")
		c.out()
	}
	c.session, c.secret, c.pod, c.asked = m.Session, m.Secret, m.Pod, false
	for _, room := range m.Rooms {
		if room.Room != c.room {
			continue
		}
		c.note("back on %s, gap %v, missed %d, degraded %v, at %s, was at %s, new token %v",
			m.Pod, room.Gap, len(room.Missed), room.Degraded, room.Cursor, c.cursor, room.Token != nil)
		c.degraded(room.Degraded)
		if room.Gap {
			c.world.count("gap")
			c.ledger.begins(c.n, room.Degraded)
		}
		for _, missed := range room.Missed {
			c.event(missed)
		}
		c.enters(room)
		if room.Token != nil {
			c.take(room.Token)
		} else if !time.Now().Before(c.token.expires) {
			c.lapse("it was told to go on with a token that had run out")
		}
		return nil
	}
	c.note("welcome on %s, and in no room", m.Pod)
	c.out()
	return c.join(conn)
}

// degraded takes a pod's word for it that it is apart. That may be by no fault of the schedule: a
// Redis that takes a second to answer counts as away, and the machine may be busy.
func (c *client) degraded(is bool) {
	if is {
		c.world.breaks()()
	}
}

// enters takes a room as it is. The caller has c.mu.
func (c *client) enters(s state) {
	c.in, c.cursor, c.members, c.putOut = true, s.Cursor, map[string]string{}, false
	for _, m := range s.Members {
		c.members[m.ID] = m.User
	}
}

// event takes an entry of the room's log. The caller has c.mu.
func (c *client) event(m message) {
	if m.Cursor == "" {
		c.wrong("a message of type %q", m.Type)
		return
	}
	c.cursor = m.Cursor
	switch m.Type {
	case "member_joined", "member_updated":
		var is member
		if err := json.Unmarshal(m.Member, &is); err != nil {
			c.wrong("%s: %v", m.Type, err)
			return
		}
		c.members[is.ID] = is.User
	case "member_left":
		var id string
		if err := json.Unmarshal(m.Member, &id); err != nil {
			c.wrong("%s: %v", m.Type, err)
			return
		}
		delete(c.members, id)
	case "signal":
		var what content
		if err := json.Unmarshal(m.Data, &what); err != nil {
			c.wrong("a signal that nobody sent: %s", m.Data)
			return
		}
		if wrong := c.ledger.hears(c.n, what.By, what.N, m.Cursor); wrong != "" {
			c.wrong("%s", wrong)
		}
	default:
		c.wrong("a message of type %q", m.Type)
	}
}

// refused takes an error. The caller has c.mu.
func (c *client) refused(m message) error {
	switch {
	case m.ID == joinID && m.Code == "not_allowed" && (c.revoked || c.world.mayBeOut(c)):
		c.isPutOut()
		return errors.New("not allowed in, as it is revoked")
	case m.ID <= joinID && m.Code == "unavailable":
		return errors.New("unavailable")
	case m.ID <= joinID:
		c.wrong("refused with %s: %s", m.Code, m.Message)
		return errors.New(m.Code)
	}
	delete(c.pending, m.ID)
	switch m.Code {
	case "unavailable", "no_such_member":
	case "not_joined", "not_allowed":
		if !c.revoked && !c.world.mayBeOut(c) {
			c.wrong("a signal is refused with %s: %s", m.Code, m.Message)
		}
	default:
		c.wrong("a signal is refused with %s: %s", m.Code, m.Message)
	}
	c.world.count("signal " + m.Code)
	return nil
}

func (c *client) take(object json.RawMessage) {
	var is struct {
		Token  json.RawMessage `json:"token"`
		Issued int64           `json:"issued_at"`
	}
	if err := json.Unmarshal(object, &is); err != nil {
		c.wrong("a token that can't be read: %v", err)
		return
	}
	c.token = held{} // what it held while it was away or out is no lapse
	c.takeText(is.Token, is.Issued)
}

// takeText takes a token, and sees whether the one before had run out. The caller has c.mu.
func (c *client) takeText(quoted json.RawMessage, issued int64) {
	var text string
	_ = json.Unmarshal(quoted, &text)
	now := time.Now()
	p := c.world.named(c.pod)
	if p == nil {
		c.wrong("a token from pod %q", c.pod)
		return
	}
	at := time.UnixMilli(issued).Add(-p.ahead()) // at the earliest
	if c.world.outSince(c.n, c.pod, at, now) {
		c.wrong("a token that pod %s issued at %s, after it had acknowledged the revocation", c.pod, clock(at))
	}
	if why := c.world.app.outSince(c.user, p, at); why != "" {
		c.wrong("a token that pod %s issued at %s, and %s", c.pod, clock(at), why)
	}
	c.checkLapse(now)
	expires, err := c.world.keys.verify(p, text, c.user, c.room)
	if err != nil {
		c.wrong("a token from pod %s that doesn't hold: %v", c.pod, err)
		return
	}
	c.world.tookToken(expires.Sub(now))
	c.token = held{expires: expires}
}

// checkLapse sees whether the newest token has run out. The caller has c.mu.
func (c *client) checkLapse(now time.Time) {
	if c.in && !c.token.expires.IsZero() && !now.Before(c.token.expires) {
		c.lapse("its newest token ran out at " + clock(c.token.expires))
	}
}

func (c *client) lapse(how string) {
	if !c.token.lapsed {
		c.token.lapsed = true
		c.wrong("LAPSE on pod %s: %s", c.pod, how)
	}
}

// look is called five times a second. A socket on which nothing came for twice the time between
// pings is dead, as docs/protocol.md has it, and its client not connected.
func (c *client) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || now.Before(c.stalled.Add(time.Second)) {
		return
	}
	if now.Sub(c.heard) > 2*ping {
		c.note("nothing came on its socket to pod %s since %s: it gives it up", c.pod, clock(c.heard))
		c.in = false
		conn := c.conn
		c.conn = nil
		go conn.CloseNow()
		return
	}
	c.checkLapse(now)
}

// talk says something to all, or to one of the others.
func (c *client) talk(random *rand.Rand, pad string) {
	c.mu.Lock()
	conn := c.conn
	if !c.in || conn == nil || c.left {
		c.mu.Unlock()
		return
	}
	to, id := -1, ""
	if random.IntN(4) == 0 {
		for key, user := range c.members {
			if user != c.user {
				id = key
				_, _ = fmt.Sscanf(user, "u%d", &to)
				break
			}
		}
	}
	c.id = max(c.id, joinID) + 1
	s := c.ledger.says(c.n, to, c.socket, c.pod)
	c.pending[c.id] = s
	m := map[string]any{"type": "signal", "id": c.id, "room": c.room, "data": content{c.n, s.n, pad}}
	if id != "" {
		m["to"] = id
	}
	c.mu.Unlock()
	_ = c.write(conn, m) // whoever reads notices an error too
}
