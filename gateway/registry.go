package gateway

import (
	"context"
	"sync"
	"time"
)

// A registry holds the pod's connections and keeps their hearts beating: with
// one goroutine for all of them, and nothing for each but its place in a ring.
//
// Each tick pings one slot of the ring, so that every connection is pinged once
// an interval and the pings are spread over it. Then it is also seen whose session
// has ended. Pings that follow tokens are
// sent apart from that. What isn't answered in time is closed: all pings have
// the same timeout, so the oldest is always the first in line.
type registry struct {
	tick, timeout time.Duration

	mu       sync.Mutex // guards what follows
	ring     []map[*conn]struct{}
	next     int // slot of the next connection to come
	beat     int // slot of the next tick
	sessions map[string]*conn
	turns    map[string]chan struct{} // by session: closed when its auth is done
	awaited  []awaited                // oldest first
	looked   time.Time                // for what is overdue
}

// awaited is a ping that wants its pong.
type awaited struct {
	conn *conn
	seq  uint64
	by   time.Time
}

// newRegistry spreads pings over interval.
func newRegistry(interval, timeout time.Duration) *registry {
	tick := max(min(interval/25, timeout/4), 10*time.Millisecond)
	r := &registry{
		tick:     tick,
		timeout:  timeout,
		ring:     make([]map[*conn]struct{}, max(1, int(interval/tick))),
		sessions: map[string]*conn{},
		turns:    map[string]chan struct{}{},
	}
	for i := range r.ring {
		r.ring[i] = map[*conn]struct{}{}
	}
	return r
}

func (r *registry) add(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.slot = r.next
	r.ring[c.slot][c] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}

func (r *registry) remove(c *conn, session string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ring[c.slot], c)
	if r.sessions[session] == c {
		delete(r.sessions, session)
	}
}

// claim makes c the owner of a session, and returns the owner before, if any.
func (r *registry) claim(session string, c *conn) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.sessions[session]
	r.sessions[session] = c
	return before
}

// turn waits until nobody else is coming back to a session here, so that of two who do so at
// once the one that closed the other is also the one that has its places in the end. done
// ends the turn.
func (r *registry) turn(ctx context.Context, session string) (done func(), _ error) {
	for {
		r.mu.Lock()
		before, taken := r.turns[session]
		if !taken {
			mine := make(chan struct{})
			r.turns[session] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				delete(r.turns, session)
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *registry) len() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, slot := range r.ring {
		n += len(slot)
	}
	return n
}

func (r *registry) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*conn
	for _, slot := range r.ring {
		for c := range slot {
			all = append(all, c)
		}
	}
	return all
}

func (r *registry) queuedBytes() (n int) {
	for _, c := range r.all() {
		n += c.out.waiting()
	}
	return n
}

// await notes that c was sent ping seq.
func (r *registry) await(c *conn, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaited = append(r.awaited, awaited{c, seq, time.Now().Add(r.timeout)})
}

// run beats until stop is closed.
func (r *registry) run(stop <-chan struct{}) {
	ticker := time.NewTicker(r.tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			for _, late := range r.overdue(time.Now()) {
				switch {
				case late.conn.hasAnswered(late.seq):
				case late.conn.busy.Load():
					// The pong may have come: it is we who don't read.
					r.await(late.conn, late.seq)
				default:
					late.conn.abort()
				}
			}
			for _, c := range r.due() {
				c.beat()
			}
		}
	}
}

// overdue takes the pings whose time is up. While the process stood still, stopped or on a
// machine that was, no time passed for the peers: their pongs may be waiting to be read.
func (r *registry) overdue(now time.Time) []awaited {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stood := now.Sub(r.looked) - r.tick; !r.looked.IsZero() && stood > r.timeout/4 {
		for i := range r.awaited {
			r.awaited[i].by = r.awaited[i].by.Add(stood)
		}
	}
	r.looked = now
	n := 0
	for n < len(r.awaited) && !r.awaited[n].by.After(now) {
		n++
	}
	late := append([]awaited(nil), r.awaited[:n]...)
	rest := copy(r.awaited, r.awaited[n:])
	clear(r.awaited[rest:])
	r.awaited = r.awaited[:rest]
	return late
}

// due takes the next slot.
func (r *registry) due() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := r.ring[r.beat]
	r.beat = (r.beat + 1) % len(r.ring)
	conns := make([]*conn, 0, len(slot))
	for c := range slot {
		conns = append(conns, c)
	}
	return conns
}
