package rooms

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// room is one room in memory. Its methods want its lock to be held; what they
// deliver is delivered under it, so that all followers see the log's order.
type room struct {
	store *Memory
	name  string
	epoch string

	mu         sync.Mutex
	log        log
	byID       map[string]*member
	order      []*member // of joining, and so by joinedN
	emptySince time.Time // when the last member left
	gone       bool      // dropped: whoever finds it must look for the room anew
}

// member is somebody in a room, and who is told on its behalf.
type member struct {
	Member
	joinedN  uint64      // the number of its own Joined entry
	owner    *membership // the newest one; all others were taken over
	follower Follower    // nil while it lingers
}

func newRoom(s *Memory, name, epoch string) *room {
	c := s.config
	return &room{
		store: s,
		name:  name,
		epoch: epoch,
		log:   log{maxLength: c.LogLength, maxBytes: c.LogBytes, maxAge: c.LogAge},
		byID:  make(map[string]*member),
	}
}

// expired reports whether nobody has been in the room for as long as its log is
// kept. A room that waits for its first member isn't.
func (r *room) expired(now time.Time) bool {
	return len(r.byID) == 0 && r.log.last > 0 && now.Sub(r.emptySince) >= r.store.config.LogAge
}

// join adds m and tells the others.
func (r *room) join(m Member, f Follower) *membership {
	rec := r.publish(Entry{Kind: KindJoined, Member: m}, nil)
	joined := &member{Member: m, joinedN: rec.Cursor.N, follower: f}
	joined.owner = &membership{room: r, member: joined}
	r.byID[m.ID] = joined
	r.order = append(r.order, joined)
	return joined.owner
}

// takeOver gives m to a new owner and follower.
func (r *room) takeOver(m *member, f Follower) *membership {
	m.owner.ended = ErrTakenOver
	if m.follower != nil {
		m.follower.Detached(ErrTakenOver)
	}
	m.follower = f
	m.owner = &membership{room: r, member: m}
	return m.owner
}

// leave takes m out of the room of its own doing: the others are told.
func (r *room) leave(m *member, why Reason) {
	r.drop(m)
	r.publish(left(m, why), nil)
}

// remove takes m out of the room by another's doing: m is told too, and last.
func (r *room) remove(m *member, why Reason) {
	r.publish(left(m, why), nil)
	r.drop(m)
}

func left(m *member, why Reason) Entry {
	return Entry{Kind: KindLeft, Member: Member{ID: m.ID, User: m.User}, Reason: why}
}

func (r *room) drop(m *member) {
	m.owner.ended = ErrNoMember
	delete(r.byID, m.ID)
	if i, found := slices.BinarySearchFunc(r.order, m.joinedN, byJoining); found {
		r.order = slices.Delete(r.order, i, i+1)
	}
	if len(r.byID) == 0 {
		r.emptySince = r.store.config.TimeNow()
	}
}

func byJoining(m *member, n uint64) int { return cmp.Compare(m.joinedN, n) }

// signal appends a signal from a member, or from nobody's where from is nil.
func (r *room) signal(from *member, to string, data json.RawMessage) error {
	e := Entry{Kind: KindSignal, To: to, Data: copyOf(data)}
	if from != nil {
		e.From = from.ID
	}
	if to == "" {
		r.publish(e, from)
		return nil
	}
	recipient := r.byID[to]
	if recipient == nil {
		return ErrNoRecipient
	}
	rec := r.append(e)
	if recipient != from && recipient.follower != nil {
		recipient.follower.Deliver(r.prepare(rec))
	}
	return nil
}

// publish appends e and delivers it to all who follow, but for the one whose
// doing it is. What it costs for each of them is the call.
func (r *room) publish(e Entry, cause *member) *record {
	rec := r.append(e)
	for _, m := range r.order {
		if m != cause && m.follower != nil {
			m.follower.Deliver(r.prepare(rec))
		}
	}
	return rec
}

func (r *room) append(e Entry) *record {
	e.Room = r.name
	e.Cursor.Epoch = r.epoch
	e.At = r.store.config.TimeNow()
	return r.log.append(e)
}

// prepare has an entry prepared if it wasn't yet. Nobody has seen it before, so
// nobody sees it change.
func (r *room) prepare(rec *record) *Entry {
	if !rec.prepared {
		rec.prepared = true
		if r.store.config.Prepare != nil {
			rec.Prepared = r.store.config.Prepare(&rec.Entry)
		}
	}
	return &rec.Entry
}

// missed returns what m would have got since a cursor; false: that can't be told.
func (r *room) missed(m *member, since Cursor) ([]*Entry, bool) {
	r.log.trim(r.store.config.TimeNow())
	// What came before m joined wasn't for it, even where another member had
	// the same id then and signals to that id are in the log.
	if since.Epoch != r.epoch || since.N < m.joinedN || !r.log.holds(since.N) {
		return nil, false
	}
	var missed []*Entry
	for rec := range r.log.after(since.N) {
		if rec.IsFor(m.ID) {
			missed = append(missed, r.prepare(rec))
		}
	}
	return missed, true
}

func (r *room) snapshot() Snapshot {
	members := make([]Member, len(r.order))
	for i, m := range r.order {
		members[i] = m.Member
	}
	return Snapshot{Room: r.name, Members: members, Cursor: Cursor{Epoch: r.epoch, N: r.log.last}}
}

// copyOf returns data in memory of its own; nil where it is empty.
func copyOf(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return nil
	}
	return bytes.Clone(data)
}
