// Package access says who may enter: it turns a credential into a person, and
// a person's wish to be in a room into the grant that their token will carry.
//
// It knows of tokens, and of nothing else of ours.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"
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

// DenialReason is why err denies, or "" where it doesn't say.
func DenialReason(err error) string {
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

// A Reason is why a [Control] is asked.
type Reason string

// The reasons.
const (
	Connect Reason = "connect" // somebody shows a credential: who is it?
	Join    Reason = "join"    // may they be in the room?
	Resume  Reason = "resume"  // they come back to it on a new socket: may they still?
	Refresh Reason = "refresh" // they are in it, and their next token is due soon: may they still?
	Token   Reason = "token"   // they want a token and have no socket
)

// A Request is what a [Control] is asked.
type Request struct {
	Reason Reason

	Person  Person // who they were found to be; zero with [Connect]
	Room    string // "" with [Connect]
	Session string // the gateway's name for their session; "" where there is none yet

	Credential string      // as they showed it; "" is none at all, as with a resume secret alone
	Address    string      // theirs, without a port
	Header     http.Header // of their socket's upgrade, as far as [Reviewer.Headers] has it kept
}

// LogValue implements [slog.LogValuer]: neither the credential nor a header gets into a log.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("reason", string(r.Reason)), slog.String("room", r.Room),
		slog.String("user", r.Person.User), slog.String("session", r.Session),
	)
}

// An Admission is what a person may do in a room.
type Admission struct {
	Grant tokens.Grant
	Data  json.RawMessage // what others see of them where a join says nothing; nil: as in Person
}

// A Control decides. Its methods may be called concurrently; they return
// [ErrDenied], wrapped, for a no, and any other error where they can't tell.
// Nothing of the credential is in an error's text.
type Control interface {
	// Authenticate says whose credential this is.
	Authenticate(context.Context, Request) (Person, error)

	// Admit says what the person may do in the room.
	Admit(context.Context, Request) (Admission, error)
}

// A Reviewer is a [Control] whose answers may change from one token to the next:
// it is asked again before each of them.
type Reviewer interface {
	Control

	// MaxStale is how long the last answer holds while there is no newer one.
	MaxStale() time.Duration

	// Answered is when it last had an answer about anybody, yes or no. Until the
	// first it is when it began to ask.
	Answered() time.Time

	// Headers are the canonical names of the upgrade's headers that it wants to
	// see again each time.
	Headers() []string
}

// LongestUser is the longest user id, in bytes.
const LongestUser = 256

// checkUser says what keeps text from being a user id; "" is nothing.
func checkUser(text string) (wrong string) {
	if len(text) > LongestUser {
		return "is longer than " + strconv.Itoa(LongestUser) + " bytes"
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
