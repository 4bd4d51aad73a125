package roomstest

import (
	"testing"

	"github.com/roompass/roompass/rooms"
)

func replayFromCursor(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	say(t, b, "", `1`)
	say(t, b, "", `2`)
	a.awaitLine(t, "signal b> 2")
	seen := a.got()[1].Cursor // the signal 1
	must(t, a.Suspend(t.Context()))
	say(t, b, "a", `3`)
	must(t, b.Update(t.Context(), []byte(`4`)))
	c := h.join(t, "c")
	must(t, c.Leave(t.Context()))

	a, r := h.resume(t, a, seen)
	if r.Gap {
		t.Error("a gap")
	}
	wantLines(t, "missed", lines(r.Missed), "signal b> 2", "signal b>a 3", "updated b 4", "joined c", "left c left")
	wantLines(t, "the room", ids(r.Snapshot), "a", "b")
	if last := r.Missed[len(r.Missed)-1].Cursor; r.Cursor != last {
		t.Errorf("the cursor is %v, want that of the last entry, %v", r.Cursor, last)
	}

	_, r = h.resume(t, a, r.Cursor)
	if r.Gap || len(r.Missed) != 0 {
		t.Errorf("resumed at the end of the log: gap %v, missed %q", r.Gap, lines(r.Missed))
	}
}

func replayWithoutOwn(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	b := h.join(t, "b")
	say(t, a, "", `1`)
	say(t, a, "a", `2`) // to itself, which nobody gets
	must(t, a.Update(t.Context(), []byte(`3`)))
	must(t, b.Update(t.Context(), []byte(`4`)))
	wantLines(t, "delivered to a", h.fence(t, b, a)[0], "joined b", "updated b 4")
	again, r := h.resume(t, a, a.joined.Cursor)
	wantLines(t, "missed", lines(r.Missed), "joined b", "updated b 4", `signal b> "fence 1"`)
	must(t, again.Leave(t.Context()))
	wantLines(t, "delivered to b", h.fence(t, h.join(t, "c"), b)[0],
		"signal a> 1", "updated a 3", "left a left", "joined c")
}

func replayThenDeliveries(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, a.Suspend(t.Context()))
	say(t, b, "", `1`)
	again, r := h.resume(t, a, b.joined.Cursor)
	say(t, b, "", `2`)
	wantLines(t, "missed", lines(r.Missed), "signal b> 1")
	wantLines(t, "delivered", h.fence(t, b, again)[0], "signal b> 2")
	wantLines(t, "to the old follower", a.lines(), "joined b")
	wantLines(t, "to b, who is told nothing of it", h.fence(t, again, b)[0])
}

func gaps(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	b := h.join(t, "b")
	now := b.joined.Cursor
	for _, since := range []rooms.Cursor{
		{},
		{Epoch: now.Epoch},
		{Epoch: "another", N: now.N},
		{Epoch: now.Epoch, N: now.N + 1},
		{Epoch: now.Epoch, N: 1<<64 - 1},
	} {
		again, r := h.resume(t, a, since)
		if !r.Gap || r.Missed != nil {
			t.Errorf("since %+v: gap %v, missed %q; want a gap", since, r.Gap, lines(r.Missed))
		}
		wantLines(t, "the state instead", ids(r.Snapshot), "a", "b")
		a = again
	}
	say(t, b, "", `1`)
	a.awaitLine(t, "signal b> 1")
}

func gapOfCutLog(t *testing.T, open Open) {
	const kept = 4
	for _, cut := range []struct {
		limit  string
		config rooms.Config
	}{
		{"length", rooms.Config{LogLength: kept}},
		{"nothing kept", rooms.Config{LogLength: -1}},
	} {
		h := start(t, open, cut.config)
		a, b := h.join(t, "a"), h.join(t, "b")
		must(t, a.Suspend(t.Context()))
		for range 10 * kept {
			say(t, b, "", `1`)
		}
		end := h.now(t).Cursor
		a, r := h.resume(t, a, b.joined.Cursor)
		if !r.Gap || r.Missed != nil {
			t.Errorf("%s: gap %v, missed %q; want a gap", cut.limit, r.Gap, lines(r.Missed))
		}
		// An implementation may keep more, so only the end of the log is sure.
		_, r = h.resume(t, a, end)
		if r.Gap {
			t.Errorf("%s: a gap at the end of the log", cut.limit)
		}
	}
}

func gapOfEarlierEpoch(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{LogAge: -1})
	a := h.join(t, "a")
	earlier := a.joined.Cursor
	must(t, a.Leave(t.Context()))
	a = h.join(t, "a")
	if a.joined.Cursor.Epoch == earlier.Epoch {
		t.Fatalf("a room that was dropped came back with its epoch %q", earlier.Epoch)
	}
	_, r := h.resume(t, a, earlier)
	if !r.Gap {
		t.Errorf("missed %q; want a gap", lines(r.Missed))
	}
}

// gapBeforeJoining is there so that nobody who comes by an id gets the signals to
// those who had it before.
func gapBeforeJoining(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	say(t, a, "b", `"between us"`)
	must(t, b.Leave(t.Context()))
	again := h.join(t, "b")
	_, r := h.resume(t, again, b.joined.Cursor)
	if !r.Gap || r.Missed != nil {
		t.Errorf("gap %v, missed %q; want a gap", r.Gap, lines(r.Missed))
	}
}

func rejoinKeepsEpoch(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	must(t, a.Leave(t.Context()))
	again := h.join(t, "a")
	if want := (rooms.Cursor{Epoch: a.joined.Cursor.Epoch, N: 3}); again.joined.Cursor != want {
		t.Errorf("after join, leave and join the cursor is %v, want %v", again.joined.Cursor, want)
	}
}
