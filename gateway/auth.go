package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// auth says who the peer is, and gives it back what it had.
func (c *conn) auth(ctx context.Context, r request) error {
	if c.who().session != "" {
		return c.proveAgain(ctx, r)
	}
	if r.Credential == "" {
		r.Credential = c.offered
	} else if c.offered != "" && !c.ambient && c.offered != r.Credential {
		return badRequest("the credential isn't the one of the " + bearerPrefix + " subprotocol: send one of them")
	}
	if r.Resume != nil && len(r.Resume.Cursors) > c.server.limits.Rooms {
		return &requestError{codeTooManyRooms, "one connection may be in " + strconv.Itoa(c.server.limits.Rooms) + " rooms"}
	}
	person, ends, resumed, err := c.identify(ctx, r)
	if err != nil {
		if errors.Is(err, access.ErrDenied) {
			c.server.log.Debug("a credential doesn't hold", "reason", access.DenialReason(err))
			c.close(CloseUnauthenticated, strings.TrimSuffix("the credential doesn't hold: "+access.DenialReason(err), ": "))
			return nil
		}
		c.server.log.Warn("nobody can tell whether a credential holds", "error", err)
		c.close(CloseTryLater, "who you are can't be told just now")
		return nil
	}
	is := c.server.identity(newSession(), person, r.Credential)
	if resumed {
		is.session = r.Resume.Session
	}
	done, err := c.server.conns.turn(ctx, is.session)
	if err != nil {
		return err
	}
	defer done()
	c.is.Store(&is)
	if before := c.server.conns.claim(is.session, c); before != nil {
		before.close(CloseTakenOver, "the session was resumed on another socket")
	}
	_ = c.wire.SetReadDeadline(time.Time{})
	c.uncount()
	c.offered = ""
	c.ends.Store(ends.Unix())

	welcome := welcomeReply{
		Type: "welcome", ID: r.ID, Session: is.session,
		Secret:  c.server.sealer.seal(is.session, person, ends),
		User:    asWireUser(person.User),
		Resumed: resumed, Rooms: []roomReply{}, Degraded: c.server.outage() > 0, Limits: c.server.limits.report(),
	}
	var back []*comeback
	var refused []removedEvent
	if resumed {
		for _, room := range slices.Sorted(maps.Keys(r.Resume.Cursors)) {
			seat, err := c.comeBack(ctx, room, r.Resume.Cursors[room], r.Resume.Held[room])
			var no *notBack
			switch {
			case errors.As(err, &no):
				refused = append(refused, removedEvent{"removed", room, no.reason})
			case errors.Is(err, rooms.ErrTakenOver):
				c.close(CloseTakenOver, "the session was resumed on another socket")
				return nil
			case err != nil:
				// Its places linger. It has to ask again rather than go on
				// with a part of them.
				c.server.log.Warn("a resume failed", "session", is.session, "room", room, "error", err)
				c.close(CloseTryLater, "your rooms can't be had just now")
				return nil
			default:
				back = append(back, seat)
			}
		}
	}
	now := c.server.now()
	welcome.ServerTime, welcome.SessionExpiresIn = now.UnixMilli(), ends.Sub(now).Milliseconds()
	for _, b := range back {
		if !b.token.IsZero() {
			wire := asWireToken(b.token, now)
			b.reply.Token = &wire
		}
		welcome.Degraded = welcome.Degraded || b.reply.Degraded
		welcome.Rooms = append(welcome.Rooms, b.reply)
	}
	at := c.send(encode(welcome))
	for _, b := range back {
		b.seat.begin(at, b.token)
	}
	for _, event := range refused {
		c.send(encode(event))
	}
	return nil
}

// identify takes a resume secret that holds, else the credential, and says when
// the session ends. A credential of somebody else beside a resume makes a new
// session: the old one isn't theirs. One that is only too old, or that nobody can
// tell of just now, takes nothing from a secret that holds.
func (c *conn) identify(ctx context.Context, r request) (_ access.Person, ends time.Time, resumed bool, _ error) {
	var owner access.Person
	holds := false
	if r.Resume != nil {
		var err error
		owner, ends, err = c.server.sealer.open(r.Resume.Session, r.Resume.Secret, c.server.now())
		holds = err == nil
	}
	if holds && r.Credential == "" {
		return owner, ends, true, nil
	}
	p, err := c.server.access.Authenticate(ctx, access.Request{
		Reason: access.Connect, Credential: r.Credential, Address: c.remote, Header: c.header,
	})
	if holds && err != nil && (errors.Is(err, access.ErrExpired) || !errors.Is(err, access.ErrDenied)) {
		return owner, ends, true, nil
	}
	return p, c.server.now().Add(c.server.limits.SessionMax), holds && p.User == owner.User, err
}

// A comeback is a place that a session has again.
type comeback struct {
	seat  *seat
	reply roomReply
	token tokens.Token // zero where the client's own is still good
}

// notBack says that a session has no place in a room any more.
type notBack struct{ reason string }

func (e *notBack) Error() string { return "not back: " + e.reason }

// comeBack gives a session its place in a room again: unseen by the others while
// it lingers, and as a new member of the same id after that. held is when the
// client's own token expires; while that is good nothing is signed.
func (c *conn) comeBack(ctx context.Context, room string, since rooms.Cursor, held time.Time) (*comeback, error) {
	if err := checkRoom(room); err != nil {
		return nil, &notBack{"room_closed"}
	}
	is := c.who()
	admission, err := c.server.access.Admit(ctx, c.asks(access.Resume, room))
	if errors.Is(err, access.ErrDenied) {
		return nil, &notBack{string(rooms.ReasonRevoked)}
	}
	if err != nil {
		return nil, err
	}
	grant := admission.Grant
	s := &seat{conn: c, room: room, member: memberID(is.session, room), grant: grant}
	var token tokens.Token
	if s.token, token, err = c.server.schedule.Resume(ctx, grant, held, s.push); err != nil {
		return nil, err
	}
	c.occupy(s)
	who := rooms.Member{ID: s.member, User: is.person.User, Session: is.session, Data: is.person.Data, JoinedAt: c.server.now()}
	in, got, err := c.server.rooms.Resume(ctx, room, who, since, s)
	if errors.Is(err, rooms.ErrNoMember) || errors.Is(err, rooms.ErrNoRoom) {
		got = rooms.Resumption{Gap: true}
		in, got.Snapshot, err = c.server.rooms.Join(ctx, room, who, s)
	}
	if errors.Is(err, rooms.ErrAlreadyMember) { // its pod wrote it again meanwhile
		in, got, err = c.server.rooms.Resume(ctx, room, who, since, s)
	}
	if err != nil {
		c.vacate(s)
		switch {
		case errors.Is(err, rooms.ErrRemoved):
			return nil, &notBack{string(rooms.ReasonKicked)}
		case errors.Is(err, rooms.ErrRoomFull), errors.Is(err, rooms.ErrWrongOwner):
			return nil, &notBack{"room_closed"}
		}
		return nil, err
	}
	s.in = in
	reply := asRoomReply(got.Snapshot, s.member)
	reply.Gap = got.Gap
	for _, e := range got.Missed {
		reply.Missed = append(reply.Missed, preparedFrame(e).payload())
	}
	return &comeback{s, reply, token}, nil
}

func (l Limits) report() limitsReport {
	return limitsReport{
		MessageBytes: l.MessageBytes, DataBytes: l.DataBytes, Rooms: l.Rooms,
		MessagesPerSecond: l.MessageRate, Burst: l.MessageBurst, Ping: l.Ping.Milliseconds(),
	}
}
