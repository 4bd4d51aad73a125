package roomstest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

// takenOver waits until c's follower is detached, and checks how.
func takenOver(t *testing.T, c *client) {
	t.Helper()
	c.await(t, "Detached", func() bool { detached, _ := c.end(); return len(detached) > 0 })
	wantTakenOver(t, c)
}

func wantTakenOver(t *testing.T, c *client) {
	t.Helper()
	detached, late := c.end()
	if len(detached) != 1 || !errors.Is(detached[0], rooms.ErrTakenOver) || late != 0 {
		t.Errorf("detached with %v and called %d times after it, want once with %v", detached, late, rooms.ErrTakenOver)
	}
}

func takeoverDetaches(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	second, _ := h.resume(t, a, b.joined.Cursor)
	takenOver(t, a)
	say(t, b, "", `1`)
	wantLines(t, "the new follower", h.fence(t, b, second)[0], "signal b> 1")
	wantLines(t, "the old one", a.lines(), "joined b")
	third, _ := h.resume(t, second, b.joined.Cursor)
	takenOver(t, second)
	h.fence(t, b, third)
	wantTakenOver(t, a)

	// Nobody holds a socket that dropped, so nobody is to be detached from it.
	must(t, third.Suspend(t.Context()))
	fourth, _ := h.resume(t, third, b.joined.Cursor)
	h.fence(t, b, fourth)
	if detached, _ := third.end(); len(detached) != 0 {
		t.Errorf("a suspended follower was detached with %v", detached)
	}
}

func staleMembership(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{Linger: 50 * time.Millisecond})
	stale, b, canary := h.join(t, "a"), h.join(t, "b"), h.join(t, "canary")
	live, _ := h.resume(t, stale, canary.joined.Cursor)
	takenOver(t, stale)
	before := h.now(t).Cursor

	ctx := t.Context()
	wantError(t, "Signal", stale.Signal(ctx, "", nil), rooms.ErrTakenOver)
	wantError(t, "Update", stale.Update(ctx, nil), rooms.ErrTakenOver)
	wantError(t, "SetRights", stale.SetRights(ctx, "r"), rooms.ErrTakenOver)
	wantError(t, "Leave", stale.Leave(ctx), rooms.ErrTakenOver)
	wantError(t, "Suspend", stale.Suspend(ctx), rooms.ErrTakenOver)
	if after := h.now(t).Cursor; after != before {
		t.Errorf("the log went on from %v to %v", before, after)
	}

	// The canary lingers from here. When it is lost, the live member would have
	// been lost too if the late Suspend had hurt it.
	must(t, canary.Suspend(ctx))
	b.awaitLine(t, "left canary lost")
	wantLines(t, "b", h.fence(t, live, b)[0], "joined canary", "left canary lost")
	wantLines(t, "the live one", h.fence(t, b, live)[0], "left canary lost")

	must(t, live.Leave(ctx))
	wantError(t, "Suspend when the member has left", stale.Suspend(ctx), rooms.ErrTakenOver)
}

func racingTakeovers(t *testing.T, open Open) {
	const racers = 16
	h := start(t, open, rooms.Config{})
	first, b := h.join(t, "a"), h.join(t, "b")
	contenders := make([]*client, racers)
	var wg sync.WaitGroup
	for i := range contenders {
		wg.Go(func() {
			f := newFollower()
			membership, r, err := h.Resume(t.Context(), lobby, first.member, b.joined.Cursor, f)
			if err != nil {
				t.Error(err)
				return
			}
			contenders[i] = &client{f, membership, first.member, r.Snapshot}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	takenOver(t, first)

	var owner *client
	for i, c := range contenders {
		err := c.Update(t.Context(), nil)
		switch {
		case err == nil && owner == nil:
			owner = c
		case err == nil:
			t.Fatalf("contender %d owns the membership too", i)
		default:
			wantError(t, "Update of a contender that lost", err, rooms.ErrTakenOver)
			takenOver(t, c)
		}
	}
	if owner == nil {
		t.Fatal("nobody owns the membership")
	}
	say(t, b, "", `1`)
	wantLines(t, "the owner", h.fence(t, b, owner)[0], "signal b> 1")
	if detached, _ := owner.end(); len(detached) != 0 {
		t.Errorf("the owner was detached with %v", detached)
	}
	for _, c := range contenders {
		if c != owner {
			wantLines(t, "a contender that lost", c.lines())
		}
	}
	wantLines(t, "b", h.fence(t, owner, b)[0], "updated a")
	wantLines(t, "the room", ids(h.now(t)), "a", "b")
}

func wrongOwner(t *testing.T, open Open) {
	h := start(t, open, rooms.Config{})
	a, b := h.join(t, "a"), h.join(t, "b")
	for _, thief := range []rooms.Member{
		{ID: "a", User: a.member.User, Session: "another"},
		{ID: "a", User: "another", Session: a.member.Session},
		{ID: "a", User: a.member.User},
	} {
		_, r, err := h.Resume(t.Context(), lobby, thief, b.joined.Cursor, newFollower())
		wantError(t, "Resume", err, rooms.ErrWrongOwner)
		if len(r.Members) != 0 || len(r.Missed) != 0 {
			t.Errorf("a stranger was told of %q, %q", ids(r.Snapshot), lines(r.Missed))
		}
	}
	say(t, b, "", `1`)
	wantLines(t, "the owner", h.fence(t, b, a)[0], "joined b", "signal b> 1")
	if detached, _ := a.end(); len(detached) != 0 {
		t.Errorf("the owner was detached with %v", detached)
	}
}
