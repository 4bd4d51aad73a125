package rooms

import (
	"context"
	"encoding/json"
	"time"
)

// Rooms is every room of the cluster, as one pod sees it. All methods are safe
// for concurrent use. A method whose context is done already returns the
// context's error as it is, and has changed nothing.
//
// Data that a caller hands in is copied, so that it may use its buffer again.
// Whatever Rooms hands out is shared with others and must not be changed.
//
// Besides the errors named below, each method may return [ErrClosed] and, where
// a room is kept outside of the process, [ErrUnavailable].
type Rooms interface {
	// Join makes m a member and appends that to the log of room, which it makes
	// if need be. f is called with every later entry that is for m; it may be
	// called before Join has returned. A zero m.JoinedAt is set to now.
	//
	// It returns [ErrAlreadyMember] where m.ID is in the room, lingering
	// included, [ErrRoomFull], and [ErrBadMember] where m.ID is empty.
	Join(ctx context.Context, room string, m Member, f Follower) (Membership, Snapshot, error)

	// Resume takes over the membership of m.ID, which is live on another socket
	// or lingers: the old follower, if there still is one, is Detached with
	// [ErrTakenOver], the entries after since come in the answer, and f is
	// called with those after them. Nothing is lost or comes twice in between,
	// and nobody else sees anything. The member keeps its Data, its Rights and its place.
	//
	// It returns [ErrNoMember] where the member is gone, [ErrRemoved] where it
	// was put out and may not resume, [ErrWrongOwner] where m.User or m.Session
	// isn't what the member joined with, and [ErrTakenOver] where another call
	// resumed it at the same time.
	Resume(ctx context.Context, room string, m Member, since Cursor, f Follower) (Membership, Resumption, error)

	// Snapshot returns a room as it is now, or [ErrNoRoom] where nobody is in it.
	Snapshot(ctx context.Context, room string) (Snapshot, error)

	// List returns the rooms with somebody in them, sorted by name.
	List(ctx context.Context) ([]Summary, error)

	// Remove puts a member out, whether it is live or lingers: everybody in the
	// room gets a Left entry, the member itself as its last delivery. For any
	// reason but [ReasonLeft] and [ReasonLost] it may not resume for a time.
	// It returns [ErrNoMember] where the member isn't there.
	Remove(ctx context.Context, room, member string, r Reason) error

	// Close stops everything. When it has returned no follower is called any
	// more, and all methods return [ErrClosed]. Members don't leave by it.
	Close() error
}

// Announcer is what a [Rooms] may also be: it can signal from outside of a room,
// as an operator does.
type Announcer interface {
	// Announce appends a signal whose From is empty, for one member or, where
	// to is empty, for all of them. It returns [ErrNoRoom] and [ErrNoRecipient].
	Announce(ctx context.Context, room, to string, data json.RawMessage) error
}

// Counter is what a [Rooms] may also be: it counts what this pod has. The sum of the members
// over all pods is the whole; a room counts on each pod that has somebody in it.
type Counter interface {
	// Count returns the members whose membership was given out on this pod, those
	// that linger included, and the rooms that they are in.
	Count() (rooms, members int)
}

// Holder is what a [Rooms] may also be: it tells whom this pod answers for. Over all pods these
// are all members; for a moment one may be on two of them.
type Holder interface {
	// Held calls yield for each member that this pod answers for, live or lingering, until
	// yield returns false. Of those that a pod which died left here to linger only ID and User
	// may be set, and one that went on to another pod may be among them for as long as it would
	// have lingered. yield is called without locks held and may call back into rooms.
	Held(yield func(room string, m Member) bool)
}

// Cluster is what a [Rooms] may also be: it knows the pods that share the rooms.
type Cluster interface {
	// Pods returns the pods that are there, and those that were until a moment ago and whose
	// members aren't looked after yet, each name once, sorted, this one included. Where the
	// others can't be asked it returns this one, and [ErrUnavailable].
	Pods(ctx context.Context) ([]Pod, error)

	// Report has each heartbeat tell the others what status returns: JSON of at most 4 KiB;
	// anything else is left out. It is called once, before anything else. status must not block.
	Report(status func() json.RawMessage)
}

