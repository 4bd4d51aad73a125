package rooms

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A fork is what happens in a room on this pod while Redis can't be reached. Its
// members go on talking; who is there is put right, and what was signaled is
// appended to the log, as soon as it can be.
//
// The cursors of a fork say where it left the log, "epoch_n_fork", and how many of
// the fork's entries were seen. What is appended later bears the name of the fork
// and its number there, and then comes an entry that says that all is there, so that on
// every pod a client can be told exactly what it hasn't seen.
type fork struct {
	name    string
	n       uint64 // entries so far
	entries []*record
	dropped uint64          // entries that aren't kept any more
	whole   uint64          // entries of which the log says that it has them all
	told    map[step]bool   // signals and changes of its members, which the log has too, or will
	left    map[string]bool // owners whose leaving it told
	queue   []forked
	bytes   int // in the queue
	steps   int // joins, changes and resumptions so far: they are written by reclaiming
}

// step names one thing that an owner did.
type step struct {
	owner string
	seq   uint64
}

// forked is what has to be pushed to the log; see lua/push.lua.
type forked struct {
	kind      byte // S, M (an S that may have come in already), A, L or W
	id, owner string
	seq       uint64
	payload   string
}

func (q *forked) isSignal() bool { return q.kind == 'S' || q.kind == 'M' }

func (f *fork) push(q forked) {
	f.queue = append(f.queue, q)
	f.bytes += len(q.payload)
}

// unpushed reports whether the log doesn't say yet that it has the whole fork.
func (f *fork) unpushed() bool { return len(f.queue) > 0 || f.whole < f.n }

// maxForked is how many bytes of signals wait for Redis, in one room. What is beyond
// is refused.
const maxForked = 4 << 20

// forkNow begins a fork if there is none. The view's lock is held.
func (r *replica) forkNow() *fork {
	if r.fork == nil {
		r.fork = &fork{name: rand.Text()[:5], told: map[step]bool{}, left: map[string]bool{}}
		r.mend()
		for _, position := range slices.Sorted(maps.Keys(r.ahead)) {
			c := r.ahead[position]
			r.tellApart(&c)
		}
		r.releaseAll()
	}
	return r.fork
}

// tellApart tells those on this pod of what a member of this pod did, which the log has, but
// after something that isn't known here. It comes before what that member does in the fork.
// Whoever has left isn't waited for either.
func (r *replica) tellApart(c *change) {
	id := c.from
	switch c.kind {
	case 'S':
	case 'U', 'G':
		id = c.member.ID
	case 'L':
		r.leftApart(c)
		return
	default:
		return
	}
	m := r.byID[id]
	if m == nil || !r.owns(m) || m.claim.owner != c.owner || c.seq <= m.claim.seq {
		return
	}
	m.claim.seq = c.seq
	f := r.fork
	f.told[step{c.owner, c.seq}] = true
	if c.kind != 'S' {
		m.Member = c.member
	}
	if c.kind == 'G' {
		return // which nobody is told of
	}
	r.tell(c.entry(r.name), m)
	f.push(forked{'A', id, c.owner, c.seq, aliasPayload(c.owner, c.seq, f.name, f.n)})
}

// leftApart takes a member out whom the log has as gone: whoever was told that somebody left or
// was put out may rely on it, however long it takes until the rest of the log is known.
func (r *replica) leftApart(c *change) {
	m := r.byID[c.member.ID]
	if m == nil || r.joinedApart(m) || r.livesOn(c, m) {
		return // it is gone already, or may be here again; that shows when the fork ends
	}
	r.bar(c)
	r.tell(left(m, c.reason), nil)
	r.remove(m)
}

// joinedApart reports whether a member joined in the fork, and what was applied of the log
// doesn't have that yet. What the log says of its id until then is of earlier memberships.
func (r *replica) joinedApart(m *member) bool { return r.fork != nil && m.forkedIn == r.fork.name }

// ofEarlier reports whether a change is of an earlier membership than m's, which joined in the fork:
// it must not end this one.
func (r *replica) ofEarlier(c *change, m *member) bool {
	if m == nil || !r.joinedApart(m) {
		return false
	}
	switch c.kind {
	case 'J', 'T':
		is := c.owner == m.claim.owner
		if h := r.own[m.ID]; is || h != nil && c.owner == h.from {
			m.forkedIn = "" // from here on the log is about this one
		}
		return !is
	case 'L':
		return true
	}
	return false
}

// toldApart reports whether a change was told in the fork.
func (r *replica) toldApart(c *change) bool {
	return r.fork != nil && r.fork.told[step{c.owner, c.seq}]
}

// cursorNow is the place that a follower is at. The view's lock is held.
func (r *replica) cursorNow() Cursor {
	if r.fork == nil {
		return r.cursor()
	}
	return r.forkCursor(r.log.last)
}

// forkCursor says: all up to number n of the log was seen, and all of the fork.
func (r *replica) forkCursor(n uint64) Cursor {
	epoch := r.epoch
	if epoch == "" {
		epoch = "0"
	}
	return Cursor{Epoch: epoch + "_" + strconv.FormatUint(n, 36) + "_" + r.fork.name, N: r.fork.n}
}

// unfork returns the place in the log that a cursor means, and what was seen of which fork.
func unfork(c Cursor) (base Cursor, fork string, n uint64) {
	parts := strings.Split(c.Epoch, "_")
	if len(parts) != 3 {
		return c, "", 0
	}
	at, err := strconv.ParseUint(parts[1], 36, 64)
	if err != nil {
		return c, "", 0
	}
	return Cursor{Epoch: parts[0], N: at}, parts[2], c.N
}

