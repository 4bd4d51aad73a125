package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	if c.wire.hasHungUp() {
		return nil // it may have come back elsewhere meanwhile
	}
	is := c.server.identity(newSession(), person, r.Credential)
	switch {
	case resumed:
		is.session = r.Resume.Session
	case r.Vouched != nil:
		is.session = visitPrefix + is.session
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
	if c.server.rules.On(person.User, "", "").Revoked {
		c.close(CloseForbidden, string(rooms.ReasonRevoked))
		return nil
	}
	_ = c.wire.SetReadDeadline(time.Time{})
	c.uncount()
	c.offered = ""
	c.ends.Store(ends.Unix())

	welcome := welcomeReply{
		Type: "welcome", ID: r.ID, Session: is.session,
		Secret: c.server.sealer.seal(is.session, person, ends),
		User:   asWireUser(person.User), Pod: c.server.pod,
		Resumed: resumed, Rooms: []roomReply{}, Degraded: c.server.outage() > 0, Limits: c.server.limits.report(),
	}
	var back []*comeback
	var refused []removedEvent
	if resumed {
		var ok bool
		if back, refused, ok = c.comeBackAll(ctx, r.Resume); !ok {
			return nil
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
	if r.Vouched != nil {
		return *r.Vouched, r.Ends, r.Resume != nil, nil
	}
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
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	p, err := c.authenticate(asking, r.Credential)
	if holds && err != nil && (errors.Is(err, access.ErrExpired) || !errors.Is(err, access.ErrDenied)) {
		return owner, ends, true, nil
	}
	if holds && (p.KickUsers != owner.KickUsers || p.JoinHub != owner.JoinHub) {
		r.Resume.Held = nil // those tokens are of other rights
	}
	return p, c.server.now().Add(c.server.limits.SessionMax), holds && p.User == owner.User, err
}

// askTimeout bounds how long who comes back waits for access to say who they are,
// and then for what they may: it leaves time for what follows without an answer.
const askTimeout = 4 * time.Second

// A permission is what is known of somebody's right to come back to a room.
type permission struct {
	access.Admission
	at    time.Time // when it was given
	stale bool      // just now nobody can tell
	err   error
}

// mayComeBack asks whether the peer may be in rooms again, in all of them at
// once. Where nobody can tell, what was said last holds for a while.
func (c *conn) mayComeBack(ctx context.Context, to []string) []permission {
	answers := make([]permission, len(to))
	var asking sync.WaitGroup
	for i, room := range to {
		asking.Go(func() { answers[i] = c.askBack(ctx, room) })
	}
	asking.Wait()
	if slices.ContainsFunc(answers, func(p permission) bool { return p.err == nil }) {
		// One room that nobody can tell of doesn't cost the others.
		for i := range answers {
			if err := answers[i].err; err != nil && !errors.Is(err, access.ErrDenied) {
				answers[i].err = &notBack{reasonUnconfirmed}
			}
		}
	}
	return answers
}

func (c *conn) askBack(ctx context.Context, room string) (a permission) {
	s, r := c.server, c.asks(access.Resume, room)
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a.at = s.now()
	a.Admission, a.err = s.admit(asking, r)
	if a.err == nil || errors.Is(a.err, access.ErrDenied) || s.reviewer == nil {
		return a
	}
	grant, at, err := s.lastWord(ctx, r)
	if err != nil {
		return a
	}
	return permission{Admission: access.Admission{Grant: grant}, at: at, stale: true}
}

// comeBackAll gives a session its places again, as far as it may have them; refused are
// the others. ok is false where the connection is closed instead, or has ended.
func (c *conn) comeBackAll(ctx context.Context, r *resumption) (back []*comeback, refused []removedEvent, ok bool) {
	session, all := c.who().session, slices.Sorted(maps.Keys(r.Cursors))
	answers := c.mayComeBack(ctx, all)
	if c.wire.hasHungUp() {
		// It gave up waiting for the app, and may have come back elsewhere: nothing is taken from that.
		return nil, nil, false
	}
	for i, may := range answers {
		room, began := all[i], c.server.now()
		seat, err := c.comeBack(ctx, room, may, r.Cursors[room], r.Held[room])
		c.auditResume(room, err, c.server.now().Sub(began))
		var no *notBack
		switch {
		case errors.As(err, &no):
			refused = append(refused, removedEvent{"removed", room, no.reason})
		case errors.Is(err, rooms.ErrTakenOver):
			c.close(CloseTakenOver, "the session was resumed on another socket")
			return nil, nil, false
		case err != nil:
			// Its places linger. It has to ask again rather than go on
			// with a part of them.
			c.server.log.Warn("a resume failed", "session", session, "room", room, "error", err)
			c.close(CloseTryLater, "your rooms can't be had just now")
			return nil, nil, false
		default:
			back = append(back, seat)
		}
	}
	return back, refused, true
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
func (c *conn) comeBack(ctx context.Context, room string, may permission, since rooms.Cursor, held time.Time) (*comeback, error) {
	switch {
	case checkRoom(room) != nil:
		return nil, &notBack{"room_closed"}
	case errors.Is(may.err, access.ErrDenied):
		return nil, &notBack{string(rooms.ReasonRevoked)}
	case may.err != nil:
		return nil, may.err
	}
	is, s := c.who(), c.newSeat(room, may.at, may.stale)
	grant := s.permit(may.Grant)
	if grant.Key() != may.Grant.Key() {
		held = time.Time{} // it may be from before the operator's rule
	}
	var token tokens.Token
	var err error
	if s.token, token, err = c.server.schedule.Resume(ctx, grant, held, s.push); err != nil {
		return nil, err
	}
	c.occupy(s)
	who := rooms.Member{ID: s.member, User: is.person.User, Session: is.session, Data: is.person.Data, JoinedAt: c.server.now(), Rights: c.server.asRights(may.Grant, s.review.staleSince())}
	if may.Data != nil {
		who.Data = may.Data
	}
	anew := false
	in, got, err := c.server.rooms.Resume(ctx, room, who, since, s)
	if errors.Is(err, rooms.ErrNoMember) || errors.Is(err, rooms.ErrNoRoom) {
		got, anew = rooms.Resumption{Gap: true}, true
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
	err = s.enter(ctx, in)
	if errors.Is(err, errRevoked) {
		c.vacate(s)
		_ = s.remove(ctx, rooms.ReasonRevoked)
		return nil, &notBack{string(rooms.ReasonRevoked)}
	}
	if err == nil {
		err = s.renew(ctx, got.Snapshot, anew)
	}
	if err != nil {
		return nil, err // the place lingers
	}
	token = s.newestOf(token)
	s.review.begin()
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