// Pod is one of the processes that share the rooms.
type Pod struct {
	Name   string          // as the operator gave it
	Self   bool            // it is this process
	Since  time.Time       // when its life began, by its own clock
	Heard  time.Duration   // how long ago its last heartbeat was
	Lost   bool            // its lease has run out: it is dead, or cut off
	Status json.RawMessage // what it reported last; nil: nothing
}

// Distant is what a [Rooms] may also be: it is kept outside of the process, and can
// be out of reach.
type Distant interface {
	// Outage is how long what keeps the rooms has been out of reach; 0: it isn't.
	Outage() time.Duration
}

// Membership is one member's hold on its place in a room, as Join or Resume gave
// it to one socket. Its methods are safe for concurrent use.
//
// All of them return [ErrTakenOver] once the member was resumed on another
// socket, and [ErrNoMember] once it has left, was removed or was lost; then they
// have changed nothing. A member that lingers still owns its membership.
type Membership interface {
	// Signal appends a signal for the member to, or where to is empty for every
	// other member. It returns [ErrNoRecipient] where to isn't in the room.
	Signal(ctx context.Context, to string, data json.RawMessage) error

	// Update replaces the member's presence data; nil and empty are null.
	Update(ctx context.Context, data json.RawMessage) error

	// SetRights replaces the member's rights, and keeps its data. Nobody is told: no entry is
	// delivered or replayed, and nothing but the cursor may show it.
	SetRights(ctx context.Context, rights string) error

	// Leave ends the membership with [ReasonLeft]. The follower isn't called
	// any more when it has returned.
	Leave(ctx context.Context) error

	// Suspend says that the socket dropped: the follower isn't called any more
	// when it has returned, and the member lingers until it is resumed or, when
	// Config.Linger has passed, leaves with [ReasonLost]. To suspend twice is to
	// suspend once.
	Suspend(ctx context.Context) error
}

// A Follower is told of a room's entries on behalf of one member. Its methods
// are called one at a time and with the room's lock held: they must neither
// block nor call back into rooms. A slow consumer is theirs to queue for.
type Follower interface {
	// Deliver hands over the next entry for the member: in the log's order,
	// each once. The entry is shared and must not be changed.
	Deliver(*Entry)

	// Detached is the last call that a follower ever gets. err is [ErrTakenOver]
	// where another follower has the membership now, and [ErrGap] where entries
	// were missed that can't be told any more, or nobody knows after an outage which
	// follower is the newest: the member lingers then, and has to resume.
	Detached(err error)
}

// Member is somebody in a room. It is a value that nobody changes: an update
// replaces it.
type Member struct {
	ID       string          // unique in its room
	User     string          // who it is; several members may be the same user
	Data     json.RawMessage // presence data, JSON; nil is null
	JoinedAt time.Time
	Session  string // whose membership it is: needed to resume, not for others' eyes
	Rights   string // what the pods need to know of what it may do; opaque, not for others' eyes
}

// Snapshot is a room at one place of its log.
type Snapshot struct {
	Room     string
	Members  []Member // in the order of joining, those that linger and one's own included
	Cursor   Cursor   // the entry after which the room looked so
	Degraded bool     // only what this pod knows of: the shared view is out of reach
}

// Resumption is what a member that comes back has to know.
type Resumption struct {
	Snapshot          // the room as it is now, Missed included
	Missed   []*Entry // what the member would have got since its cursor, in order

	// Gap says that Missed can't be told and is nil, so that the Snapshot has to
	// replace what the client knew: the cursor is of another epoch, of the
	// future, from before the member joined, or older than what the log keeps.
	Gap bool
}

// Summary is one line of a list of rooms.
type Summary struct {
	Room    string
	Members int // those that linger included
}
