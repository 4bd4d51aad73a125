package rooms

import "errors"

// What can go wrong. The errors that methods return wrap one of these.
var (
	// ErrAlreadyMember: the id is in the room, live or lingering.
	ErrAlreadyMember = errors.New("already a member of the room: resume the membership, or join with another id")
	// ErrRoomFull: the room has as many members as it may.
	ErrRoomFull = errors.New("the room is full: try again when somebody has left")
	// ErrBadMember: a member without an id.
	ErrBadMember = errors.New("a member needs an id: give it one that is unique in its room")
	// ErrNoMember: there is no such member, or there is none any more.
	ErrNoMember = errors.New("not a member of the room: join it")
	// ErrNoRoom: nobody is in the room.
	ErrNoRoom = errors.New("no such room: nobody is in it")
	// ErrNoRecipient: a signal was for somebody who isn't in the room.
	ErrNoRecipient = errors.New("the recipient is not in the room: look at its members")
	// ErrRemoved: the member was put out and may not resume.
	ErrRemoved = errors.New("removed from the room: join it again, if you may")
	// ErrWrongOwner: the membership is another user's or another session's.
	ErrWrongOwner = errors.New("the membership belongs to another session: join with an id of your own")
	// ErrTakenOver: the membership was resumed on another socket.
	ErrTakenOver = errors.New("the membership was resumed on another socket: go on there")
	// ErrGap: what a follower missed can't be told any more.
	ErrGap = errors.New("entries of the room were missed: resume the membership, and take its whole state")
	// ErrPodTaken: another process has the pod's name.
	ErrPodTaken = errors.New("another pod of this name is running: give each its own")
	// ErrBadCursor: not a cursor.
	ErrBadCursor = errors.New("not a cursor: send one back exactly as it came")
	// ErrUnavailable: what keeps the rooms is out of reach. As far as is known nothing was
	// changed; what was on its way there may still be done.
	ErrUnavailable = errors.New("the rooms are out of reach: try again soon")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the rooms are closed: the process is shutting down")
)
