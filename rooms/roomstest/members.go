package roomstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

func snapshotInJoinOrder(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	h.join(t, "c")
	a := h.join(t, "a")
	b := h.join(t, "b")
	wantLines(t, "as b joined", ids(b.joined), "c", "a", "b")
	must(t, a.Leave(t.Context()))
	must(t, b.Suspend(t.Context()))
	h.join(t, "a")
	s := h.now(t)
	wantLines(t, "a left and came back, b lingers", ids(s), "c", "b", "a")
	if s.Room != lobby || s.Degraded {
		t.Errorf("snapshot of room %q, degraded %v; want %q, false", s.Room, s.Degraded, lobby)
	}
	if want := (rooms.Cursor{Epoch: b.joined.Cursor.Epoch, N: 5}); s.Cursor != want {
		t.Errorf("the cursor after four joins and a leave is %v, want %v", s.Cursor, want)
	}
}

func updateShows(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	when := time.UnixMilli(1_700_000_000_000).UTC()
	m := member("b")
	m.Data, m.JoinedAt = json.RawMessage(`{"hand":0}`), when
	b, err := h.tryJoin(t.Context(), lobby, m)
	must(t, err)
	c := h.join(t, "c")
	must(t, b.Update(t.Context(), json.RawMessage(`{"hand":1}`)))
	wantLines(t, "what a got", h.fence(t, c, a)[0], `joined b {"hand":0}`, "joined c", `updated b {"hand":1}`)

	m.Data = json.RawMessage(`{"hand":1}`)
	if got := h.now(t).Members[1]; !sameMember(got, m) {
		t.Errorf("in the snapshot: %+v, want %+v", got, m)
	}
	if got := a.got()[2].Member; !sameMember(got, m) {
		t.Errorf("in the entry: %+v, want %+v", got, m)
	}

	must(t, b.Update(t.Context(), nil))
	if got := h.now(t).Members[1].Data; got != nil {
		t.Errorf("data after an update to nothing is %s, want nil", got)
	}
	if got := h.now(t).Members[0].JoinedAt; got.IsZero() {
		t.Error("a has no time of joining")
	}
}

func sameMember(a, b rooms.Member) bool {
	return a.ID == b.ID && a.User == b.User && a.Session == b.Session && a.Rights == b.Rights &&
		a.JoinedAt.Equal(b.JoinedAt) && string(a.Data) == string(b.Data)
}

func idIsUnique(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	_, err := h.tryJoin(t.Context(), lobby, member("a"))
	wantError(t, "join with the id of a live member", err, rooms.ErrAlreadyMember)
	must(t, a.Suspend(t.Context()))
	_, err = h.tryJoin(t.Context(), lobby, member("a"))
	wantError(t, "join with the id of a lingering member", err, rooms.ErrAlreadyMember)
	_, err = h.tryJoin(t.Context(), lobby, rooms.Member{})
	wantError(t, "join without an id", err, rooms.ErrBadMember)
	wantLines(t, "the room", ids(h.now(t)), "a")
}

func fullAtLimit(t *testing.T, open Open) {
	const places, want = 10, 50
	h := start(t, open, rooms.Config{MaxMembers: places})
	var wg sync.WaitGroup
	in := make(chan *client, want)
	for i := range want {
		wg.Go(func() {
			c, err := h.tryJoin(t.Context(), lobby, member(fmt.Sprint(i)))
			switch {
			case err == nil:
				in <- c
			case !errors.Is(err, rooms.ErrRoomFull):
				t.Errorf("join: error %v, want %v", err, rooms.ErrRoomFull)
			}
		})
	}
	wg.Wait()
	if got := len(in); got != places {
		t.Fatalf("%d came in, want %d", got, places)
	}
	c := <-in
	must(t, c.Suspend(t.Context()))
	_, err := h.tryJoin(t.Context(), lobby, member("late"))
	wantError(t, "join while somebody lingers", err, rooms.ErrRoomFull)
	must(t, c.Leave(t.Context()))
	h.join(t, "late")
}

// thousandComeAndGo joins a thousand members at once, of which every other one
// leaves at once, and looks at the room from inside and from outside.
func thousandComeAndGo(t *testing.T, open Open) {
	const all = 1000
	h := start(t, open, rooms.Config{})
	watcher := h.join(t, "watcher")
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			c, err := h.tryJoin(t.Context(), lobby, member(fmt.Sprint(i)))
			if err == nil && i%2 == 0 {
				err = c.Leave(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.fence(t, h.join(t, "last"), watcher)

	want := []string{"watcher", "last"}
	for i := 1; i < all; i += 2 {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	got := ids(h.now(t))
	slices.Sort(got)
	wantLines(t, "the snapshot", got, want...)

	folded := ids(watcher.joined)
	for _, e := range watcher.got() {
		switch e.Kind {
		case rooms.KindJoined:
			folded = append(folded, e.Member.ID)
		case rooms.KindLeft:
			folded = slices.DeleteFunc(folded, func(id string) bool { return id == e.Member.ID })
		}
	}
	wantLines(t, "the fold of the entries, in order", folded, ids(h.now(t))...)
}

func listOfRooms(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	list := func() []string {
		summaries, err := h.List(t.Context())
		must(t, err)
		lines := []string{}
		for _, s := range summaries {
			lines = append(lines, fmt.Sprint(s.Room, " ", s.Members))
		}
		return lines
	}
	wantLines(t, "of no rooms", list())
	a := h.join(t, "a")
	h.join(t, "b")
	c, err := h.tryJoin(t.Context(), "cellar", member("c"))
	must(t, err)
	must(t, a.Suspend(t.Context()))
	wantLines(t, "of two rooms", list(), "cellar 1", "lobby 2")
	must(t, c.Leave(t.Context()))
	wantLines(t, "after the last one left the cellar", list(), "lobby 2")

	for _, room := range []string{"e", "b", "d", "a", "c"} {
		_, err := h.tryJoin(t.Context(), room, member("a"))
		must(t, err)
	}
	wantLines(t, "of six rooms", list(), "a 1", "b 1", "c 1", "d 1", "e 1", "lobby 2")
}

func dataIsCopied(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	buffer := json.RawMessage(`"mine"`)
	reuse := func() { copy(buffer, `"xxxx"`) }

	m := member("b")
	m.Data = buffer
	b, err := h.tryJoin(t.Context(), lobby, m)
	must(t, err)
	reuse()
	copy(buffer, `"sign"`)
	must(t, b.Signal(t.Context(), "", buffer))
	reuse()
	copy(buffer, `"told"`)
	must(t, b.Signal(t.Context(), "a", buffer))
	reuse()
	copy(buffer, `"news"`)
	must(t, b.Update(t.Context(), buffer))
	reuse()
	c := h.join(t, "c")
	wantLines(t, "what a got", h.fence(t, c, a)[0],
		`joined b "mine"`, `signal b> "sign"`, `signal b>a "told"`, `updated b "news"`, "joined c")
	if got := string(h.now(t).Members[1].Data); got != `"news"` {
		t.Errorf("in the snapshot: %s", got)
	}
}
