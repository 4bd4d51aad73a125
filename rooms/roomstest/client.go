package roomstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

// lobby is the room that most checks play in.
const lobby = "lobby"

// follower records what it is told.
type follower struct {
	changed chan struct{} // capacity 1

	mu       sync.Mutex
	entries  []*rooms.Entry
	detached []error
	late     int // calls after Detached: there must be none
}

func newFollower() *follower { return &follower{changed: make(chan struct{}, 1)} }

// Deliver implements [rooms.Follower].
func (f *follower) Deliver(e *rooms.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, e)
	f.called()
}

// Detached implements [rooms.Follower].
func (f *follower) Detached(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.called()
	f.detached = append(f.detached, err)
}

func (f *follower) called() {
	if len(f.detached) > 0 {
		f.late++
	}
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// got returns the entries until now.
func (f *follower) got() []*rooms.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.entries)
}

// lines returns the entries until now as text; see line.
func (f *follower) lines() []string { return lines(f.got()) }

// end returns what Detached was called with, and how often it was called on.
func (f *follower) end() (detached []error, late int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.detached), f.late
}

// await waits until ok holds, which is asked after each call to the follower.
func (f *follower) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	for !ok() {
		select {
		case <-f.changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; got %q", what, f.lines())
		}
	}
}

// awaitLine waits for an entry and returns the lines up to it.
func (f *follower) awaitLine(t *testing.T, want string) []string {
	t.Helper()
	f.await(t, want, func() bool { return slices.Contains(f.lines(), want) })
	all := f.lines()
	return all[:slices.Index(all, want)+1]
}

// line is an entry as text: "joined a", "updated a 1", "left a lost",
// "signal a>b 1", where > alone is to everybody.
func line(e *rooms.Entry) string {
	var who, what string
	switch e.Kind {
	case rooms.KindLeft:
		who, what = e.Member.ID, string(e.Reason)
	case rooms.KindSignal:
		who, what = e.From+">"+e.To, string(e.Data)
	default:
		who, what = e.Member.ID, string(e.Member.Data)
	}
	return strings.TrimSpace(fmt.Sprint(e.Kind, " ", who, " ", what))
}

func lines(entries []*rooms.Entry) []string {
	all := []string{}
	for _, e := range entries {
		all = append(all, line(e))
	}
	return all
}

// house is the rooms under test.
type house struct {
	rooms.Rooms
	fences int
}

func start(t *testing.T, open Open, cfg rooms.Config) *house {
	t.Helper()
	r := open(t, cfg)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &house{Rooms: r}
}

// client is a member on one socket.
type client struct {
	*follower
	rooms.Membership
	member rooms.Member
	joined rooms.Snapshot // at Join; at Resume as it was then
}

func member(id string) rooms.Member {
	return rooms.Member{ID: id, User: "user of " + id, Session: "session of " + id}
}

func (h *house) tryJoin(ctx context.Context, room string, m rooms.Member) (*client, error) {
	f := newFollower()
	membership, snapshot, err := h.Join(ctx, room, m, f)
	return &client{f, membership, m, snapshot}, err
}

func (h *house) join(t *testing.T, id string) *client {
	t.Helper()
	c, err := h.tryJoin(t.Context(), lobby, member(id))
	must(t, err)
	return c
}

// resume takes c's membership over on a new socket.
func (h *house) resume(t *testing.T, c *client, since rooms.Cursor) (*client, rooms.Resumption) {
	t.Helper()
	f := newFollower()
	membership, resumption, err := h.Resume(t.Context(), lobby, c.member, since, f)
	must(t, err)
	return &client{f, membership, c.member, resumption.Snapshot}, resumption
}

// fence has c say something that everybody else gets after all that came before
// it, and waits until each of others has. They return what others[i] got before
// it, in all.
func (h *house) fence(t *testing.T, c *client, others ...*client) [][]string {
	t.Helper()
	h.fences++
	data := fmt.Sprintf("%q", fmt.Sprint("fence ", h.fences))
	must(t, c.Signal(t.Context(), "", json.RawMessage(data)))
	var all [][]string
	for _, other := range others {
		got := other.awaitLine(t, "signal "+c.member.ID+"> "+data)
		all = append(all, slices.DeleteFunc(got, func(l string) bool { return strings.Contains(l, "fence") }))
	}
	return all
}

// now returns the lobby as it is.
func (h *house) now(t *testing.T) rooms.Snapshot {
	t.Helper()
	s, err := h.Snapshot(t.Context(), lobby)
	must(t, err)
	return s
}

func ids(s rooms.Snapshot) []string {
	all := []string{}
	for _, m := range s.Members {
		all = append(all, m.ID)
	}
	return all
}

func say(t *testing.T, c *client, to, data string) {
	t.Helper()
	must(t, c.Signal(t.Context(), to, json.RawMessage(data)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
