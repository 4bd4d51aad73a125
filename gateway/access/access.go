// Package access says who may enter: it turns a credential into a person, and
// a person's wish to be in a room into the grant that their token will carry.
//
// It knows of tokens, and of nothing else of ours.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/roompass/roompass/tokens"
)

// ErrDenied says that a credential doesn't hold, or that a person may not be in
// a room.
var ErrDenied = errors.New("not allowed")

// A Denial is an [ErrDenied] that says why.
type Denial struct {
	// Reason helps whoever wrote the app. It is shown to whoever showed the
	// credential, and so has nothing in it that the credential says.
	Reason string
}

func (d Denial) Error() string { return ErrDenied.Error() + ": " + d.Reason }

// Unwrap returns [ErrDenied].
func (d Denial) Unwrap() error { return ErrDenied }

// Reason is why err denies, or "" where it doesn't say.
func Reason(err error) string {
	var d Denial
	errors.As(err, &d)
	return d.Reason
}

// A Person is who somebody was found to be when they came in. A resume secret
// carries it from pod to pod as it stands, so it is everything that a Control
// needs to know of them later.
type Person struct {
	User      string          // the app's id; "" is an anonymous person
	KickUsers bool            // may remove others from the rooms that they are in
	Rooms     []string        // that they may be in, where the credential names them
	AnyRoom   bool            // the credential names none, which was taken for all
	JoinHub   bool            // join_hub of their tokens, where the credential says it
	Data      json.RawMessage // what others see of them where a join says nothing; nil is null
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

// longestUser is the longest user id, in bytes.
const longestUser = 256

// checkUser says what keeps text from being a user id; "" is nothing.
func checkUser(text string) (wrong string) {
	if len(text) > longestUser {
		return "is longer than " + strconv.Itoa(longestUser) + " bytes"
	}
	if !utf8.ValidString(text) {
		return "is not UTF-8"
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return "has a control character in it"
		}
	}
	return ""
}
