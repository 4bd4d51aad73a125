package rooms

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"sync"
)

// view is a room as this process knows it: what the log's entries add up to, the
// newest of them, and who follows here. Its methods want its lock to be held;
// what they deliver is delivered under it, so that all followers see one order.
type view struct {
	name    string
	prepare func(*Entry) any // Config.Prepare; may be nil

	mu    sync.Mutex
	epoch string
	log   log
	byID  map[string]*member
	order []*member // of joining
}

// member is somebody in a room, and who is told on its behalf.
type member struct {
	Member
	joinedN  uint64   // the number of its own Joined entry
	owner    owner    // the newest one here; all others were taken over. nil: it is another pod's
	follower Follower // nil while it lingers, or is another pod's
	claim    claim    // over Redis: whose it is, in all of the cluster
	forkedIn string   // over Redis: the fork in which it joined
	forkedN  uint64   // and how many entries that had then
	sawFork  string   // over Redis: the fork of another pod, or of before, that its client has seen
	sawN     uint64   // as far as that entry
}

// saw reports whether a member's client was told of an entry before it came here.
func (m *member) saw(rec *record) bool {
	return rec.fork != "" && rec.fork == m.sawFork && rec.forkN <= m.sawN
}

// An owner is a membership that has to be told when it is over.
type owner interface{ end(why error) }

func newView(name string, c Config) view {
	return view{
		name:    name,
		prepare: c.Prepare,
		log:     log{maxLength: c.LogLength, maxBytes: c.LogBytes, maxAge: c.LogAge},
		byID:    make(map[string]*member),
	}
}

// add puts m in the room.
func (v *view) add(m *member) {
	v.byID[m.ID] = m
	v.order = append(v.order, m)
}

// drop takes m out of the room, and ends its membership.
func (v *view) drop(m *member) {
	if m.owner != nil {
		m.owner.end(ErrNoMember)
	}
	delete(v.byID, m.ID)
	if i := slices.Index(v.order, m); i >= 0 {
		v.order = slices.Delete(v.order, i, i+1)
	}
}

// handOver gives m to a new owner and follower, which are nil where another pod
// has them.
func (v *view) handOver(m *member, to owner, f Follower) {
	if m.owner != nil {
		m.owner.end(ErrTakenOver)
	}
	if m.follower != nil {
		m.follower.Detached(ErrTakenOver)
	}
	m.owner, m.follower = to, f
}

// deliver hands an entry to all who follow and whom it is for, but for the one
// whose doing it is. What it costs for each of them is the call.
func (v *view) deliver(rec *record, cause *member) {
	if rec.To != "" {
		if m := v.byID[rec.To]; m != nil && m != cause && m.follower != nil && !m.saw(rec) {
			m.follower.Deliver(v.ready(rec))
		}
		return
	}
	for _, m := range v.order {
		if m != cause && m.follower != nil && !m.saw(rec) {
			m.follower.Deliver(v.ready(rec))
		}
	}
}

// ready has an entry prepared if it wasn't yet. Nobody has seen it before, so
// nobody sees it change.
func (v *view) ready(rec *record) *Entry {
	if !rec.prepared {
		rec.prepared = true
		if v.prepare != nil {
			rec.Prepared = v.prepare(&rec.Entry)
		}
	}
	return &rec.Entry
}

func (v *view) cursor() Cursor { return Cursor{Epoch: v.epoch, N: v.log.last} }

func (v *view) snapshot() Snapshot {
	members := make([]Member, len(v.order))
	for i, m := range v.order {
		members[i] = m.Member
	}
	return Snapshot{Room: v.name, Members: members, Cursor: v.cursor()}
}

func byJoining(a, b *member) int { return cmp.Compare(a.joinedN, b.joinedN) }

// left is the entry that tells of m's leaving.
func left(m *member, why Reason) Entry {
	return Entry{Kind: KindLeft, Member: Member{ID: m.ID, User: m.User}, Reason: why}
}

// copyOf returns data in memory of its own; nil where it is empty.
func copyOf(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return nil
	}
	return bytes.Clone(data)
}
