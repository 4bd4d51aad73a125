package rooms

import (
	"sync"
	"time"
)

// removed is who was put out of which room, and until when that counts. It
// outlives the rooms themselves.
type removed struct {
	mu    sync.Mutex
	until map[place]time.Time
}

// place is a member's in a room, whether it is there or not.
type place struct{ room, member string }

func (r *removed) add(p place, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = make(map[place]time.Time)
	}
	r.until[p] = until
}

func (r *removed) forget(p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, p)
}

func (r *removed) has(p place, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, found := r.until[p]
	return found && now.Before(until)
}

// of returns who was put out of a room, and until when that counts.
func (r *removed) of(room string, now time.Time) map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]time.Time{}
	for p, until := range r.until {
		if p.room == room && now.Before(until) {
			found[p.member] = until
		}
	}
	return found
}

// sweep drops those whose time is over.
func (r *removed) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, until := range r.until {
		if !now.Before(until) {
			delete(r.until, p)
		}
	}
}
