package rooms

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

// TestLogIsTheEndOfAllThatWasAppended holds the ring against a plain list of all
// entries, over a long run of appends and of time passing.
func TestLogIsTheEndOfAllThatWasAppended(t *testing.T) {
	for _, limits := range []log{
		{maxLength: 50, maxBytes: 1 << 30, maxAge: time.Hour},
		{maxLength: 1000, maxBytes: 9 * overhead, maxAge: time.Hour},
		{maxLength: 1000, maxBytes: 1 << 30, maxAge: 20 * time.Second},
		{maxLength: 1, maxBytes: 1 << 30, maxAge: time.Hour},
		{maxLength: -1, maxBytes: 1 << 30, maxAge: time.Hour},
		{maxLength: 1000, maxBytes: -1, maxAge: time.Hour},
		{maxLength: 1000, maxBytes: 1 << 30, maxAge: -1},
	} {
		l := limits
		random := rand.New(rand.NewPCG(1, 2))
		now := time.Unix(0, 0)
		var all []*record
		for i := range 2000 {
			if random.IntN(200) == 0 {
				now = now.Add(30 * time.Second) // longer than one of the ages
			}
			// Slow and fast by turns, so that the ring grows from any place in it.
			now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond >> (i / 100 % 5))
			all = append(all, l.append(Entry{At: now, Data: make(json.RawMessage, random.IntN(overhead))}))

			kept := wantKept(&limits, all, now)
			first := uint64(len(all) - kept)
			if !l.holds(first) || (first > 0 && l.holds(first-1)) || !l.holds(l.last) || l.holds(l.last+1) {
				t.Fatalf("%+v: after %d entries it holds %d, want %d", limits, len(all), l.kept, kept)
			}
			next := int(first)
			for rec := range l.after(first) {
				if rec != all[next] || rec.Cursor.N != uint64(next+1) {
					t.Fatalf("%+v: in the place of entry %d there is %d", limits, next+1, rec.Cursor.N)
				}
				next++
			}
			if next != len(all) {
				t.Fatalf("%+v: it yields %d of %d entries", limits, next-int(first), kept)
			}
		}
	}
}

// wantKept counts the newest of all that are within the limits.
func wantKept(limits *log, all []*record, now time.Time) (kept int) {
	weight := 0
	for i := len(all) - 1; i >= 0; i-- {
		weight += overhead + len(all[i].Data)
		if kept == max(0, limits.maxLength) || weight > limits.maxBytes || now.Sub(all[i].At) >= limits.maxAge {
			break
		}
		kept++
	}
	return kept
}
