package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// An act is what somebody did, or wanted to do and was refused: one line of the
// audit. Neither a token nor a credential, a key, presence data or what was
// signaled is ever in it. Its fields are the line's keys, in this order; those
// that are zero are left out.
type act struct {
	Action   string        // what was done: auth, join, kick, or an operation of the operator's API
	Room     string        // where
	Member   string        // to whom: the member that joined, was kicked, or was to get the signal
	By       string        // who did it, where that isn't the member itself: a member's id, or [byOperator]
	User     string        // whose doing it was; absent: an anonymous person's or the operator's
	Session  string        // the session that did it; absent: the operator
	Rights   rightsChange  // what the member may do from now on; absent: as before
	Exposed  time.Time     // when the newest token that the member was given runs out; absent: it goes on
	Subject  string        // the user whom the operator decided about; absent: nobody, or an anonymous person
	Target   string        // the pod that the operator decided about; absent: none
	AdminKey int           // which of the --admin-key did it, counted from 1; absent: none
	Result   string        // [resultOK], or the code of the error
	Status   int           // the HTTP status that was answered; absent on the socket
	Remote   string        // address that it came from, without the port
	Duration time.Duration // from the request to the answer
}

// A rightsChange is what somebody may do from now on, where it was decided.
type rightsChange struct{ joinHub, kickUsers *bool }

const (
	byOperator = "operator"
	byAccess   = "app"     // by what access says
	byGateway  = "gateway" // by itself
	resultOK   = "ok"
)

// audit writes an act to the log, with the message "audit" and at level info, and counts what was refused.
func (s *Server) audit(a act) {
	s.metrics.refused(a)
	attrs := make([]slog.Attr, 0, 15)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, clip(value)))
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			attrs = append(attrs, slog.Int(key, value))
		}
	}
	text("action", a.Action)
	text("room", a.Room)
	text("member", a.Member)
	text("by", a.By)
	text("user", a.User)
	text("session", a.Session)
	text("subject", a.Subject)
	text("target", a.Target)
	number("admin_key", a.AdminKey)
	right := func(key string, value *bool) {
		if value != nil {
			attrs = append(attrs, slog.Bool(key, *value))
		}
	}
	right("join_hub", a.Rights.joinHub)
	right("kick_users", a.Rights.kickUsers)
	if !a.Exposed.IsZero() {
		attrs = append(attrs, slog.Int64("exposure_until", a.Exposed.UnixMilli()))
	}
	text("result", a.Result)
	number("status", a.Status)
	text("remote", a.Remote)
	attrs = append(attrs, slog.Duration("duration", a.Duration))
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "audit", attrs...)
}

// resultOf is what an error is to the audit.
func resultOf(err error) string {
	if err == nil {
		return resultOK
	}
	return asRequestError(err).Code
}

// audit writes down what was decided about a seat's member.
func (s *seat) audit(action, by string, err error, took time.Duration, more act) {
	is := s.conn.who()
	more.Action, more.Room, more.Member, more.By = action, s.room, s.member, by
	more.User, more.Session, more.Remote = is.person.User, is.session, s.conn.remote
	more.Result, more.Duration = resultOf(err), took
	s.conn.server.audit(more)
}

// clip keeps a name that a stranger chose from filling the log.
func clip(name string) string {
	if len(name) <= longestRoom {
		return name
	}
	return strings.ToValidUTF8(name[:longestRoom], "") + "…"
}

// auditResume writes down who came back to a room, or didn't.
func (c *conn) auditResume(room string, err error, took time.Duration) {
	is := c.who()
	a := act{
		Action: "resume", Room: room, Member: memberID(is.session, room), User: is.person.User, Session: is.session,
		Result: resultOf(err), Remote: c.remote, Duration: took,
	}
	if errors.As(err, new(*notBack)) {
		a.Result = codeNotAllowed
	}
	c.server.audit(a)
}

// audit writes down what a request of the client came to, where it is one that
// an operator may have to account for: who came in and who was kept out, who
// put out whom. A request that couldn't be understood did nothing and isn't one.
func (c *conn) audit(r request, err error, took time.Duration) {
	is := c.who()
	a := act{
		Action: r.Type, Room: r.Room, User: is.person.User, Session: is.session,
		Result: resultOf(err), Remote: c.remote, Duration: took,
	}
	switch a.Result {
	case codeBadRequest, codeNotAuthenticated, codeAlreadyAuthenticated:
		return
	}
	switch r.Type {
	case "auth":
		switch c.closedWith() {
		case CloseUnauthenticated:
			a.Result = codeNotAuthenticated
		case CloseForbidden:
			a.Result = codeNotAllowed
		case CloseTryLater:
			a.Result = codeUnavailable
		default:
			if err == nil {
				return // who came in isn't anywhere yet: what counts is the join
			}
		}
		a.Room = ""
	case "join":
		a.Member = memberID(is.session, r.Room)
	case "kick":
		a.Member, a.By = r.Member, memberID(is.session, r.Room)
	default:
		return
	}
	c.server.audit(a)
}
