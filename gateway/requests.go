package gateway

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
)

// requestTimeout bounds what one request may wait for: a signature, the store.
const requestTimeout = 10 * time.Second

// handle does one message from the client. Its bytes are good until it returns.
func (c *conn) handle(text []byte) {
	if !c.limiter.Allow() {
		c.close(CloseRateLimited, "more than "+strconv.FormatFloat(float64(c.limiter.Limit()), 'g', -1, 64)+" messages a second")
		return
	}
	r, err := decodeRequest(text)
	if errors.Is(err, errNotMessage) {
		c.close(CloseBadFrame, err.Error())
		return
	}
	c.server.metrics.message(r.Type)
	if err == nil {
		err = c.try(r)
	}
	if err != nil {
		known := asRequestError(err)
		if known.Code == codeUnavailable {
			c.server.log.Warn("a request failed", "session", c.who().session, "type", r.Type, "error", err)
		}
		c.send(encode(errorReply{"error", r.ID, known.Code, known.Message}))
	}
}

// try does a request, and audits it.
func (c *conn) try(r request) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	began := c.server.now()
	err := c.do(ctx, r)
	c.audit(r, err, c.server.now().Sub(began))
	return err
}

func (c *conn) do(ctx context.Context, r request) error {
	if r.Type == "auth" {
		return c.auth(ctx, r)
	}
	act := acts[r.Type]
	crash := r.Type == "crash" && c.server.crash != nil
	switch {
	case act == nil && !crash:
		return &requestError{codeUnknownType, "there is no such type of message"}
	case c.who().session == "":
		return &requestError{codeNotAuthenticated, "the first message is auth"}
	case crash:
		is := c.who()
		c.server.log.Error("crashing, as a client asked", "user", is.person.User, "session", is.session)
		c.server.crash()
		return nil
	}
	if err := checkRoom(r.Room); err != nil {
		return err
	}
	return act(c, ctx, r)
}

// acts are the requests of a connection that is authenticated, by type.
var acts = map[string]func(*conn, context.Context, request) error{
	"join":   (*conn).join,
	"leave":  (*conn).leave,
	"signal": (*conn).signal,
	"update": (*conn).update,
	"kick":   (*conn).kick,
}

// checkData says whether presence data is small enough.
func (c *conn) checkData(data []byte) error {
	if most := c.server.limits.DataBytes; len(data) > most {
		return &requestError{codeTooLarge, "data is longer than " + strconv.Itoa(most) + " bytes"}
	}
	return nil
}

func (c *conn) join(ctx context.Context, r request) error {
	if err := c.checkData(r.Data); err != nil {
		return err
	}
	is := c.who()
	allowed := c.server.now()
	admission, err := c.server.admit(ctx, c.asks(access.Join, r.Room))
	if err != nil {
		return err
	}
	s := c.newSeat(r.Room, allowed, false)
	if err := c.checkVacancy(r.Room); err != nil {
		return err
	}
	// The token comes first: a join that fails for want of it is seen by nobody.
	member, token, err := c.server.schedule.Add(ctx, s.permit(admission.Grant), s.push)
	if err != nil {
		return err
	}
	s.token = member
	c.occupy(s)
	who := rooms.Member{ID: s.member, User: is.person.User, Session: is.session, Data: r.Data, JoinedAt: c.server.now(), Rights: c.server.asRights(admission.Grant, time.Time{})}
	if r.Data == nil {
		if who.Data = admission.Data; who.Data == nil {
			who.Data = is.person.Data
		}
	}
	who.Data = withUserID(who.Data, r.UserID)
	in, snapshot, err := c.server.rooms.Join(ctx, r.Room, who, s)
	if errors.Is(err, rooms.ErrAlreadyMember) {
		who.Data = r.Data // who comes back keeps what they had, and not what they began with
		in, snapshot, err = c.rejoin(ctx, who, s)
	}
	if err != nil {
		c.vacate(s)
		return err
	}
	if err := s.enter(ctx, in); err != nil {
		c.vacate(s)
		_ = s.leave(ctx)
		return err
	}
	token = s.newestOf(token)
	s.review.begin()
	reply := asRoomReply(snapshot, s.member)
	reply.Type, reply.ID = "joined", r.ID
	wire := asWireToken(token, c.server.now())
	reply.Token = &wire
	s.begin(c.send(encode(reply)), token)
	return nil
}