// tell appends an entry to the fork and delivers it. The view's lock is held.
func (r *replica) tell(e Entry, cause *member) {
	f := r.forkNow()
	f.n++
	e.Room, e.Cursor, e.At = r.name, r.forkCursor(r.log.last), r.store.config.TimeNow()
	rec := &record{Entry: e}
	f.entries = append(f.entries, rec)
	if most := max(r.store.config.LogLength, 1); len(f.entries) > 2*most {
		f.dropped += uint64(len(f.entries) - most)
		f.entries = append([]*record(nil), f.entries[len(f.entries)-most:]...)
	}
	r.deliver(rec, cause)
}

// after returns the entries that a member's client hasn't seen, which saw n of the fork of that
// name. false: they aren't all kept, or it can't have seen so little.
func (f *fork) after(name string, n uint64, m *member) ([]*record, bool) {
	if name != f.name {
		n = 0
	}
	if n < f.dropped || n > f.n || m.forkedIn == f.name && n < m.forkedN {
		return nil, false
	}
	return f.entries[n-f.dropped:], true
}

// queueSignal keeps a signal for the log. The view's lock is held; the fork has told it.
func (f *fork) queueSignal(from *member, h *hold, seq uint64, to string, data []byte, sent bool) {
	f.told[step{h.key, seq}] = true
	kind := byte('S')
	if sent {
		kind = 'M'
	}
	f.push(forked{kind, from.ID, h.key, seq, signalPayload(h.key, seq, f.name, f.n, from.ID, to, data)})
}

// settled is the sequence up to which all that m did is in the log, or was there.
func (r *replica) settled(m *member) uint64 {
	if r.fork != nil {
		for _, q := range r.fork.queue {
			if q.isSignal() && q.owner == m.claim.owner {
				return q.seq - 1
			}
		}
	}
	return m.claim.seq
}

// joinHere makes a member without Redis. The view's lock is held.
func (r *replica) joinHere(a *arrival) error {
	f := r.forkNow() // so that whom the log has as gone is
	m := r.byID[a.member.ID]
	switch {
	case m != nil:
		return ErrAlreadyMember
	case r.store.config.MaxMembers > 0 && len(r.byID) >= r.store.config.MaxMembers:
		return ErrRoomFull
	}
	f.steps++
	a.hold.anew = !a.asked
	if !r.loaded {
		a.hold.from = "*" // it may be there, but for the linger of its last socket
	}
	m = &member{Member: a.member, joinedN: r.log.last, claim: claim{owner: a.hold.key, was: "-"}}
	r.tell(Entry{Kind: KindJoined, Member: a.member}, m)
	r.add(m)
	m.forkedIn, m.forkedN = f.name, f.n
	r.arrive(a, m)
	return nil
}

// takeHere takes a member over without Redis: it can't be asked whether another pod has it
// too. Whoever is first there when Redis is back has it.
func (r *replica) takeHere(a *arrival) error {
	m := r.byID[a.member.ID]
	if m != nil {
		r.forkNow()
		m = r.byID[a.member.ID] // the log may have it as gone
	}
	switch {
	case m == nil && r.store.removed.has(place{r.name, a.member.ID}, r.store.config.TimeNow()):
		return ErrRemoved
	case m == nil:
		return ErrNoMember
	case m.User != a.member.User || m.Session != a.member.Session:
		return ErrWrongOwner
	}
	r.forkNow().steps++
	a.hold.from = m.claim.owner
	if before := r.own[m.ID]; before != nil && before.from != "" {
		a.hold.from = before.from
	}
	a.hold.anew = r.own[m.ID] != nil && r.own[m.ID].anew
	m.claim = claim{owner: a.hold.key, was: "-"}
	r.handOver(m, nil, nil)
	r.arrive(a, m)
	return nil
}

// signalHere signals without Redis. sent says that it was sent there and may have
// come in: then it is kept, whatever becomes of it.
func (r *replica) signalHere(h *hold, seq uint64, to string, data json.RawMessage, sent bool) error {
	m := h.member
	if m.claim.owner == h.key && seq <= m.claim.seq {
		return nil // it came in, and was told already
	}
	if to != "" && !sent {
		recipient := r.byID[to]
		if recipient == nil {
			if r.loaded {
				return ErrNoRecipient
			}
			return ErrUnavailable
		}
		if recipient.owner == nil {
			return ErrUnavailable // on another pod
		}
	}
	f := r.forkNow()
	if f.bytes+len(data) > maxForked && !sent {
		return ErrUnavailable
	}
	m.claim.seq = seq
	r.tell(Entry{Kind: KindSignal, From: m.ID, To: to, Data: data}, m)
	f.queueSignal(m, h, seq, to, data, sent)
	return nil
}

// changeHere makes the member of a membership what it is now without Redis.
func (r *replica) changeHere(h *hold, seq uint64, kind byte, is Member) {
	m := h.member
	if m.claim.owner == h.key && seq <= m.claim.seq {
		return // it came in, and was told already
	}
	f := r.forkNow()
	f.steps++
	f.told[step{h.key, seq}] = true
	m.Member = is
	m.claim.seq = seq
	if kind == 'U' {
		r.tell(Entry{Kind: KindUpdated, Member: is}, m)
	}
}

// leaveHere takes a member of this pod out without Redis.
func (r *replica) leaveHere(h *hold, why Reason) {
	m := h.member
	f := r.forkNow()
	if h.ended != nil {
		return // as the log has it
	}
	f.left[h.key] = true
	r.tell(left(m, why), nil)
	for _, owner := range []string{h.key, h.from} { // whichever Redis knows
		if owner != "" {
			f.push(forked{'L', m.ID, owner, 0, string(why)})
		}
	}
	r.remove(m)
}
