// Package rooms keeps rooms: who is in them, and what they tell each other.
//
// A room is one ordered log. To join, to update one's presence data, to signal
// and to leave each append an [Entry] to it, and who is in the room is what the
// entries add up to. A [Follower] gets its member's entries in the log's order,
// each once, as does everybody else's, so that all see the same room.
//
// A [Cursor] marks a place in the log. A member whose socket drops lingers: it
// stays in the room, nobody sees a flap, and with the newest cursor that it saw
// it resumes on another socket and gets what it missed. Where that isn't known
// any more it is told of the gap, and takes the whole state instead.
//
// What is promised:
//
//   - A member gets every entry that is for it exactly once and in order, over
//     any number of sockets, or is told of a gap.
//   - A member gets nothing that it caused itself, and no signal to another.
//   - A member leaves once, for one [Reason].
//   - One membership has one owner: where two resume it at once, one of them
//     ends up with it, and the other is told.
//
// [Rooms] is the interface, [Memory] the implementation in one process's memory, and [Redis]
// the one that many processes share;
// roomstest holds the checks that every implementation passes. The package knows
// nothing of sockets, tokens, or who may do what.
package rooms
