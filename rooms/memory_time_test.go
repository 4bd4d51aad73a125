package rooms_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/roompass/roompass/rooms"
)

// ear is a follower that keeps what it hears.
type ear struct {
	mu      sync.Mutex
	entries []*rooms.Entry
}

func (e *ear) Deliver(entry *rooms.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entries = append(e.entries, entry)
}

func (e *ear) Detached(error) {}

func (e *ear) heard() []*rooms.Entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.entries)
}

func (e *ear) reasons() []rooms.Reason {
	var all []rooms.Reason
	for _, entry := range e.heard() {
		if entry.Kind == rooms.KindLeft {
			all = append(all, entry.Reason)
		}
	}
	return all
}

// inBubble runs f in a synctest bubble, in which time passes at once.
func inBubble(t *testing.T, cfg rooms.Config, f func(t *testing.T, r *rooms.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := rooms.NewMemory(cfg)
		defer r.Close()
		f(t, r)
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func join(t *testing.T, r rooms.Rooms, id string) (rooms.Membership, rooms.Snapshot, *ear) {
	t.Helper()
	e := new(ear)
	m, s, err := r.Join(t.Context(), "lobby", rooms.Member{ID: id}, e)
	must(t, err)
	return m, s, e
}

func resume(t *testing.T, r rooms.Rooms, id string, since rooms.Cursor) (rooms.Membership, rooms.Resumption) {
	t.Helper()
	m, resumption, err := r.Resume(t.Context(), "lobby", rooms.Member{ID: id}, since, new(ear))
	must(t, err)
	return m, resumption
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMemberLingersForFifteenSecondsByDefault(t *testing.T) {
	inBubble(t, rooms.Config{}, func(t *testing.T, r *rooms.Memory) {
		_, _, watcher := join(t, r, "watcher")
		a, _, _ := join(t, r, "a")
		must(t, a.Suspend(t.Context()))
		pass(15*time.Second - time.Nanosecond)
		if got := watcher.reasons(); got != nil {
			t.Fatalf("after a moment less than 15 s: left %v", got)
		}
		pass(time.Nanosecond)
		if got := watcher.reasons(); !slices.Equal(got, []rooms.Reason{rooms.ReasonLost}) {
			t.Fatalf("after 15 s: left %v, want lost", got)
		}
		if at := watcher.heard()[1].At.Sub(watcher.heard()[0].At); at != 15*time.Second {
			t.Errorf("the entry says %v after joining, want 15 s", at)
		}
		pass(time.Hour)
		if got := watcher.reasons(); len(got) != 1 {
			t.Errorf("left %d times", len(got))
		}
	})
}

func TestEachMemberHasItsOwnTimeToComeBack(t *testing.T) {
	inBubble(t, rooms.Config{Linger: 10 * time.Second}, func(t *testing.T, r *rooms.Memory) {
		_, _, watcher := join(t, r, "watcher")
		for _, id := range []string{"a", "b", "c"} {
			m, _, _ := join(t, r, id)
			must(t, m.Suspend(t.Context()))
			pass(4 * time.Second)
		}
		// At 12 s: a was lost at 10 s; b is at 14 s, c at 18 s.
		_, now := resume(t, r, "b", rooms.Cursor{})
		if got := len(now.Members); got != 3 {
			t.Fatalf("%d members after 12 s, want watcher, b and c", got)
		}
		pass(5 * time.Second) // 17 s
		if got := len(watcher.reasons()); got != 1 {
			t.Fatalf("%d left after 17 s, want a alone: b came back", got)
		}
		pass(time.Second) // 18 s
		heard := watcher.heard()
		if got := heard[len(heard)-1]; got.Kind != rooms.KindLeft || got.Member.ID != "c" {
			t.Errorf("after 18 s the last entry is %v %v, want c left", got.Kind, got.Member.ID)
		}
	})
}

func TestDroppingAgainBeginsAnotherTimeToComeBack(t *testing.T) {
	inBubble(t, rooms.Config{Linger: 10 * time.Second}, func(t *testing.T, r *rooms.Memory) {
		_, _, watcher := join(t, r, "watcher")
		a, _, _ := join(t, r, "a")
		must(t, a.Suspend(t.Context()))
		pass(9 * time.Second)
		a, _ = resume(t, r, "a", rooms.Cursor{})
		must(t, a.Suspend(t.Context()))
		pass(9 * time.Second)
		if got := watcher.reasons(); got != nil {
			t.Fatalf("left %v 9 s after the second drop", got)
		}
		pass(time.Second)
		if got := len(watcher.reasons()); got != 1 {
			t.Errorf("left %d times 10 s after the second drop, want once", got)
		}
	})
}

func TestEntriesOlderThanLogAgeAreAGap(t *testing.T) {
	inBubble(t, rooms.Config{LogAge: time.Minute, Linger: time.Hour}, func(t *testing.T, r *rooms.Memory) {
		pass(7 * time.Second) // out of step with the sweep: age must not hang on it
		a, _, _ := join(t, r, "a")
		b, _, _ := join(t, r, "b")
		must(t, a.Signal(t.Context(), "", json.RawMessage(`1`)))
		before, err := r.Snapshot(t.Context(), "lobby")
		must(t, err)
		must(t, b.Suspend(t.Context()))
		must(t, a.Signal(t.Context(), "", json.RawMessage(`2`)))

		pass(time.Minute - time.Nanosecond)
		b, back := resume(t, r, "b", before.Cursor)
		if back.Gap || len(back.Missed) != 1 {
			t.Errorf("within the minute: gap %v, missed %d; want the one", back.Gap, len(back.Missed))
		}
		must(t, b.Suspend(t.Context()))
		pass(time.Nanosecond)
		if _, back := resume(t, r, "b", before.Cursor); !back.Gap {
			t.Error("after the minute: no gap")
		}
		if _, back := resume(t, r, "b", back.Cursor); back.Gap {
			t.Error("after the minute, nothing missed: a gap")
		}
	})
}

func TestLogOutlivesItsRoomByLogAge(t *testing.T) {
	inBubble(t, rooms.Config{LogAge: time.Minute}, func(t *testing.T, r *rooms.Memory) {
		pass(7 * time.Second) // out of step with the sweep
		a, first, _ := join(t, r, "a")
		must(t, a.Leave(t.Context()))
		pass(time.Minute - time.Nanosecond)
		a, second, _ := join(t, r, "a")
		if second.Cursor != (rooms.Cursor{Epoch: first.Cursor.Epoch, N: 3}) {
			t.Errorf("within the minute: %v, want number 3 of the epoch of %v", second.Cursor, first.Cursor)
		}
		must(t, a.Leave(t.Context()))
		pass(time.Minute)
		_, third, _ := join(t, r, "a")
		if third.Cursor.Epoch == first.Cursor.Epoch || third.Cursor.N != 1 {
			t.Errorf("after the minute: %v, want number 1 of another epoch than %v", third.Cursor, first.Cursor)
		}
		pass(time.Hour)
		if now, err := r.Snapshot(t.Context(), "lobby"); err != nil || now.Cursor != third.Cursor {
			t.Errorf("a room with a member in it after an hour: %v, %v; want %v", now.Cursor, err, third.Cursor)
		}
	})
}

func TestRemovedCantResumeForTwelveHoursByDefault(t *testing.T) {
	inBubble(t, rooms.Config{}, func(t *testing.T, r *rooms.Memory) {
		pass(7 * time.Second) // out of step with the sweep
		join(t, r, "a")
		must(t, r.Remove(t.Context(), "lobby", "a", rooms.ReasonKicked))
		back := func() error {
			_, _, err := r.Resume(t.Context(), "lobby", rooms.Member{ID: "a"}, rooms.Cursor{}, new(ear))
			return err
		}
		pass(12*time.Hour - time.Nanosecond)
		if err := back(); !errors.Is(err, rooms.ErrRemoved) {
			t.Errorf("within 12 h: error %v, want %v", err, rooms.ErrRemoved)
		}
		pass(time.Nanosecond)
		if err := back(); !errors.Is(err, rooms.ErrNoMember) {
			t.Errorf("after 12 h: error %v, want %v", err, rooms.ErrNoMember)
		}
	})
}

func TestLogIsCappedByBytes(t *testing.T) {
	r := rooms.NewMemory(rooms.Config{LogBytes: 64 << 10})
	defer r.Close()
	a, _, _ := join(t, r, "a")
	_, since, _ := join(t, r, "b")
	said := json.RawMessage(`"` + strings.Repeat("x", 20<<10) + `"`)
	for range 3 {
		must(t, a.Signal(t.Context(), "", said))
	}
	if _, back := resume(t, r, "b", since.Cursor); back.Gap || len(back.Missed) != 3 {
		t.Errorf("60 KiB said: gap %v, missed %d; want the three", back.Gap, len(back.Missed))
	}
	must(t, a.Signal(t.Context(), "", said))
	if _, back := resume(t, r, "b", since.Cursor); !back.Gap {
		t.Error("80 KiB said, 64 KiB kept: no gap")
	}
}

func TestClockIsTheOneThatIsGiven(t *testing.T) {
	at := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rooms.NewMemory(rooms.Config{TimeNow: func() time.Time { return at }})
	defer r.Close()
	_, _, a := join(t, r, "a")
	_, now, _ := join(t, r, "b")
	if got := a.heard()[0].At; !got.Equal(at) {
		t.Errorf("the entry is of %v, want %v", got, at)
	}
	if got := now.Members[0].JoinedAt; !got.Equal(at) {
		t.Errorf("the member joined at %v, want %v", got, at)
	}
}

func TestMemoryIsAClusterOfOne(t *testing.T) {
	inBubble(t, rooms.Config{}, func(t *testing.T, r *rooms.Memory) {
		began := time.Now()
		pass(time.Hour)
		want := rooms.Pod{Self: true, Since: began}
		for _, status := range []string{"", `{"n": 1}`, "not JSON"} {
			if status != "" {
				r.Report(func() json.RawMessage { return json.RawMessage(status) })
			}
			if want.Status = nil; json.Valid([]byte(status)) {
				want.Status = json.RawMessage(status)
			}
			got, err := r.Pods(t.Context())
			if diff := cmp.Diff([]rooms.Pod{want}, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		}
		must(t, r.Close())
		if _, err := r.Pods(t.Context()); !errors.Is(err, rooms.ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, rooms.ErrClosed)
		}
	})
}
