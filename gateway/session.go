package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

// beat is what happens to a connection once an interval: it is pinged, or its
// session has ended.
func (c *conn) beat() {
	ends := c.ends.Load()
	switch {
	case ends == 0: // the deadline for auth is sooner than a pong's
	case c.server.now().Unix() < ends:
		c.ping()
	default:
		c.endSession()
	}
}

// endSession closes the connection because nobody has proven for too long who it
// is. No more tokens are pushed from now on. Its members leave once it is closed,
// rather than be removed: one that was resumed elsewhere at this moment, with a new
// credential, is somebody else's. The client isn't told room by room: with another
// credential it may join them anew.
func (c *conn) endSession() {
	c.mu.Lock()
	closing := c.code != 0
	c.over = c.over || !closing
	c.mu.Unlock()
	if closing {
		return
	}
	for _, s := range c.allSeats() {
		s.release()
	}
	c.close(CloseUnauthenticated, "the session is over: authenticate anew")
}

// proveAgain does an auth on a session: a new credential of the same person,
// with which it begins anew to last and has the rights that are in it.
func (c *conn) proveAgain(ctx context.Context, r request) error {
	if r.Credential == "" || r.Resume != nil {
		return &requestError{codeAlreadyAuthenticated, "this connection is authenticated already: a new credential is all that it takes"}
	}
	person, err := c.authenticate(ctx, r.Credential)
	if err != nil {
		return err
	}
	before := c.who()
	if person.User != before.person.User {
		return &requestError{codeNotAllowed, "this credential is another user's: open another socket"}
	}
	is := c.server.identity(before.session, person, r.Credential)
	asked := c.server.now()
	grants := map[*seat]*tokens.Grant{} // nil: not allowed any more
	for _, s := range c.allSeats() {
		admission, err := c.server.admit(ctx, c.asksAs(is, access.Refresh, s.room))
		switch {
		case err == nil:
			grants[s] = &admission.Grant
		case errors.Is(err, access.ErrDenied):
			grants[s] = nil
		default:
			return err // nothing has changed
		}
	}
	now := c.server.now()
	ends := now.Add(c.server.limits.SessionMax)
	c.is.Store(&is)
	c.ends.Store(ends.Unix())
	c.send(encode(provenReply{"ok", r.ID, c.server.sealer.seal(is.session, person, ends), ends.Sub(now).Milliseconds()}))
	for s, grant := range grants {
		var err error
		if grant == nil {
			err = s.deny(ctx, byAccess)
		} else {
			err = s.regrant(ctx, grant, asked, byAccess)
			s.review.confirm(asked)
		}
		if err != nil {
			c.server.log.Debug("regrant", "session", is.session, "room", s.room, "error", err)
		}
	}
	return nil
}

// allSeats returns the connection's places.
func (c *conn) allSeats() []*seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seats)
}
