// Package janus is a front of Janus servers: browsers speak janus-protocol with
// it, and it with Janus, in whose rooms they are members like any others. It puts
// the newest token into what the SFU plugin asks one for, so that a client which
// knows nothing of tokens, or one that set a token once, never shows one that has
// run out; and it refuses what the plugin doesn't look at: whose user_id a message
// names, whether two people are in one room, and whose session it is.
//
// It knows nothing of how the rooms are kept: [Rooms] is what it asks of them.
package janus

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Subprotocol is Janus's WebSocket subprotocol, on both legs.
const Subprotocol = "janus-protocol"

// SFU is the plugin whose messages the front reads.
const SFU = "janus.plugin.sfu"

// What [Visitor.Enter] refuses for.
var (
	// ErrAnonymous says that nobody knows who it is: there is no credential, and no token.
	ErrAnonymous = errors.New("nobody knows who it is")
	// ErrToken says that the token isn't one of ours, or has run out and there is
	// no membership to come back to.
	ErrToken = errors.New("the token doesn't hold")
	// ErrNotAllowed says that the person may not be in the room, or not as user_id.
	ErrNotAllowed = errors.New("not allowed")
	// ErrRoomFull says that the room takes nobody more.
	ErrRoomFull = errors.New("the room is full")

	// ErrNobody is what [Place.Kick] returns where nobody has the user_id in the room.
	ErrNobody = errors.New("nobody has that user_id in the room")

	// ErrTooMany is what [Rooms.Visit] refuses for where there are too many of whom nobody
	// knows who they are.
	ErrTooMany = errors.New("too many sockets from this address wait for their join")
)

// Rooms are what the front asks who may be where.
type Rooms interface {
	// Visit begins for the browser that makes a request, which may say who it is. The
	// visitor's end is told to ended, once, and not for [Visitor.End].
	Visit(r *http.Request, ended func(Ending)) (Visitor, error)
}

// An Ending is why the rooms end a visit.
type Ending struct {
	ComeBack bool // at once, on another pod
	PutOut   bool // kicked or revoked, and not taken over by another socket
	Reason   string
}

// A Visitor is whoever a browser's socket belongs to. Its methods are called one
// at a time.
type Visitor interface {
	// Enter has the visitor be in a room, under the user_id that Janus's clients know
	// it by; where it is in already, that is the place. token is what the browser showed; "" is none.
	// The error is one of this package's, or any other where it can't be told.
	Enter(ctx context.Context, room, userID, token string) (Place, error)

	// Admit says whether somebody whom nobody knows by a token may be here, in no room.
	Admit(ctx context.Context) error

	// Leave gives up the visitor's place in a room.
	Leave(room string)

	// In is the visitor's place in a room; nil: it has none.
	In(room string) Place

	// End ends the visit. After a goodbye its members leave, otherwise they linger.
	End(goodbye bool)
}

// A Place is where a visitor is in a room.
type Place interface {
	// Token is one that is signed with a key and holds for the refresh's margin at least,
	// the newest where that does; "" where there is none just now.
	Token(keyID string) string
	// UserID is the user_id that was given to Enter.
	UserID() string
	// MayKick says whether the visitor may put out others there.
	MayKick() bool
	// Has says whether somebody is in the same room under a user_id.
	Has(ctx context.Context, userID string) (bool, error)
	// Kick puts somebody out of the room.
	Kick(ctx context.Context, userID string) error
}

// timeouts of what goes on behind a message.
const (
	dialTimeout  = 5 * time.Second
	enterTimeout = 10 * time.Second
	writeTimeout = 10 * time.Second
)
