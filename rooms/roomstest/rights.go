package roomstest

import (
	"encoding/json"
	"testing"

	"github.com/roompass/roompass/rooms"
)

// is returns a member as the lobby has it.
func (h *house) is(t *testing.T, id string) rooms.Member {
	t.Helper()
	return find(t, h.now(t), id)
}

func find(t *testing.T, s rooms.Snapshot, id string) rooms.Member {
	t.Helper()
	for _, m := range s.Members {
		if m.ID == id {
			return m
		}
	}
	t.Fatalf("%s isn't in %q", id, ids(s))
	return rooms.Member{}
}

// rightsStay has rights and data change by turns, over sockets: neither changes the other.
func rightsStay(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	want := member("a")
	want.Rights, want.Data = "may: all % of it", json.RawMessage(`1`)
	a, err := h.tryJoin(t.Context(), lobby, want)
	must(t, err)
	want.JoinedAt = h.is(t, "a").JoinedAt
	wantIs := func(when string) {
		t.Helper()
		if got := h.is(t, "a"); !sameMember(got, want) {
			t.Errorf("%s it is %+v, want %+v", when, got, want)
		}
	}
	wantIs("when it has joined")
	for _, step := range []struct{ rights, data string }{{"some", "2"}, {"", ""}, {"all again", "3"}} {
		want.Rights = step.rights
		must(t, a.SetRights(t.Context(), step.rights))
		wantIs("with other rights")
		want.Data = json.RawMessage(step.data)
		must(t, a.Update(t.Context(), want.Data))
		wantIs("with other data")
		unheeded := a.member
		unheeded.Rights = "those of who comes back aren't asked for"
		f := newFollower()
		again, back, err := h.Resume(t.Context(), lobby, unheeded, a.joined.Cursor, f)
		must(t, err)
		if got := find(t, back.Snapshot, "a"); !sameMember(got, want) {
			t.Errorf("in the resumption it is %+v, want %+v", got, want)
		}
		a = &client{f, again, a.member, a.joined}
	}
}

func rightsUnseen(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b, c := h.join(t, "a"), h.join(t, "b"), h.join(t, "c")
	must(t, b.Suspend(t.Context()))
	must(t, a.SetRights(t.Context(), "r"))
	say(t, a, "", `1`)
	must(t, a.SetRights(t.Context(), "s"))
	wantLines(t, "who follows", h.fence(t, a, c)[0], "signal a> 1")
	must(t, a.SetRights(t.Context(), "t"))
	end := h.now(t).Cursor
	b, r := h.resume(t, b, c.joined.Cursor)
	if r.Gap || r.Cursor != end {
		t.Errorf("resumed at %v, gap %v; the room was at %v", r.Cursor, r.Gap, end)
	}
	wantLines(t, "missed", lines(r.Missed), "signal a> 1", `signal a> "fence 1"`)
	_, r = h.resume(t, b, r.Cursor)
	if r.Gap || len(r.Missed) != 0 {
		t.Errorf("resumed at the end of the log: gap %v, missed %q", r.Gap, lines(r.Missed))
	}
	again, r := h.resume(t, a, c.joined.Cursor)
	if r.Gap || len(r.Missed) != 0 {
		t.Errorf("whose rights changed: gap %v, missed %q", r.Gap, lines(r.Missed))
	}
	must(t, again.Leave(t.Context()))
	c.awaitLine(t, "left a left")
	if m := c.got()[len(c.got())-1].Member; m.Rights != "" {
		t.Errorf("a Left entry tells of %+v", m)
	}
}

func rightsOfLingering(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, a.Suspend(t.Context()))
	must(t, a.SetRights(t.Context(), "r"))
	_, r := h.resume(t, a, b.joined.Cursor)
	if got := find(t, r.Snapshot, "a").Rights; got != "r" {
		t.Errorf("its rights are %q", got)
	}
}

// held applies to rooms that are a [rooms.Holder] too.
func held(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	holder, ok := h.Rooms.(rooms.Holder)
	if !ok {
		return
	}
	a, b := h.join(t, "a"), h.join(t, "b")
	must(t, a.SetRights(t.Context(), "r"))
	must(t, b.Suspend(t.Context()))
	_, err := h.tryJoin(t.Context(), "cellar", member("c"))
	must(t, err)
	d := h.join(t, "d")
	must(t, d.Leave(t.Context()))
	got := map[string]rooms.Member{}
	for room, m := range holder.Held {
		s, err := h.Snapshot(t.Context(), room) // it may call back
		must(t, err)
		if want := find(t, s, m.ID); !sameMember(m, want) {
			t.Errorf("held is %+v, want %+v", m, want)
		}
		got[room+" "+m.ID] = m
	}
	if _, ok := got["cellar c"]; len(got) != 3 || !ok || got["lobby a"].Rights != "r" || got["lobby b"].ID != "b" {
		t.Errorf("held are %v", got)
	}
	n := 0
	for range holder.Held {
		n++
		break
	}
	if n != 1 {
		t.Errorf("yielded %d times to one who stopped at the first", n)
	}
}
