package rooms_test

import (
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// twoPods starts two pods, of which the first can be cut off in the middle of a step: Redis does
// the next script of the name that is given and answers it, but before that answer is looked at
// an outage begins. What the script published isn't heard, and a neighbour has spoken without Redis.
func twoPods(t *testing.T) (w *world, outageBeginsAfter func(script string, neighbour *voice)) {
	t.Helper()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	var armed atomic.Pointer[func(string)]
	w = &world{t: t, proxies: []*redistest.Proxy{proxy}}
	w.pods = append(w.pods, startPodWith(t, rooms.RedisConfig{Pod: "p", Observe: rooms.RedisObserver{Command: func(name string, _ time.Duration, _ error) {
		if do := armed.Load(); do != nil {
			(*do)(name)
		}
	}}}, proxy.URL()))
	w.pods = append(w.pods, startPod(t, s.URL(), "q", rooms.Config{}))
	return w, func(script string, neighbour *voice) {
		var once atomic.Bool
		do := func(name string) {
			if name != script || once.Swap(true) {
				return
			}
			armed.Store(nil)
			proxy.Freeze()
			if err := neighbour.say(t.Context()); err != nil {
				t.Errorf("the neighbour speaks: %v", err)
			}
		}
		proxy.Mute() // what is published doesn't come
		armed.Store(&do)
	}
}

// Who has left is gone, also where Redis did that as an outage began: nobody on its pod sees it
// any more, it can do nothing, and it isn't there again when the outage is over.
func TestLeaveAsAnOutageBegins(t *testing.T) {
	t.Parallel()
	w, outageBeginsAfter := twoPods(t)
	a, b, far := w.join(0, "a"), w.join(0, "b"), w.join(1, "far")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	outageBeginsAfter("leave", b)
	if err := a.hold.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := w.pods[0].Snapshot(t.Context(), hall); err != nil || !s.Degraded {
		t.Fatalf("degraded %v, %v: it has to be an outage", s.Degraded, err)
	}
	if got := ids(t, w.pods[0], hall); !slices.Equal(got, []string{"b", "far"}) {
		t.Errorf("after a has left there are %q", got)
	}
	if got := b.events(); !slices.Contains(got, "left a left") {
		t.Errorf("b saw %q", got)
	}
	if err := a.hold.Signal(t.Context(), "", json.RawMessage(`7`)); !errors.Is(err, rooms.ErrNoMember) {
		t.Errorf("a signals: %v, want %v", err, rooms.ErrNoMember)
	}
	if err := a.hold.Leave(t.Context()); !errors.Is(err, rooms.ErrNoMember) {
		t.Errorf("a leaves again: %v, want %v", err, rooms.ErrNoMember)
	}
	w.proxies[0].Thaw()
	w.voices = []*voice{b, far}
	w.eventually("presence is exact", w.presenceIsExact)
	for _, v := range w.voices {
		if got := count(v.events(), "left a left"); got != 1 {
			t.Errorf("%s saw %q", v.member.ID, v.events())
		}
	}
}

// count is how often a line is among lines.
func count(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

// Who is put out is gone in the same case.
func TestRemovalAsAnOutageBegins(t *testing.T) {
	t.Parallel()
	w, outageBeginsAfter := twoPods(t)
	a, b, far := w.join(0, "a"), w.join(0, "b"), w.join(1, "far")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	outageBeginsAfter("leave", b)
	if err := w.pods[0].Remove(t.Context(), hall, "a", rooms.ReasonKicked); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, w.pods[0], hall); !slices.Equal(got, []string{"b", "far"}) {
		t.Errorf("after a was put out there are %q", got)
	}
	for _, v := range []*voice{a, b} {
		if got := v.events(); !slices.Contains(got, "left a kicked") {
			t.Errorf("%s saw %q", v.member.ID, got)
		}
	}
	if err := a.say(t.Context()); !errors.Is(err, rooms.ErrNoMember) {
		t.Errorf("a signals: %v, want %v", err, rooms.ErrNoMember)
	}
	if _, _, err := w.pods[0].Resume(t.Context(), hall, a.member, a.newest, newEars()); !errors.Is(err, rooms.ErrRemoved) {
		t.Errorf("a resumes: %v, want %v", err, rooms.ErrRemoved)
	}
	w.proxies[0].Thaw()
	w.voices = []*voice{b, far}
	w.eventually("presence is exact", w.presenceIsExact)
	for _, v := range append(w.voices, a) {
		if got := count(v.events(), "left a kicked"); got != 1 {
			t.Errorf("%s saw %q", v.member.ID, v.events())
		}
	}
}

// Who left, and joined again while Redis is away, is in the room afterwards, whether it was
// Redis that let it leave or its pod, and whoever has its id now.
func TestRejoinInAnOutage(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"left as it began", "left in it"} {
		for _, session := range []string{"s-a", "another"} {
			t.Run(how+", "+session, func(t *testing.T) {
				t.Parallel()
				w, outageBeginsAfter := twoPods(t)
				a, b, far := w.join(0, "a"), w.join(0, "b"), w.join(1, "far")
				w.eventually("everybody is everywhere", w.presenceIsExact)
				if how == "left in it" {
					w.cutOff(0)
				} else {
					outageBeginsAfter("leave", b)
				}
				if err := a.hold.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				again := &voice{ears: newEars(), member: a.member}
				again.member.Session = session
				hold, _, err := w.pods[0].Join(t.Context(), hall, again.member, again.ears)
				if err != nil {
					t.Fatal(err)
				}
				again.hold = hold
				w.proxies[0].Thaw()
				w.voices = []*voice{again, b, far}
				w.eventually("presence is exact", w.presenceIsExact)
				for _, v := range w.voices {
					if err := v.say(t.Context()); err != nil {
						t.Fatalf("%s: %v", v.member.ID, err)
					}
				}
				w.eventually("all hear each other's last word", func() bool {
					for _, v := range w.voices {
						for _, from := range w.voices {
							if v != from && !slices.Contains(v.from(from.member.ID), from.next-1) {
								return false
							}
						}
					}
					return true
				})
				w.eventually("presence is exact at the end", w.presenceIsExact)
				again.ears.mu.Lock()
				if again.ears.detached != nil || len(again.ears.others) > 0 {
					t.Errorf("a saw %q and was detached: %v", again.ears.others, again.ears.detached)
				}
				again.ears.mu.Unlock()
				if got := b.events(); count(got, "left a left") != 1 || count(got, "joined a ") != 1 {
					t.Errorf("b saw %q", got)
				}
				for _, p := range w.pods {
					if _, _, err := p.Resume(t.Context(), hall, rooms.Member{ID: "a", User: "u-a", Session: "neither"}, rooms.Cursor{}, newEars()); !errors.Is(err, rooms.ErrWrongOwner) {
						t.Errorf("another session resumes: %v", err)
					}
				}
			})
		}
	}
}

