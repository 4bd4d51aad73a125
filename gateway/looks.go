package gateway

import (
	"sync"
	"time"
)

// looks keeps the audit legible while a console is open, which looks at the same
// every few seconds: of what an operator only reads there is a line a minute.
type looks struct {
	mu   sync.Mutex
	last map[look]time.Time // when the line was written
}

type look struct {
	action, room, remote string
	key                  int
}

const (
	looksEvery = time.Minute
	mostLooks  = 1000 // that are remembered; beyond, lines come again
)

// isNew says whether an act, by which nothing was changed, is to have a line.
func (l *looks) isNew(a act, now time.Time) bool {
	k := look{a.Action, a.Room, a.Remote, a.AdminKey}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[k]; ok && now.Sub(last) < looksEvery {
		return false
	}
	if l.last == nil || len(l.last) >= mostLooks {
		l.last = map[look]time.Time{}
	}
	l.last[k] = now
	return true
}
