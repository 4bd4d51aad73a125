//go:build soak

package soak

import (
	"fmt"
	"sync"
	"time"
)

// A ledger is what was said in one room, and who heard it. It is the check of docs/protocol.md:
// all hear a room's signals once and in order, and nothing that was acknowledged is missing,
// but where they were told of a gap.
type ledger struct {
	world *world
	room  string

	mu      sync.Mutex // guards what follows, and the ears in it
	said    map[int][]*signal
	checked map[int]int // how many of said were seen to have arrived
	ears    map[int]*ear
	places  map[string]*signal // by cursor: it means the same to all
	counts  struct{ said, acknowledged, heard, expected, excused, again, turned int }
}

// A signal is one that a client has sent.
type signal struct {
	by, n  int
	to     int // to one client; -1: to all
	socket int // which of the sender's
	pod    string
	sent   time.Time
	acked  time.Time // zero: it is not known whether it was accepted
}

func (s *signal) String() string {
	to := "all"
	if s.to >= 0 {
		to = fmt.Sprintf("client %d", s.to)
	}
	return fmt.Sprintf("signal %d of client %d to %s, sent %s by its socket %d on pod %s, acknowledged %s",
		s.n, s.by, to, clock(s.sent), s.socket, s.pod, clock(s.acked))
}

// An ear is what one client has heard without a gap.
type ear struct {
	since time.Time              // it hears all since then; zero: it is out
	apart bool                   // its pod was: what others said in the same outage may be before its joining
	heard map[int]map[int]string // from each sender: the cursor that came with a signal
	last  map[int]*signal        // from each sender
}

func newLedger(w *world, room string) *ledger {
	return &ledger{world: w, room: room, said: map[int][]*signal{}, checked: map[int]int{}, ears: map[int]*ear{}, places: map[string]*signal{}}
}

// begins has a client hear everything from now on: it has joined, or was told of a gap.
func (l *ledger) begins(client int, apart bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ears[client] = &ear{since: time.Now(), apart: apart, heard: map[int]map[int]string{}, last: map[int]*signal{}}
}

// ends has a client hear no more: it is out.
func (l *ledger) ends(client int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ears, client)
}

// says notes a signal before it is sent.
func (l *ledger) says(by, to, socket int, pod string) *signal {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &signal{by: by, n: len(l.said[by]), to: to, socket: socket, pod: pod, sent: time.Now()}
	l.said[by] = append(l.said[by], s)
	l.counts.said++
	return s
}

func (l *ledger) acknowledged(s *signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.acked = time.Now()
	l.counts.acknowledged++
}

// hears notes that a client heard signal n of another, and says what is wrong with that.
func (l *ledger) hears(client, by, n int, cursor string) (wrong string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 || n >= len(l.said[by]) {
		return fmt.Sprintf("heard signal %d of client %d, which never sent it", n, by)
	}
	s := l.said[by][n]
	l.counts.heard++
	e := l.ears[client]
	if e == nil {
		return fmt.Sprintf("heard %v without being in the room", s)
	}
	if s.to >= 0 && s.to != client || by == client {
		return fmt.Sprintf("heard %v, which wasn't for it", s)
	}
	if there := l.places[cursor]; there != nil && there != s {
		return fmt.Sprintf("heard %v at cursor %s, where another client heard %v", s, cursor, there)
	}
	l.places[cursor] = s
	if before := e.heard[by][n]; before != "" {
		return fmt.Sprintf("heard %v twice, at %s and %s, without a gap between", s, before, cursor)
	}
	if e.heard[by] == nil {
		e.heard[by] = map[int]string{}
	}
	e.heard[by][n] = cursor
	last := e.last[by]
	if last != nil && n < last.n {
		// Who changed pods while these were apart has said something in each, and pods
		// write what they have in no order among themselves.
		if s.socket != last.socket && (l.world.apart(s.sent) || l.world.apart(last.sent)) {
			l.counts.turned++
			return ""
		}
		return fmt.Sprintf("heard %v after %v", s, last)
	}
	e.last[by] = s
	return ""
}

// missing returns what hasn't arrived though it was acknowledged, to those who were there all
// the time since it was sent.
func (l *ledger) missing(most int) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for by, said := range l.said {
		for _, s := range said[l.checked[by]:] {
			if s.acked.IsZero() || l.world.wentDown(s) {
				continue
			}
			for client, e := range l.ears {
				if client == by || s.to >= 0 && s.to != client || !e.since.Before(s.sent) || e.heard[by][s.n] != "" {
					continue
				}
				if e.apart && l.world.together(e.since, s.sent) {
					continue
				}
				if len(all) < most {
					all = append(all, fmt.Sprintf("client %d, which hears all in %s since %s, never heard %v", client, l.room, clock(e.since), s))
				}
			}
		}
	}
	return all
}

// settled notes that nothing is missing.
func (l *ledger) settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for by, said := range l.said {
		for _, s := range said[l.checked[by]:] {
			if s.acked.IsZero() {
				continue
			}
			for client, e := range l.ears {
				switch {
				case client == by || s.to >= 0 && s.to != client || !e.since.Before(s.sent):
				case e.heard[by][s.n] != "":
					l.counts.expected++
				default:
					l.counts.excused++
				}
			}
		}
		l.checked[by] = len(said)
	}
	clear(l.places)
}
