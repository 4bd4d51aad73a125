package roomstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

func everyReason(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{Linger: 20 * time.Millisecond})
	watcher := h.join(t, "watcher")
	ctx := t.Context()

	a := h.join(t, "a")
	must(t, a.Leave(ctx))
	b := h.join(t, "b")
	must(t, b.Suspend(ctx))
	watcher.awaitLine(t, "left b lost")
	c := h.join(t, "c")
	must(t, h.Remove(ctx, lobby, "c", rooms.ReasonKicked))
	d := h.join(t, "d")
	must(t, h.Remove(ctx, lobby, "d", rooms.ReasonRevoked))

	last := h.join(t, "last")
	wantLines(t, "the watcher", h.fence(t, last, watcher)[0],
		"joined a", "left a left", "joined b", "left b lost",
		"joined c", "left c kicked", "joined d", "left d revoked", "joined last")
	c.awaitLine(t, "left c kicked")
	d.awaitLine(t, "left d revoked")
	wantLines(t, "who left gets nothing of it", a.lines())
	wantLines(t, "who was lost gets nothing of it", b.lines())
	wantLines(t, "who was kicked gets it last", c.lines(), "left c kicked")
	wantLines(t, "who was revoked gets it last", d.lines(), "left d revoked")
	wantLines(t, "the room", ids(h.now(t)), "watcher", "last")

	left := watcher.got()[1]
	if m := left.Member; m.ID != "a" || m.User != a.member.User || m.Session != "" || m.Data != nil {
		t.Errorf("a Left entry tells of %+v, want the ID and the User alone", m)
	}
}

func lostOnce(t *testing.T, open Open) {
	const all = 20
	h := start(t, open, rooms.Config{Linger: 20 * time.Millisecond})
	watcher := h.join(t, "watcher")
	var gone []*client
	var want []string
	for i := range all {
		gone = append(gone, h.join(t, fmt.Sprintf("%02d", i)))
		want = append(want, fmt.Sprintf("left %02d lost", i))
	}
	for _, c := range gone {
		must(t, c.Suspend(t.Context()))
		// A second time isn't a second loss. It may be too late to say so.
		if err := c.Suspend(t.Context()); err != nil && !errors.Is(err, rooms.ErrNoMember) {
			t.Errorf("Suspend again: %v", err)
		}
	}
	for _, line := range want {
		watcher.awaitLine(t, line)
	}
	got := h.fence(t, h.join(t, "last"), watcher)[0]
	got = slices.DeleteFunc(got, func(l string) bool { return !strings.HasPrefix(l, "left") })
	slices.Sort(got) // they may go in any order
	wantLines(t, "the losses", got, want...)

	for _, c := range gone {
		wantError(t, "Signal of a lost member", c.Signal(t.Context(), "", nil), rooms.ErrNoMember)
		_, _, err := h.Resume(t.Context(), lobby, c.member, c.joined.Cursor, newFollower())
		wantError(t, "Resume of a lost member", err, rooms.ErrNoMember)
	}
}

func resumptionUnseen(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{Linger: time.Hour})
	watcher, a := h.join(t, "watcher"), h.join(t, "a")
	must(t, a.Suspend(t.Context()))
	wantLines(t, "the room while it lingers", ids(h.now(t)), "watcher", "a")
	say(t, watcher, "a", `"are you there?"`)
	again, r := h.resume(t, a, a.joined.Cursor)
	wantLines(t, "missed", lines(r.Missed), `signal watcher>a "are you there?"`)
	wantLines(t, "the watcher", h.fence(t, again, watcher)[0], "joined a")
}

// resumedIsNotLost has a member come back in time, and another one that dropped
// later not: when the latter is lost, the former would have been.
func resumedIsNotLost(t *testing.T, open Open) {
	var h *house
	var watcher, a, canary *client
	// The time to come back in is short, so that the check is, and longer where
	// that turns out to be too short for this machine.
	err := rooms.ErrNoMember
	for linger := 100 * time.Millisecond; errors.Is(err, rooms.ErrNoMember) && linger < Patience; linger *= 3 {
		h = start(t, open, rooms.Config{Linger: linger})
		watcher, a, canary = h.join(t, "watcher"), h.join(t, "a"), h.join(t, "canary")
		must(t, a.Suspend(t.Context()))
		f := newFollower()
		a.Membership, _, err = h.Resume(t.Context(), lobby, a.member, canary.joined.Cursor, f)
		a.follower = f
	}
	must(t, err)
	must(t, canary.Suspend(t.Context()))
	watcher.awaitLine(t, "left canary lost")
	wantLines(t, "the watcher", h.fence(t, a, watcher)[0], "joined a", "joined canary", "left canary lost")
	wantLines(t, "the room", ids(h.now(t)), "watcher", "a")
}

