package roomstest

import (
	"encoding/json"
	"testing"

	"github.com/roompass/roompass/rooms"
)

func signalToAll(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b, c := h.join(t, "a"), h.join(t, "b"), h.join(t, "c")
	say(t, a, "", `{"sdp":1}`)
	say(t, c, "", ``)
	got := h.fence(t, b, a, c)
	wantLines(t, "a", got[0], "joined b", "joined c", "signal c>")
	wantLines(t, "c", got[1], `signal a> {"sdp":1}`)
	wantLines(t, "b", h.fence(t, a, b)[0], "joined c", `signal a> {"sdp":1}`, "signal c>")
}

func signalToOne(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b, c := h.join(t, "a"), h.join(t, "b"), h.join(t, "c")
	say(t, a, "b", `1`)
	got := h.fence(t, a, b, c)
	wantLines(t, "b", got[0], "joined c", "signal a>b 1")
	wantLines(t, "c", got[1])
	if got, want := c.got()[0].Cursor.N, c.joined.Cursor.N+2; got != want {
		t.Errorf("the number after a signal to another is %d, want %d: it steps for all", got, want)
	}
}

func signalToOneInReplay(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b, c := h.join(t, "a"), h.join(t, "b"), h.join(t, "c")
	must(t, b.Suspend(t.Context()))
	must(t, c.Suspend(t.Context()))
	say(t, a, "b", `1`)
	say(t, a, "", `2`)
	_, forB := h.resume(t, b, c.joined.Cursor)
	_, forC := h.resume(t, c, c.joined.Cursor)
	wantLines(t, "b", lines(forB.Missed), "signal a>b 1", "signal a> 2")
	wantLines(t, "c", lines(forC.Missed), "signal a> 2")
}

func signalToNobody(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, b.Leave(t.Context()))
	before := h.now(t).Cursor
	wantError(t, "a signal to one who left", a.Signal(t.Context(), "b", nil), rooms.ErrNoRecipient)
	if after := h.now(t).Cursor; after != before {
		t.Errorf("it went into the log: %v, was %v", after, before)
	}
	must(t, a.Signal(t.Context(), "", nil)) // alone in the room: nobody hears it
	wantLines(t, "a", a.lines(), "joined b", "left b left")
}

// announcements applies to rooms that are an [rooms.Announcer] too.
func announcements(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	announcer, ok := h.Rooms.(rooms.Announcer)
	if !ok {
		return
	}
	wantError(t, "to an empty room", announcer.Announce(t.Context(), lobby, "", nil), rooms.ErrNoRoom)
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, announcer.Announce(t.Context(), lobby, "", json.RawMessage(`1`)))
	must(t, announcer.Announce(t.Context(), lobby, "b", json.RawMessage(`2`)))
	wantError(t, "to nobody", announcer.Announce(t.Context(), lobby, "c", nil), rooms.ErrNoRecipient)
	c := h.join(t, "c")
	got := h.fence(t, c, a, b)
	wantLines(t, "a", got[0], "joined b", "signal > 1", "joined c")
	wantLines(t, "b", got[1], "signal > 1", "signal >b 2", "joined c")
}
