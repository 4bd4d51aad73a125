// Package policy keeps what an operator decided about people and pods, and has it in force on
// every pod until a time: who may not be there any more, whose rights are others than they
// would be, and which pod is to give its clients away.
//
// A decision is a [Rule]. [Rules] is the interface, [Local] the implementation in one
// process's memory, and [Shared] the one that many pods share through Redis. What is promised:
//
//   - A rule counts on the pod where it was set when Set returns, whatever else is out of reach.
//   - Every other pod hears of it within milliseconds, and of one that it missed within
//     five seconds of being able to.
//   - Of two decisions about the same the later one counts, on all pods alike.
//   - A rule isn't lost while a pod lives that knows it, whatever becomes of Redis.
//
// The package knows nothing of sockets, rooms or tokens: what a rule means for those is up to
// who follows.
package policy

import (
	"context"
	"errors"
)

var (
	// ErrUnavailable: what the pods share is out of reach. The rules count on this pod, and
	// the others hear of them when it is back, if this pod lives until then.
	ErrUnavailable = errors.New("the other pods can't be told yet: the rules count on this one")
	// ErrBadRule: one of the rules can't be one, and none was set.
	ErrBadRule = errors.New("not a rule")
)

// Rules are the decisions in force, as one pod knows them. All methods may be called
// concurrently.
type Rules interface {
	// Set has rules count: here when it returns or before, and on the other pods as soon as
	// they hear of it. A rule without Set gets the time. It returns the rules as they stand
	// now, in the same order.
	//
	// An error wraps ErrBadRule, and nothing was changed, or ErrUnavailable; that is also what
	// comes of a ctx that ends early.
	Set(ctx context.Context, rules ...Rule) ([]Rule, error)
	// On says what the rules make of somebody in a room, or with the room "" of their socket.
	// With a user the rules about users count, and with "" those about the one member. It asks
	// nobody, and allocates nothing for whom no rule concerns.
	On(user, member, room string) Verdict
	// List returns the rules in force, the newest first. A revocation or a draining that was
	// lifted isn't one.
	List() []Rule
	// Follow has f called with the rules that are new or changed here, whoever set them, once
	// they count in On: one call at a time, in order, from a goroutine of the Rules' own. What
	// changes while a call runs is one batch for the next, each rule as it stands then. It is
	// called once, before anything is set.
	Follow(f func([]Rule))
	// Close ends what goes on in the background, and waits for a running call of Follow's f:
	// which therefore doesn't call it.
	Close() error
}
