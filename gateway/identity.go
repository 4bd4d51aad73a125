package gateway

import (
	"context"

	"github.com/roompass/roompass/gateway/access"
)

// An identity is who a connection's peer was found to be. Nobody changes it: a new
// credential replaces it.
type identity struct {
	session    string // "" until authenticated
	person     access.Person
	credential string // kept only where it is asked about again
}

// who is who the peer is.
func (c *conn) who() identity {
	if is := c.is.Load(); is != nil {
		return *is
	}
	return identity{}
}

// identity is a new one. What isn't asked about again isn't kept.
func (s *Server) identity(session string, p access.Person, credential string) identity {
	if s.reviewer == nil {
		credential = ""
	}
	return identity{session, p, credential}
}

// authenticate asks whose a credential is.
func (c *conn) authenticate(ctx context.Context, credential string) (access.Person, error) {
	return c.server.access.Authenticate(ctx, access.Request{
		Reason: access.Connect, Credential: credential, Address: c.remote, Header: c.header,
	})
}

// asks is the question why about the peer and a room.
func (c *conn) asks(why access.Reason, room string) access.Request {
	return c.asksAs(c.who(), why, room)
}

func (c *conn) asksAs(is identity, why access.Reason, room string) access.Request {
	return access.Request{
		Reason: why, Person: is.person, Room: room, Session: is.session,
		Credential: is.credential, Address: c.remote, Header: c.header,
	}
}
