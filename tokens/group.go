package tokens

import (
	"sync"
	"time"
)

// A group is the memberships with one grant: they share each token. The
// schedule's lock guards all of it but grant and key, which don't change.
type group struct {
	grant Grant
	key   string

	members *Membership // the head of a list
	waiting []*waiter   // for the token that is signed next

	token Token     // the newest that was signed for this grant
	use   time.Time // when the first of what its members hold can't be used any more; zero while they hold nothing
	due   time.Time // when to look after this group next
	look  time.Time // when the dispatcher does: a lead before that, until its members are told
	since time.Time // when the renewal that is under way was due; zero when none is
	asked time.Time // when the first of waiting began to wait

	failures int  // to sign, one after the other
	told     bool // its members know that they are nearly due
	busy     bool // a signer has it
	dropped  bool // its last member left

	place [lanes]int32 // its place in each lane, from 1; 0 is not in it
}

// A waiter is a call that waits for a token: Add, or SetGrant.
type waiter struct {
	member *Membership
	push   bool        // the token goes to push, not to the caller
	done   chan result // room for one, so that no signer waits for a caller who left
}

type result struct {
	token Token
	err   error
}

// A Membership is one grant in the schedule. Its methods may be called
// concurrently, and all but SetGrant from within push.
type Membership struct {
	schedule *Schedule
	push     func(Token)

	// pushing is held while push runs, so that tokens come in the order of the
	// grants that they are for. Never taken with the schedule's lock held.
	pushing sync.Mutex

	// The schedule's lock guards what follows.
	onDue      func() // nil: it doesn't want to know
	group      *group // nil once removed
	prev, next *Membership
	sent       int64 // ns since 1970, when the newest token that it was given expires; 0 for none
	expires    int64 // the same of the last of all that it was given, whichever the grant
	delivered  int64 // the same of the newest that it is proven to hold
	lapsed     bool  // the lapse of that one is counted
}

// link makes m a member of g.
func (g *group) link(m *Membership) {
	m.group, m.prev, m.next = g, nil, g.members
	if g.members != nil {
		g.members.prev = m
	}
	g.members = m
}

// give notes that m is given a token that expires then, in ns since 1970.
func (m *Membership) give(expires int64) {
	m.sent = expires
	m.expires = max(m.expires, expires)
}

// unlink ends m's being a member of its group.
func (m *Membership) unlink() {
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		m.group.members = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	}
	m.group, m.prev, m.next = nil, nil, nil
}

// awaitedBy says whether m waits for the token that is signed next.
func (g *group) awaitedBy(m *Membership) bool {
	for _, w := range g.waiting {
		if w.member == m {
			return true
		}
	}
	return false
}

// leave takes w off those who wait.
func (g *group) leave(w *waiter) {
	for i, other := range g.waiting {
		if other == w {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return
		}
	}
}