// Who came as an outage began and left in it, came and left once, as everybody sees it.
func TestComeAndGoneAsAnOutageBegins(t *testing.T) {
	t.Parallel()
	w, outageBeginsAfter := twoPods(t)
	b, far := w.join(0, "b"), w.join(1, "far")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	outageBeginsAfter("join", b)
	hold, _, err := w.pods[0].Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars())
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Thaw()
	w.eventually("far has seen it", func() bool { return slices.Contains(far.events(), "left a left") })
	w.eventually("presence is exact", w.presenceIsExact)
	for _, v := range w.voices {
		if got := v.events(); count(got, "left a left") != 1 || count(got, "joined a ") != 1 || count(got, "left a lost") != 0 {
			t.Errorf("%s saw %q", v.member.ID, got)
		}
	}
}

// Who was put out, and joins anew while Redis is away, stays in: being kept out is about the
// membership from before, which a join doesn't go on with.
func TestJoinInAnOutageAfterRemoval(t *testing.T) {
	t.Parallel()
	for remover, where := range []string{"on its own pod", "on another"} {
		t.Run("removed "+where, func(t *testing.T) {
			t.Parallel()
			w, _ := twoPods(t)
			a, b, far := w.join(0, "a"), w.join(0, "b"), w.join(1, "far")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			if err := w.pods[remover].Remove(t.Context(), hall, "a", rooms.ReasonRevoked); err != nil {
				t.Fatal(err)
			}
			w.voices = []*voice{b, far}
			w.eventually("a is gone everywhere", w.presenceIsExact)
			w.cutOff(0)
			again := &voice{ears: newEars(), member: a.member}
			hold, _, err := w.pods[0].Join(t.Context(), hall, again.member, again.ears)
			if err != nil {
				t.Fatal(err)
			}
			again.hold = hold
			w.proxies[0].Thaw()
			w.voices = []*voice{again, b, far}
			w.eventually("presence is exact", w.presenceIsExact)
			if err := again.say(t.Context()); err != nil {
				t.Errorf("a signals: %v", err)
			}
			if got := b.events(); count(got, "left a revoked") != 1 || count(got, "left a kicked") != 0 {
				t.Errorf("b saw %q", got)
			}
		})
	}
}
