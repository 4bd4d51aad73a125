package rooms

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A fork is what happens in a room on this pod while Redis can't be reached. Its
// members go on talking; who is there is put right, and what was signaled is
// appended to the log, as soon as it can be.
//
// The cursors of a fork say where it left the log, "epoch_n_fork", and how many of
// the fork's entries were seen. What is appended later bears the name of the fork
// and its number there, so that on every pod a client can be told exactly what it
// hasn't seen.
type fork struct {
	name    string
	n       uint64 // entries so far
	entries []*record
	dropped uint64 // entries that aren't kept any more
	queue   []forked
	bytes   int // in the queue
	began   time.Time
}

// forked is a signal that the log doesn't have yet.
type forked struct {
	id, owner string
	seq       uint64
	payload   string
	alias     string // says which of the fork's entries it is
}

// maxForked is how many bytes of signals wait for Redis, in one room. What is beyond
// is refused.
const maxForked = 4 << 20

// forkNow begins a fork if there is none. The view's lock is held.
func (r *replica) forkNow() *fork {
	if r.fork == nil {
		r.fork = &fork{name: rand.Text()[:5], began: r.store.config.TimeNow()}
		r.mend()
		r.releaseAll()
	}
	return r.fork
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

// after returns the entries that a client hasn't seen, which saw n of the fork of that
// name. false: they aren't all kept.
func (f *fork) after(name string, n uint64) ([]*record, bool) {
	if name != f.name {
		n = 0
	}
	if n < f.dropped || n > f.n {
		return nil, false
	}
	return f.entries[n-f.dropped:], true
}

// queueSignal keeps a signal for the log. The view's lock is held; the fork has told it.
func (f *fork) queueSignal(from *member, h *hold, seq uint64, to string, data []byte) {
	payload := signalPayload(h.key, seq, f.name, f.n, from.ID, to, data)
	alias := fmt.Sprintf("A %s %d - %s %d", h.key, seq, f.name, f.n)
	f.queue = append(f.queue, forked{from.ID, h.key, seq, payload, alias})
	f.bytes += len(payload)
}

// settled is the sequence up to which all that m did is in the log, or was there.
func (r *replica) settled(m *member) uint64 {
	if r.fork != nil {
		for _, q := range r.fork.queue {
			if q.owner == m.claim.owner {
				return q.seq - 1
			}
		}
	}
	return m.claim.seq
}

// joinHere makes a member without Redis. The view's lock is held.
func (r *replica) joinHere(a *arrival) error {
	m := r.byID[a.member.ID]
	switch {
	case m != nil && m.claim.owner == a.hold.key: // it was applied meanwhile
	case m != nil:
		return ErrAlreadyMember
	case r.store.config.MaxMembers > 0 && len(r.byID) >= r.store.config.MaxMembers:
		return ErrRoomFull
	}
	r.forkNow()
	if !r.loaded {
		a.hold.from = "*" // it may be there, but for the linger of its last socket
	}
	m = &member{Member: a.member, joinedN: r.log.last, claim: claim{owner: a.hold.key, was: "-"}}
	r.tell(Entry{Kind: KindJoined, Member: a.member}, m)
	r.add(m)
	r.arrive(a, m)
	return nil
}

// takeHere takes a member over without Redis: it can't be asked whether another pod has it
// too. Whoever is first there when Redis is back has it.
func (r *replica) takeHere(a *arrival) error {
	m := r.byID[a.member.ID]
	switch {
	case m == nil:
		return ErrNoMember
	case m.User != a.member.User || m.Session != a.member.Session:
		return ErrWrongOwner
	}
	r.forkNow()
	a.hold.from = m.claim.owner
	if before := r.own[m.ID]; before != nil && before.from != "" {
		a.hold.from = before.from
	}
	m.claim = claim{owner: a.hold.key, was: "-"}
	r.handOver(m, nil, nil)
	r.arrive(a, m)
	return nil
}

// signalHere signals without Redis. sent says that it was sent there and may have
// come in: then it is kept, whatever becomes of it.
func (r *replica) signalHere(h *hold, seq uint64, to string, data json.RawMessage, sent bool) error {
	m := h.member
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
	f.queueSignal(m, h, seq, to, data)
	return nil
}

// updateHere updates without Redis.
func (r *replica) updateHere(h *hold, seq uint64, data json.RawMessage) {
	h.member.Data = data
	h.member.claim.seq = seq
	r.tell(Entry{Kind: KindUpdated, Member: h.member.Member}, h.member)
}

// leaveHere takes a member of this pod out without Redis.
func (r *replica) leaveHere(m *member, why Reason) {
	r.tell(left(m, why), nil)
	r.remove(m)
}
