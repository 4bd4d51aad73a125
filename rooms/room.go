package rooms

import (
	"encoding/json"
	"time"
)

// room is one room in memory. Its methods want its lock to be held.
type room struct {
	view
	store      *Memory
	emptySince time.Time // when the last member left
	gone       bool      // dropped: whoever finds it must look for the room anew
}

func newRoom(s *Memory, name, epoch string) *room {
	r := &room{view: newView(name, s.config), store: s}
	r.epoch = epoch
	return r
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
	hold := &membership{room: r, member: joined}
	joined.owner = hold
	r.add(joined)
	return hold
}

// takeOver gives m to a new owner and follower.
func (r *room) takeOver(m *member, f Follower) *membership {
	hold := &membership{room: r, member: m}
	r.handOver(m, hold, f)
	return hold
}

// leave takes m out of the room of its own doing: the others are told.
func (r *room) leave(m *member, why Reason) {
	r.out(m)
	r.publish(left(m, why), nil)
}

// remove takes m out of the room by another's doing: m is told too, and last.
func (r *room) remove(m *member, why Reason) {
	r.publish(left(m, why), nil)
	r.out(m)
}

func (r *room) out(m *member) {
	r.drop(m)
	if len(r.byID) == 0 {
		r.emptySince = r.store.config.TimeNow()
	}
}

// signal appends a signal from a member, or from nobody's where from is nil.
func (r *room) signal(from *member, to string, data json.RawMessage) error {
	if to != "" && r.byID[to] == nil {
		return ErrNoRecipient
	}
	e := Entry{Kind: KindSignal, To: to, Data: copyOf(data)}
	if from != nil {
		e.From = from.ID
	}
	r.publish(e, from)
	return nil
}

// publish appends e and delivers it to all but the one whose doing it is.
func (r *room) publish(e Entry, cause *member) *record {
	e.Room = r.name
	e.Cursor.Epoch = r.epoch
	e.At = r.store.config.TimeNow()
	rec := r.log.append(e)
	r.deliver(rec, cause)
	return rec
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
			missed = append(missed, r.ready(rec))
		}
	}
	return missed, true
}
