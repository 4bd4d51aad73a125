package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/roompass/roompass/tokens"
)

// A conn is one socket, from the upgrade to its end. Its one goroutine reads;
// a writer runs only while there is something to write. Requests are handled one
// after the other, while the reading goroutine waits.
type conn struct {
	server  *Server
	ws      *websocket.Conn // nil: the peer is this process
	wire    transport
	limiter *rate.Limiter
	slot    int    // in the registry's ring, which owns it
	remote  string // the client's address, without a port
	out     queue
	writer  func()      // write, kept so that to start it costs no memory; whoever the queue tells to start it has it
	busy    atomic.Bool // a request is being done, so that pongs wait for us

	counted bool        // among its address's unauthenticated sockets; the reader's, or the worker's that it waits for
	offered string      // the upgrade's own credential, until auth; theirs, too
	ambient bool        // offered, if at all, in a cookie, which a page can't help sending
	header  http.Header // of the upgrade, what is asked about again; nil: nothing
	is      atomic.Pointer[identity]
	ends    atomic.Int64 // Unix seconds when the session does; 0 until authenticated

	mu       sync.Mutex // guards what follows; no lock but out's is taken while it is held
	seats    []*seat    // few: one for each room
	code     CloseCode  // why we closed; 0 while we haven't
	over     bool       // the session has ended: its members go, and don't linger
	pings    uint64     // sequence of the last ping that was sent
	answered uint64     // the highest sequence that a pong had
	proofs   []proof    // tokens whose delivery isn't proven yet
}

// uncount ends the connection's being among those that haven't authenticated.
func (c *conn) uncount() {
	if c.counted {
		c.counted = false
		c.server.addresses.release(c.remote)
	}
}

// A proof is what a pong will prove: that the peer has consumed a token.
type proof struct {
	seq    uint64
	urgent bool // lanes overtake each other: a pong proves only its own lane's past
	seat   *seat
	token  tokens.Token
}

// closeWait is how long a peer has to answer our close frame.
const closeWait = 2 * time.Second

// serve reads until the socket ends.
func (c *conn) serve() {
	defer c.server.running.Done()
	for {
		// Nothing cancels the context: what ends a read is the connection's
		// deadline or its end, which costs no timer.
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			c.finish(err)
			return
		}
		buffer := readBuffers.Get().(*bytes.Buffer)
		buffer.Reset()
		_, err = buffer.ReadFrom(r)
		switch {
		case err != nil:
		case c.isClosing():
		case kind != websocket.MessageText:
			c.close(CloseBadFrame, errNotMessage.Error())
		default:
			c.busy.Store(true)
			c.server.workers.handle(c, buffer.Bytes())
			c.busy.Store(false)
		}
		if buffer.Cap() <= 64<<10 {
			readBuffers.Put(buffer)
		}
		if err != nil {
			c.finish(err)
			return
		}
	}
}

// readBuffers lend a connection memory only while it has a message.
var readBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// finish ends the connection after its reader saw err.
func (c *conn) finish(err error) {
	code := c.endedBy(err)
	c.server.metrics.close(code)
	c.server.conns.remove(c, c.who().session)
	c.uncount()
	c.detach(code == CloseNormal)
	c.out.shut()
	switch code {
	case CloseUnauthenticated, CloseProtocol:
		// Nothing can be in the way: after errors of the library we don't know.
		_ = c.wire.writeFrames([][]byte{closeFrame(code, closeReasons[code])})
	}
	var closed websocket.CloseError
	if c.wire.hasSentClose() && !errors.As(err, &closed) {
		c.wire.linger()
	}
	c.wire.end()
	who := c.who()
	c.server.log.Debug("closed", "session", who.session, "user", who.person.User, "code", int(code))
}

var closeReasons = map[CloseCode]string{
	CloseUnauthenticated: "no auth in time",
	CloseProtocol:        "a frame that breaks RFC 6455",
}

// endedBy says which close code the connection ended with.
func (c *conn) endedBy(err error) CloseCode {
	c.mu.Lock()
	code := c.code
	c.mu.Unlock()
	var closed websocket.CloseError
	var network net.Error
	switch {
	case code != 0:
		return code
	case errors.As(err, &closed):
		if closed.Code == websocket.StatusNormalClosure {
			return CloseNormal
		}
		return CloseCode(closed.Code)
	case errors.Is(err, websocket.ErrMessageTooBig):
		return CloseTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded) && c.who().session == "":
		return CloseUnauthenticated
	case c.wire.hasSentClose():
		return CloseProtocol
	case errors.As(err, &network), isEnd(err):
		return closeAbnormal
	default:
		return CloseProtocol
	}
}

// detach gives up the connection's places: for good after a goodbye and at the
// session's end, otherwise its members linger.
func (c *conn) detach(goodbye bool) {
	c.mu.Lock()
	seats, over := c.seats, c.over
	c.seats, c.proofs = nil, nil
	c.mu.Unlock()
	for _, s := range seats {
		s.release()
		in := s.membership()
		if in == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		var err error
		if goodbye || over {
			err = in.Leave(ctx)
		} else {
			err = in.Suspend(ctx)
		}
		cancel()
		if err != nil {
			// Taken over or removed meanwhile: somebody else's now.
			c.server.log.Debug("detach", "session", c.who().session, "room", s.room, "error", err)
		}
	}
}