func lostAtOnce(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{Linger: -1})
	watcher, a := h.join(t, "watcher"), h.join(t, "a")
	must(t, a.Suspend(t.Context()))
	wantLines(t, "the room", ids(h.now(t)), "watcher")
	_, _, err := h.Resume(t.Context(), lobby, a.member, a.joined.Cursor, newFollower())
	wantError(t, "Resume", err, rooms.ErrNoMember)
	watcher.awaitLine(t, "left a lost")
}

func removedCantResume(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	ctx := t.Context()
	watcher, live, lingers := h.join(t, "watcher"), h.join(t, "live"), h.join(t, "lingers")
	must(t, lingers.Suspend(ctx))
	must(t, h.Remove(ctx, lobby, "live", rooms.ReasonKicked))
	must(t, h.Remove(ctx, lobby, "lingers", rooms.ReasonRevoked))
	for _, c := range []*client{live, lingers} {
		_, _, err := h.Resume(ctx, lobby, c.member, c.joined.Cursor, newFollower())
		wantError(t, "Resume of "+c.member.ID, err, rooms.ErrRemoved)
		wantError(t, "Remove again", h.Remove(ctx, lobby, c.member.ID, rooms.ReasonKicked), rooms.ErrNoMember)
	}
	watcher.awaitLine(t, "left lingers revoked")
	wantLines(t, "the removed lingering member", lingers.lines())

	must(t, watcher.Leave(ctx))
	_, _, err := h.Resume(ctx, lobby, live.member, live.joined.Cursor, newFollower())
	wantError(t, "Resume into the empty room", err, rooms.ErrRemoved)
}

func removedMayJoin(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	h.join(t, "watcher")
	h.join(t, "a")
	must(t, h.Remove(t.Context(), lobby, "a", rooms.ReasonKicked))
	a := h.join(t, "a")
	must(t, a.Suspend(t.Context()))
	a, _ = h.resume(t, a, a.joined.Cursor)
	must(t, a.Leave(t.Context()))
	_, _, err := h.Resume(t.Context(), lobby, a.member, a.joined.Cursor, newFollower())
	wantError(t, "Resume when it has left of its own will", err, rooms.ErrNoMember)
}

// lossIsNoBar: to take out one who is lost isn't to put it out.
func lossIsNoBar(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	h.join(t, "watcher")
	for _, why := range []rooms.Reason{rooms.ReasonLeft, rooms.ReasonLost} {
		a := h.join(t, "a")
		must(t, h.Remove(t.Context(), lobby, "a", why))
		_, _, err := h.Resume(t.Context(), lobby, a.member, a.joined.Cursor, newFollower())
		wantError(t, fmt.Sprint("Resume of one removed as ", why), err, rooms.ErrNoMember)
	}
}

func endedMembership(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	ctx := t.Context()
	h.join(t, "watcher")
	left, kicked := h.join(t, "left"), h.join(t, "kicked")
	must(t, left.Leave(ctx))
	must(t, h.Remove(ctx, lobby, "kicked", rooms.ReasonKicked))
	h.join(t, "left") // a namesake: it isn't the old one's to speak for
	before := h.now(t).Cursor
	for _, c := range []*client{left, kicked} {
		wantError(t, "Signal", c.Signal(ctx, "", nil), rooms.ErrNoMember)
		wantError(t, "Update", c.Update(ctx, nil), rooms.ErrNoMember)
		wantError(t, "SetRights", c.SetRights(ctx, "r"), rooms.ErrNoMember)
		wantError(t, "Leave", c.Leave(ctx), rooms.ErrNoMember)
		wantError(t, "Suspend", c.Suspend(ctx), rooms.ErrNoMember)
	}
	if after := h.now(t).Cursor; after != before {
		t.Errorf("the log went on from %v to %v", before, after)
	}
}
