package rooms

import (
	"iter"
	"time"
)

// record is an entry as the log keeps it.
type record struct {
	Entry
	size     int  // bytes, as LogBytes counts them
	prepared bool // Config.Prepare has seen it

	origin
}

// origin is, over Redis, who did what an entry tells, and where it was told first; see change.
type origin struct {
	owner string
	seq   uint64
	fork  string
	forkN uint64
	whole bool // the fork's entries up to that number are all in the log
}

// overhead is what a record weighs in LogBytes beside its data, so that entries
// without any are counted too. It is about what one takes in memory.
const overhead = 384 // bytes

func sizeOf(e *Entry) int { return overhead + len(e.Data) + len(e.Member.Data) + len(e.Member.Rights) }

// log is the newest part of a room's entries: numbers are contiguous, so that an
// entry is found by arithmetic. The room's lock guards it.
type log struct {
	maxLength int
	maxBytes  int
	maxAge    time.Duration

	ring  []*record // the kept ones are ring[head], ring[head+1], … around the end
	head  int
	kept  int
	bytes int    // the sum of the kept records' sizes
	last  uint64 // the number of the newest entry, kept or not; 0: there was none
}

// append gives e the next number and keeps it, at the cost of older ones.
func (l *log) append(e Entry) *record {
	l.last++
	e.Cursor.N = l.last
	rec := &record{Entry: e, size: sizeOf(&e)}
	if l.kept == len(l.ring) {
		l.grow()
	}
	l.ring[(l.head+l.kept)%len(l.ring)] = rec
	l.kept++
	l.bytes += rec.size
	l.trim(e.At)
	return rec
}

// prepend puts entries before those that are kept: the last of them has the number
// before the first of those.
func (l *log) prepend(older []*record, now time.Time) {
	if len(older) == 0 {
		return
	}
	ring := make([]*record, 0, len(older)+l.kept+8)
	for _, rec := range older {
		rec.size = sizeOf(&rec.Entry)
		l.bytes += rec.size
	}
	ring = append(ring, older...)
	for i := range l.kept {
		ring = append(ring, l.ring[(l.head+i)%len(l.ring)])
	}
	l.kept = len(ring)
	l.ring, l.head = ring[:cap(ring)], 0
	l.trim(now)
}

// restart forgets everything: the next entry is the one after number last.
func (l *log) restart(last uint64) {
	l.ring, l.head, l.kept, l.bytes, l.last = nil, 0, 0, 0, last
}

// grow doubles the ring: most rooms never need a thousand places.
func (l *log) grow() {
	ring := make([]*record, max(8, 2*len(l.ring)))
	n := copy(ring, l.ring[l.head:])
	copy(ring[n:], l.ring[:l.head])
	l.ring, l.head = ring, 0
}

// trim drops what is over the limits at now, the oldest first.
func (l *log) trim(now time.Time) {
	for l.kept > 0 {
		oldest := l.ring[l.head]
		if l.kept <= l.maxLength && l.bytes <= l.maxBytes && now.Sub(oldest.At) < l.maxAge {
			return
		}
		l.ring[l.head] = nil
		l.head = (l.head + 1) % len(l.ring)
		l.kept--
		l.bytes -= oldest.size
	}
	if len(l.ring) > 8 {
		l.ring, l.head = nil, 0 // a room that went quiet gives its ring back
	}
}

// holds reports whether all entries after number n are kept.
func (l *log) holds(n uint64) bool {
	return n <= l.last && l.last-n <= uint64(l.kept)
}

// after yields the entries after number n, which the log must hold.
func (l *log) after(n uint64) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for i := l.kept - int(l.last-n); i < l.kept; i++ {
			if !yield(l.ring[(l.head+i)%len(l.ring)]) {
				return
			}
		}
	}
}