// send puts a message in the queue. A reader too slow for it is closed, and
// gets the rest from the log when it comes back.
func (c *conn) send(f frame) mark {
	at, start, err := c.out.put(f)
	if errors.Is(err, errQueueFull) {
		c.closeDiscarding(CloseTryLater, "you read too slowly: resume to get the rest")
	}
	if start {
		c.startWriter()
	}
	return at
}

// sendToken puts a token in the urgent lane, behind the message at mark, and a
// ping behind the token whose pong proves that it arrived.
func (c *conn) sendToken(s *seat, t tokens.Token, after mark) {
	now := c.server.now()
	c.sendProved(s, t, after, encode(tokenEvent{"token", s.room, asWireToken(t, now)}))
}

// prove sends a ping behind a message in the normal lane that carried a token.
func (c *conn) prove(s *seat, t tokens.Token, after mark) { c.sendProved(s, t, after) }

func (c *conn) sendProved(s *seat, t tokens.Token, after mark, frames ...[]byte) {
	c.mu.Lock()
	c.pings++
	seq := c.pings
	urgent, start, err := c.out.putUrgent(after, append(frames, pingFrame(seq))...)
	if err == nil {
		c.proofs = append(c.proofs, proof{seq, urgent, s, t})
	}
	c.mu.Unlock()
	if err != nil {
		return // closing: the client will ask anew
	}
	c.server.metrics.pushes.Inc()
	c.server.conns.await(c, seq)
	if start {
		c.startWriter()
	}
}

// ping asks an idle peer whether it is there.
func (c *conn) ping() {
	c.mu.Lock()
	c.pings++
	seq := c.pings
	_, start, err := c.out.putUrgent(0, pingFrame(seq))
	c.mu.Unlock()
	if err != nil {
		return
	}
	c.server.conns.await(c, seq)
	if start {
		c.startWriter()
	}
}

// pong takes the answer to a ping, on the reading goroutine.
func (c *conn) pong(_ context.Context, payload []byte) {
	if len(payload) != 8 {
		return // RFC 6455, section 5.5.3: unsolicited pongs are allowed
	}
	seq := binary.BigEndian.Uint64(payload)
	c.mu.Lock()
	if seq > c.pings {
		c.mu.Unlock()
		return
	}
	c.answered = max(c.answered, seq)
	lane, found := false, false
	for _, p := range c.proofs {
		if p.seq == seq {
			lane, found = p.urgent, true
		}
	}
	var proven, open []proof
	for _, p := range c.proofs {
		if found && p.urgent == lane && p.seq <= seq {
			proven = append(proven, p)
		} else {
			open = append(open, p)
		}
	}
	c.proofs = open
	c.mu.Unlock()
	for _, p := range proven {
		p.seat.token.Delivered(p.token)
		c.server.metrics.remaining.Observe(p.token.ExpiresAt.Sub(c.server.now()).Seconds())
	}
}

func (c *conn) hasAnswered(seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered >= seq
}

// close ends the connection after what is in the queue.
func (c *conn) close(code CloseCode, reason string) { c.end(code, reason, false) }

// closeDiscarding ends it without what is in the queue.
func (c *conn) closeDiscarding(code CloseCode, reason string) { c.end(code, reason, true) }

func (c *conn) end(code CloseCode, reason string, discard bool) {
	c.mu.Lock()
	if c.code == 0 {
		c.code = code
	}
	c.mu.Unlock()
	start, err := c.out.close(closeFrame(code, reason), discard)
	if err == nil && start {
		c.startWriter()
	}
}

func (c *conn) isClosing() bool { return c.closedWith() != 0 }

// closedWith is the code that we closed the connection with; 0: we haven't.
func (c *conn) closedWith() CloseCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code
}

// abort ends the connection at once: the peer doesn't answer.
func (c *conn) abort() { _ = c.wire.Close() }

// startWriter is called by whoever put a frame into an empty queue.
func (c *conn) startWriter() {
	c.server.running.Add(1)
	if c.writer == nil {
		c.writer = c.write
	}
	go c.writer()
}

// write writes batches until the queue is empty.
func (c *conn) write() {
	defer c.server.running.Done()
	batch := batches.Get().(*[][]byte)
	defer batches.Put(batch)
	written := 0
	for {
		frames, n := c.out.take((*batch)[:0], written)
		if len(frames) == 0 {
			return
		}
		if err := c.wire.writeFrames(frames); err != nil {
			c.out.shut()
			if !errors.Is(err, errCloseSent) {
				c.abort()
			}
			return
		}
		clear((*batch)[:len(frames)])
		written = n
		if c.wire.hasSentClose() {
			_ = c.wire.SetReadDeadline(time.Now().Add(closeWait))
		}
	}
}

var batches = sync.Pool{New: func() any { b := make([][]byte, 0, batchFrames); return &b }}
