package rooms

import (
	"encoding/json"
	"time"
)

// Kind says what an [Entry] tells of.
type Kind uint8

// The kinds of entries. The zero Kind is none of them.
const (
	KindJoined Kind = 1 + iota
	KindUpdated
	KindLeft
	KindSignal
)

// String returns "joined", "updated", "left", "signal" or "unknown".
func (k Kind) String() string {
	switch k {
	case KindJoined:
		return "joined"
	case KindUpdated:
		return "updated"
	case KindLeft:
		return "left"
	case KindSignal:
		return "signal"
	}
	return "unknown"
}

// Reason says why somebody isn't in a room any more.
type Reason string

// The reasons for leaving.
const (
	ReasonLeft    Reason = "left"    // of its own will
	ReasonLost    Reason = "lost"    // its socket dropped and it didn't come back
	ReasonKicked  Reason = "kicked"  // put out by a member or an operator
	ReasonRevoked Reason = "revoked" // its right to be there was taken away
)

// bars reports whether who left for r may not resume.
func bars(r Reason) bool { return r != ReasonLeft && r != ReasonLost }

// Entry is one step of a room's log. All followers on a pod share the one
// value, so nobody may change it.
type Entry struct {
	Room   string
	Cursor Cursor // its place in the log: numbers go up by one
	Kind   Kind
	Member Member          // joined, updated: who, as it is now; left: its ID and User alone
	Reason Reason          // left
	From   string          // signal: the sender's member id; empty: an operator
	To     string          // signal: the one recipient's member id; empty: everybody else
	Data   json.RawMessage // signal: what was said
	At     time.Time

	// Prepared is what Config.Prepare made of the entry, once on each pod and
	// before its first delivery there: the frame that all its members are sent.
	Prepared any
}

// IsFor reports whether the member of that id gets the entry: it doesn't get
// what it caused itself, nor a signal to somebody else. Only those get their own
// Left who were in the room until it.
func (e *Entry) IsFor(member string) bool {
	switch e.Kind {
	case KindJoined, KindUpdated:
		return e.Member.ID != member
	case KindSignal:
		return e.From != member && (e.To == "" || e.To == member)
	}
	return true
}
