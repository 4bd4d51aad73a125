// Package access says who may enter: it turns a credential into a person, and
// a person's wish to be in a room into the grant that their token will carry.
//
// It knows of tokens, and of nothing else of ours.
package access

import (
	"context"
	"errors"

	"github.com/roompass/roompass/tokens"
)

// ErrDenied says that a credential doesn't hold, or that a person may not be in
// a room.
var ErrDenied = errors.New("not allowed")

// A Person is who somebody was found to be when they came in.
type Person struct {
	User      string // the app's id; "" is an anonymous person
	KickUsers bool   // may remove others from the rooms that they are in
}

// A Control decides. Its methods may be called concurrently; they return
// [ErrDenied], wrapped, for a no, and any other error where they can't tell.
type Control interface {
	// Authenticate says whose credential this is. The empty string is no
	// credential at all. The credential must not reach the error's text.
	Authenticate(ctx context.Context, credential string) (Person, error)

	// Admit says what p may do in room.
	Admit(ctx context.Context, p Person, room string) (tokens.Grant, error)
}
