package gateway

import (
	"sync"
	"time"
)

// recent is the largest of the durations that were seen within the last minute,
// and up to ten seconds before. It may be used concurrently.
type recent struct {
	mu    sync.Mutex
	slots [7]slot
}

// slotLength is the time that one slot is about.
const slotLength = 10 * time.Second

type slot struct {
	number int64 // which, since 1970
	most   time.Duration
}

func (r *recent) see(now time.Time, d time.Duration) {
	number := now.UnixNano() / int64(slotLength)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.slots[number%int64(len(r.slots))]
	if at.number != number {
		*at = slot{number: number}
	}
	at.most = max(at.most, d)
}

func (r *recent) most(now time.Time) (most time.Duration) {
	oldest := now.UnixNano()/int64(slotLength) - int64(len(r.slots)) + 1
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.slots {
		if at.number >= oldest {
			most = max(most, at.most)
		}
	}
	return most
}