// rejoin takes a place that the session left lingering and didn't name when it
// resumed. To the others nothing happens but a change of data.
func (c *conn) rejoin(ctx context.Context, who rooms.Member, s *seat) (rooms.Membership, rooms.Snapshot, error) {
	in, back, err := c.server.rooms.Resume(ctx, s.room, who, rooms.Cursor{}, s)
	if err == nil && who.Rights != "" {
		err = in.SetRights(ctx, who.Rights)
	}
	if err != nil || who.Data == nil {
		return in, back.Snapshot, err
	}
	if err := in.Update(ctx, who.Data); err != nil {
		return in, back.Snapshot, err
	}
	now, err := c.server.rooms.Snapshot(ctx, s.room)
	return in, now, err
}

// checkVacancy says whether the connection may enter another room, this one.
func (c *conn) checkVacancy(room string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seatLocked(room) != nil {
		return &requestError{codeAlreadyJoined, "this connection is in the room already"}
	}
	if most := c.server.limits.Rooms; len(c.seats) >= most {
		return &requestError{codeTooManyRooms, "one connection may be in " + strconv.Itoa(most) + " rooms"}
	}
	return nil
}

func (c *conn) occupy(s *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seats = append(c.seats, s)
}

// seatLocked is the connection's place in a room, or the one that it is about to take; nil: none.
func (c *conn) seatLocked(room string) *seat {
	for _, s := range c.seats {
		if s.room == room {
			return s
		}
	}
	return nil
}

// seat returns the connection's place in a room.
func (c *conn) seat(room string) (*seat, error) {
	c.mu.Lock()
	s := c.seatLocked(room)
	c.mu.Unlock() // a seat's lock is taken before the connection's
	if s != nil && s.membership() != nil {
		return s, nil
	}
	return nil, &requestError{codeNotJoined, "this connection isn't in the room"}
}

func (c *conn) leave(ctx context.Context, r request) error {
	s, err := c.seat(r.Room)
	if err != nil {
		return err
	}
	c.vacate(s)
	if err := s.membership().Leave(ctx); err != nil {
		return err
	}
	c.send(encode(leftReply{"left", r.ID, r.Room}))
	return nil
}

func (c *conn) signal(ctx context.Context, r request) error {
	s, err := c.seat(r.Room)
	if err != nil {
		return err
	}
	if r.Data == nil {
		return badRequest("data is missing")
	}
	if r.To == s.member {
		return badRequest("to is yourself")
	}
	if err := s.membership().Signal(ctx, r.To, r.Data); err != nil {
		return err
	}
	c.ok(r)
	return nil
}

func (c *conn) update(ctx context.Context, r request) error {
	s, err := c.seat(r.Room)
	if err != nil {
		return err
	}
	if r.Data == nil {
		return badRequest("data is missing")
	}
	if err := c.checkData(r.Data); err != nil {
		return err
	}
	if err := s.membership().Update(ctx, r.Data); err != nil {
		return err
	}
	c.ok(r)
	return nil
}

func (c *conn) kick(ctx context.Context, r request) error {
	s, err := c.seat(r.Room)
	switch {
	case err != nil:
		return err
	case !s.grant().KickUsers:
		return &requestError{codeNotAllowed, "your grant doesn't include kick_users"}
	case r.Member == "":
		return badRequest("member is missing")
	case r.Member == s.member:
		return badRequest("member is yourself: leave instead")
	}
	err = c.server.rooms.Remove(ctx, r.Room, r.Member, rooms.ReasonKicked)
	if errors.Is(err, rooms.ErrNoMember) {
		return &requestError{codeNoSuchMember, "there is no such member in the room"}
	}
	if err != nil {
		return err
	}
	c.ok(r)
	return nil
}

// ok answers a request that wants an answer.
func (c *conn) ok(r request) {
	if r.ID != 0 {
		c.send(encode(okReply{"ok", r.ID}))
	}
}
