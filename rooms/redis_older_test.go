package rooms_test

import (
	"slices"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// A log was lost, another one began, and then Redis comes back with a copy from before that: as a
// primary does that was cut off and is promoted again, or a server that reads an old dump. What is in
// there was told already.
func TestOlderLogIsNotToldAgain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL()}, rooms.Config{})
	a, b := w.join(0, "a"), w.join(0, "b")
	c := dial(t, s.URL())
	say := func() {
		t.Helper()
		if err := a.say(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !within(20*time.Second, func() bool { return slices.Contains(b.from("a"), a.next-1) }) {
			t.Fatalf("b heard %v, and not %d", b.from("a"), a.next-1)
		}
	}
	say()
	say()
	old := map[string]string{}
	for _, key := range []string{"head", "members", "holds", "log"} {
		dump, err := c.Dump(t.Context(), "roompass:{hall}:"+key).Result()
		if err != nil {
			t.Fatal(err)
		}
		old[key] = dump
	}
	s.Do("FLUSHALL")
	say()
	s.Do("FLUSHALL")
	for key, dump := range old {
		if err := c.RestoreReplace(t.Context(), "roompass:{hall}:"+key, 0, dump).Err(); err != nil {
			t.Fatal(err)
		}
	}
	say()
	say()
	if got := b.from("a"); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("b heard %v", got)
	}
	if got := ids(t, w.pods[0], hall); !slices.Equal(got, []string{"a", "b"}) || len(b.events()) > 0 || b.detached != nil {
		t.Errorf("there are %v; b was told %q, and %v", got, b.events(), b.detached)
	}
}
