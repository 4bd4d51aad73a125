package roomstest

import (
	"context"
	"testing"

	"github.com/roompass/roompass/rooms"
)

func doneContext(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	before := h.now(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for call, err := range everyCall(ctx, h, a) {
		if err != context.Canceled {
			t.Errorf("%s: error %v, want exactly %v", call, err, context.Canceled)
		}
	}
	after := h.now(t)
	wantLines(t, "the room", ids(after), ids(before)...)
	if after.Cursor != before.Cursor {
		t.Errorf("the log went on from %v to %v", before.Cursor, after.Cursor)
	}
	wantLines(t, "a still follows", h.fence(t, b, a)[0], "joined b")
}

func afterClose(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a := h.join(t, "a")
	must(t, h.Close())
	for call, err := range everyCall(t.Context(), h, a) {
		wantError(t, call, err, rooms.ErrClosed)
	}
	must(t, h.Close()) // again
	wantLines(t, "to close isn't to leave", a.lines())
}

// everyCall calls every method but Close, and yields its name and error.
func everyCall(ctx context.Context, h *house, c *client) func(func(string, error) bool) {
	calls := []struct {
		name string
		call func() error
	}{
		{"Join", func() error { _, _, err := h.Join(ctx, lobby, member("new"), newFollower()); return err }},
		{"Join of a new room", func() error { _, _, err := h.Join(ctx, "new", member("new"), newFollower()); return err }},
		{"Resume", func() error {
			_, _, err := h.Resume(ctx, lobby, c.member, rooms.Cursor{}, newFollower())
			return err
		}},
		{"Snapshot", func() error { _, err := h.Snapshot(ctx, lobby); return err }},
		{"List", func() error { _, err := h.List(ctx); return err }},
		{"Remove", func() error { return h.Remove(ctx, lobby, c.member.ID, rooms.ReasonKicked) }},
		{"Signal", func() error { return c.Signal(ctx, "", nil) }},
		{"Update", func() error { return c.Update(ctx, nil) }},
		{"SetRights", func() error { return c.SetRights(ctx, "another") }},
		{"Leave", func() error { return c.Leave(ctx) }},
		{"Suspend", func() error { return c.Suspend(ctx) }},
	}
	return func(yield func(string, error) bool) {
		for _, c := range calls {
			if !yield(c.name, c.call()) {
				return
			}
		}
	}
}

func noRoom(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	look := func(when string) {
		t.Helper()
		_, err := h.Snapshot(t.Context(), lobby)
		wantError(t, "Snapshot "+when, err, rooms.ErrNoRoom)
		_, _, err = h.Resume(t.Context(), lobby, member("a"), rooms.Cursor{}, newFollower())
		wantError(t, "Resume "+when, err, rooms.ErrNoMember)
		wantError(t, "Remove "+when, h.Remove(t.Context(), lobby, "a", rooms.ReasonKicked), rooms.ErrNoMember)
	}
	look("before anybody came")
	a := h.join(t, "a")
	must(t, a.Leave(t.Context()))
	look("after everybody went")
}
