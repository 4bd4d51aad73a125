package rooms

import (
	"sync"
	"time"
)

// lingering is who is without a socket, and until when. All linger equally long,
// so the queue is in the order of the deadlines, and one timer serves them all.
type lingering struct {
	wake chan struct{} // capacity 1: the queue was empty and isn't any more

	mu    sync.Mutex
	queue []deadline
}

// deadline is when a membership is lost, unless it has ended by then: one that
// was resumed stays in the queue, and is passed over in its turn.
type deadline struct {
	who loser
	at  time.Time
}

// A loser is lost when its time is over, unless it came back before.
type loser interface{ lose() }

// add appends m. It may be called with the room's lock held.
func (l *lingering) add(m loser, at time.Time) {
	l.mu.Lock()
	l.queue = append(l.queue, deadline{m, at})
	first := len(l.queue) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default: // it is going to look anyway
		}
	}
}

// due takes those out whose time has come, and says when the next one's does;
// zero: nobody lingers.
func (l *lingering) due(now time.Time) (lost []loser, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && !l.queue[0].at.After(now) {
		lost = append(lost, l.queue[0].who)
		l.queue[0] = deadline{}
		l.queue = l.queue[1:]
	}
	if len(l.queue) > 0 {
		next = l.queue[0].at
	}
	return lost, next
}

// run loses those who lingered for too long, until stop is closed.
func (l *lingering) run(stop <-chan struct{}, timeNow func() time.Time) {
	const idle = time.Hour
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		lost, next := l.due(timeNow())
		for _, who := range lost {
			who.lose()
		}
		wait := idle
		if !next.IsZero() {
			wait = next.Sub(timeNow())
		}
		timer.Reset(wait)
		select {
		case <-stop:
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}
