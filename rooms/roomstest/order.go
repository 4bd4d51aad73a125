package roomstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/roompass/roompass/rooms"
)

const (
	signalers = 8
	each      = 40 // signals
)

// talkers joins members "s0", "s1", ….
func talkers(t *testing.T, h *house) []*client {
	t.Helper()
	var all []*client
	for i := range signalers {
		all = append(all, h.join(t, fmt.Sprint("s", i)))
	}
	return all
}

// talk has each of all say 0, 1, … at the same time, and returns when all is said.
func talk(t *testing.T, all []*client) {
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for n := range each {
				if err := c.Signal(t.Context(), "", json.RawMessage(strconv.Itoa(n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func sameOrder(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	all := talkers(t, h)
	talk(t, all)
	last := h.join(t, "last")
	h.fence(t, last, append(all, a, b)...)

	seen := b.got()
	for i, e := range seen {
		if want := b.joined.Cursor.N + 1 + uint64(i); e.Cursor.N != want || e.Cursor.Epoch != b.joined.Cursor.Epoch {
			t.Fatalf("entry %d has the cursor %v, want number %d of epoch %q", i, e.Cursor, want, b.joined.Cursor.Epoch)
		}
		if e.Room != lobby {
			t.Fatalf("entry of room %q, want %q", e.Room, lobby)
		}
	}
	wantLines(t, "a, which saw b join and then all that b saw", a.lines(), append([]string{"joined b"}, b.lines()...)...)
	for _, c := range all {
		var want []string
		for _, e := range seen {
			if e.Cursor.N > c.joined.Cursor.N && e.IsFor(c.member.ID) {
				want = append(want, line(e))
			}
		}
		wantLines(t, c.member.ID, c.lines(), want...)
	}
}

func exactlyOnce(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	talk(t, talkers(t, h))
	h.fence(t, h.join(t, "last"), a)
	eachOnceInTurn(t, a.got())
}

// eachOnceInTurn checks that entries has all that was said by talk, and each
// talker's words in the order in which it said them.
func eachOnceInTurn(t *testing.T, entries []*rooms.Entry) {
	t.Helper()
	said := map[string][]string{}
	for i, e := range entries {
		if i > 0 && e.Cursor.N <= entries[i-1].Cursor.N {
			t.Fatalf("%v came after %v", e.Cursor, entries[i-1].Cursor)
		}
		if e.Kind == rooms.KindSignal {
			said[e.From] = append(said[e.From], string(e.Data))
		}
	}
	var want []string
	for n := range each {
		want = append(want, strconv.Itoa(n))
	}
	for i := range signalers {
		from := fmt.Sprint("s", i)
		wantLines(t, "said by "+from, said[from], want...)
	}
}

// exactlyOnceOverSockets resumes a listener again and again while others talk:
// now after its socket dropped, now from under a live one.
func exactlyOnceOverSockets(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	c := h.join(t, "a")
	cursor := c.joined.Cursor
	all := talkers(t, h)
	done := make(chan struct{})
	go func() {
		defer close(done)
		talk(t, all)
	}()
	defer func() { <-done }()

	var seen []*rooms.Entry
	see := func(entries []*rooms.Entry) {
		seen = append(seen, entries...)
		if len(seen) > 0 {
			cursor = seen[len(seen)-1].Cursor
		}
	}
	for talking, turn := true, 0; talking; turn++ {
		select {
		case <-done:
			talking = false
		default:
		}
		if turn%2 == 0 {
			must(t, c.Suspend(t.Context()))
		}
		see(c.got()) // a live follower may get more: that is replayed
		next, resumption := h.resume(t, c, cursor)
		if resumption.Gap {
			t.Fatalf("a gap after %v", cursor)
		}
		see(resumption.Missed)
		c = next
	}
	last := h.join(t, "last")
	h.fence(t, last, c)
	see(c.got())
	eachOnceInTurn(t, seen)
}

func roomsAreApart(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	there, err := h.tryJoin(t.Context(), "cellar", member("a"))
	must(t, err)
	b, err := h.tryJoin(t.Context(), "cellar", member("b"))
	must(t, err)
	say(t, b, "", `1`)
	there.awaitLine(t, "signal b> 1")
	wantError(t, "a signal to a member of another room", a.Signal(t.Context(), "b", nil), rooms.ErrNoRecipient)

	c := h.join(t, "c")
	wantLines(t, "in the lobby", h.fence(t, c, a)[0], "joined c")
	if there.joined.Cursor.Epoch == a.joined.Cursor.Epoch {
		t.Errorf("two rooms share the epoch %q", a.joined.Cursor.Epoch)
	}
}

func preparedOnce(t *testing.T, open Open) {
	var mu sync.Mutex
	calls := map[uint64]int{}
	h := start(t, open, rooms.Config{Prepare: func(e *rooms.Entry) any {
		mu.Lock()
		defer mu.Unlock()
		calls[e.Cursor.N]++
		return line(e)
	}})
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, b.Suspend(t.Context()))
	c := h.join(t, "c")
	say(t, c, "", `1`)
	say(t, c, "b", `2`)
	h.fence(t, c, a)
	_, resumption := h.resume(t, b, b.joined.Cursor)

	for _, e := range slices.Concat(a.got(), resumption.Missed) {
		if e.Prepared != line(e) {
			t.Errorf("entry %q is prepared as %v", line(e), e.Prepared)
		}
	}
	if n := len(resumption.Missed); n != 4 {
		t.Errorf("b missed %d entries, want 4", n)
	}
	mu.Lock()
	defer mu.Unlock()
	for n, count := range calls {
		if count != 1 {
			t.Errorf("entry %d was prepared %d times", n, count)
		}
	}
}
