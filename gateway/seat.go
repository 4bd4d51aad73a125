package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// A seat is one connection's place in one room: it follows the room's log and
// takes the tokens that the schedule pushes. Both may have something to say
// before the client has been told that it is in; that is held back until then.
type seat struct {
	conn   *conn
	room   string
	member string
	token  *tokens.Membership
	review *review // nil: access isn't asked again

	granting sync.Mutex // held while the grant changes: one decision after the other

	mu      sync.Mutex   // guards what follows; held while putting into the queue, so that order stays
	said    tokens.Grant // what access said last
	asked   time.Time    // when it was asked for that
	granted tokens.Grant // that, with the operator's rules over it
	in      rooms.Membership

	condemned bool // it is about to be revoked
	begun     bool // the client knows: joined or welcome is in the queue
	finished  bool // it knows that it is out again
	at        mark // where
	held      []frame
	newest    tokens.Token
	gone      rooms.Reason // removed before it began
}

// Deliver implements [rooms.Follower].
func (s *seat) Deliver(e *rooms.Entry) {
	s.mu.Lock()
	own := e.Kind == rooms.KindLeft && e.Member.ID == s.member
	switch {
	case own && s.begun:
		s.mu.Unlock()
		s.conn.removed(s, string(e.Reason), CloseForbidden)
		return
	case own:
		s.gone = e.Reason
	case s.finished:
	case s.begun:
		s.conn.send(preparedFrame(e))
	default:
		s.held = append(s.held, preparedFrame(e))
	}
	s.mu.Unlock()
}

// Detached implements [rooms.Follower]: the session came back on another socket, or has
// to come back for what it missed.
func (s *seat) Detached(why error) {
	c := s.conn
	if errors.Is(why, rooms.ErrGap) {
		c.close(CloseTryLater, "events were missed: resume to get the rooms as they are")
		return
	}
	c.vacate(s)
	c.close(CloseTakenOver, "the session was resumed on another socket")
}

// push takes a token from the schedule.
func (s *seat) push(t tokens.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		s.conn.sendToken(s, t, s.at)
	} else {
		s.newest = t
	}
}

// begin lets everything flow: the reply that says so is in the queue at at.
func (s *seat) begin(at mark, told tokens.Token) {
	s.mu.Lock()
	s.begun, s.at = true, at
	if !told.IsZero() {
		s.conn.prove(s, told, at)
	}
	for _, f := range s.held {
		s.conn.send(f)
	}
	s.held = nil
	if !s.newest.IsZero() {
		s.conn.sendToken(s, s.newest, at)
	}
	gone, condemned := s.gone, s.condemned
	s.mu.Unlock()
	if condemned {
		s.conn.server.tasks.spawnBrief(func(ctx context.Context) { _ = s.deny(ctx, byOperator) })
	}
	if gone != "" {
		s.conn.removed(s, string(gone), CloseForbidden)
	}
}

// newSeat is a place in a room that the connection hasn't taken yet. allowed is when
// access said that it may; stale, that just now nobody can tell.
func (c *conn) newSeat(room string, allowed time.Time, stale bool) *seat {
	s := &seat{conn: c, room: room, member: memberID(c.who().session, room)}
	if c.server.reviewer != nil {
		s.review = &review{seat: s, allowed: allowed, stale: stale}
	}
	return s
}

// enter notes the seat's place in the room's log. What the operator decided since
// access was asked counts: with an error the place may not be had.
func (s *seat) enter(ctx context.Context, in rooms.Membership) error {
	s.mu.Lock()
	s.in = in
	s.mu.Unlock()
	if !s.isRevoked() {
		return s.regrant(ctx, nil, time.Time{}, byOperator)
	}
	return errRevoked
}

// newestOf is the token that a client is told of in the reply that it is in: t, or one
// that was signed since because its grant has changed.
func (s *seat) newestOf(t tokens.Token) tokens.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.newest.IsZero() {
		t, s.newest = s.newest, tokens.Token{}
	}
	return t
}

// membership is the seat's place in the room's log; nil: it has none yet.
func (s *seat) membership() rooms.Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in
}

// vacate takes a seat off the connection, and off the schedule: no token will
// be pushed to it. It says whether the connection had it.
func (c *conn) vacate(s *seat) bool {
	c.mu.Lock()
	i := slices.Index(c.seats, s)
	if i >= 0 {
		c.seats = slices.Delete(c.seats, i, i+1)
	}
	c.mu.Unlock()
	s.release()
	return i >= 0
}

// release ends what is done for a seat from time to time: no token is pushed to
// it, and nobody is asked about it.
func (s *seat) release() {
	if s.review != nil {
		s.review.end()
	}
	s.token.Remove()
}

// removed ends a place that somebody else ended, and the connection with code
// where it was the last. It may be called with the room's lock held.
// It returns whether there was something to end.
func (c *conn) removed(s *seat, why string, code CloseCode) bool {
	if !s.finish() || !c.vacate(s) {
		return false
	}
	c.send(encode(removedEvent{"removed", s.room, why}))
	c.mu.Lock()
	last := len(c.seats) == 0
	c.mu.Unlock()
	if last {
		c.close(code, why)
	}
	return true
}

// finish has the client hear no more of the room. It returns false where it has heard
// nothing yet, or everything.
func (s *seat) finish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun || s.finished {
		return false
	}
	s.finished = true
	return true
}
