package rooms_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// A member whose socket dropped comes back on a pod that is cut off. Its former pod, which can't
// know, loses it. When the outage is over it is there: it is connected, and nobody put it out.
func TestResumeOnACutOffPodOutlivesTheLinger(t *testing.T) {
	t.Parallel()
	w := proxied(t, redistest.Start(t), 2, rooms.Config{Linger: time.Second})
	a, b, far := w.join(1, "a"), w.join(0, "b"), w.join(1, "far")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	w.cutOff(0)
	if err := a.hold.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.resumeAt(a, 0); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is lost where it was", func() bool { return slices.Contains(far.events(), "left a lost") })
	w.proxies[0].Thaw()
	w.eventually("presence is exact", w.presenceIsExact)
	if err := a.say(t.Context()); err != nil {
		t.Errorf("a signals: %v", err)
	}
	for _, v := range []*voice{a, b} {
		if got := v.events(); slices.Contains(got, "left a lost") {
			t.Errorf("%s saw %q", v.member.ID, got)
		}
	}
	if got := far.events(); count(got, "left a lost") != 1 || count(got, "joined a ") != 1 {
		t.Errorf("far saw %q", got)
	}
}

// A client that goes from pod to pod while Redis is away ends on the last one, whichever pod is the first
// to write it: where that can't know it has its client come back, and doesn't tell it that another
// socket has its place.
func TestTheLastResumptionOfAnOutageStays(t *testing.T) {
	t.Parallel()
	for first := range 2 {
		t.Run(fmt.Sprint("the first that is back is pod ", first+1), func(t *testing.T) {
			t.Parallel()
			w := proxied(t, redistest.Start(t), 3, rooms.Config{})
			a, b := w.join(0, "a"), w.join(0, "b")
			w.join(1, "c")
			w.join(2, "d")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			w.cutOff(1)
			w.cutOff(2)
			left := a.ears
			var before [3]*ears
			for pod := 1; pod <= 2; pod++ { // the sockets from before hang
				if _, err := w.resumeAt(a, pod); err != nil {
					t.Fatal(err)
				}
				before[pod] = a.ears
			}
			w.proxies[first+1].Thaw()
			w.eventually("the first has it", func() bool { left.mu.Lock(); defer left.mu.Unlock(); return left.detached != nil })
			w.proxies[2-first].Thaw()
			w.eventually("presence is exact", w.presenceIsExact)
			before[2].mu.Lock()
			why := before[2].detached
			before[2].mu.Unlock()
			if errors.Is(why, rooms.ErrTakenOver) {
				t.Fatal("the newest socket is told that another one has its place")
			}
			if why != nil { // it has to come back
				if _, err := w.resumeAt(a, 2); err != nil {
					t.Fatal(err)
				}
			}
			w.eventually("the older one knows", func() bool { before[1].mu.Lock(); defer before[1].mu.Unlock(); return before[1].detached != nil })
			if err := a.say(t.Context()); err != nil {
				t.Error(err)
			}
			w.eventually("it is heard", func() bool { return slices.Contains(b.from("a"), a.said[len(a.said)-1]) })
		})
	}
}

// told returns why a socket was told that its membership is over, if it was.
func (e *ears) told() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.detached
}

// What others know of a member that its pod claimed is enough to write it again when Redis is emptied: it
// has its place.
func TestWhoWasClaimedKeepsItsPlaceAfterAFlush(t *testing.T) {
	t.Parallel()
	for _, claims := range []struct {
		why   string
		pod   int // where it joins
		apart func(w *world, s *redistest.Server, a, c *voice) error
	}{
		{"it resumed without Redis", 1, func(w *world, _ *redistest.Server, a, _ *voice) error {
			_, err := w.resumeAt(a, 0)
			return err
		}},
		{"it was adopted in a flush before", 0, func(w *world, s *redistest.Server, _, c *voice) error {
			s.Do("FLUSHALL")
			return c.say(w.t.Context())
		}},
	} {
		t.Run(claims.why, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			w := proxied(t, s, 3, rooms.Config{})
			a, b, c := w.join(claims.pod, "a"), w.join(0, "b"), w.join(2, "c")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			w.cutOff(0)
			if err := claims.apart(w, s, a, c); err != nil {
				t.Fatal(err)
			}
			w.proxies[0].Thaw()
			w.eventually("it is claimed", func() bool { return isClaimed(s, "a") })
			if err := b.say(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.eventually("that was heard of", func() bool { return len(c.from("b")) == 1 })
			s.Do("FLUSHALL")
			if err := c.say(t.Context()); err != nil { // so that its pod is the first to write the room again
				t.Fatal(err)
			}
			w.eventually("it is claimed again", func() bool { return a.told() != nil || isClaimed(s, "a") })
			if why := a.told(); why != nil {
				t.Fatalf("its only socket is told: %v", why)
			}
			if err := a.say(t.Context()); err != nil {
				t.Error(err)
			}
			w.eventually("it is heard", func() bool { return len(b.from("a")) == 1 && len(c.from("a")) == 1 })
		})
	}
}

// isClaimed reports whether a member is the first pod's in Redis, and not an adopted one.
func isClaimed(s *redistest.Server, id string) bool {
	hold := strings.Fields(s.Do("HGET", "roompass:{hall}:holds", id))
	return len(hold) == 5 && strings.HasPrefix(hold[3], "pod0/") && hold[4] == "-"
}

// Redis is emptied when a pod hasn't heard yet that a member went on on another one. Whichever of those that
// know less writes the room again, the newest socket isn't told that another one has its place, but has
// to come back. The older one, where its pod took it for the newest, is told so then.
func TestTheNewestSocketComesBackAfterAFlush(t *testing.T) {
	t.Parallel()
	for first, who := range map[int]string{1: "its former pod", 2: "a third pod"} {
		t.Run("the first that is back is "+who, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			w := proxied(t, s, 3, rooms.Config{})
			a, b := w.join(1, "a"), w.join(0, "b")
			w.join(1, "c")
			w.join(2, "d")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			w.cutOff(first)
			older := a.ears
			if _, err := w.resumeAt(a, 0); err != nil {
				t.Fatal(err)
			}
			if first == 2 {
				w.eventually("the former pod knows", func() bool { return older.told() != nil })
			}
			for pod := range 2 {
				if pod != first {
					w.cutOff(pod)
				}
			}
			s.Do("FLUSHALL")
			w.proxies[first].Thaw()
			w.eventually("the room is written again", func() bool { return s.Do("EXISTS", "roompass:{hall}:head") == "1" })
			for pod := range 2 {
				w.proxies[pod].Thaw()
			}
			w.eventually("the newest socket is told", func() bool { return a.told() != nil })
			if why := a.told(); !errors.Is(why, rooms.ErrGap) {
				t.Fatalf("the newest socket is told: %v", why)
			}
			if _, err := w.resumeAt(a, 0); err != nil {
				t.Fatal(err)
			}
			w.eventually("the older one knows", func() bool { return errors.Is(older.told(), rooms.ErrTakenOver) })
			if err := a.say(t.Context()); err != nil {
				t.Error(err)
			}
			w.eventually("it is heard", func() bool { return slices.Contains(b.from("a"), a.said[len(a.said)-1]) })
			if why := a.told(); why != nil {
				t.Errorf("the newest socket is told: %v", why)
			}
		})
	}
}

// Who comes to a pod that is cut off and doesn't know the room gets what the others say meanwhile, or has to
// come back for it.
func TestWhoCameToAPodThatDidntKnowTheRoomMissesNothing(t *testing.T) {
	t.Parallel()
	w := proxied(t, redistest.Start(t), 2, rooms.Config{})
	b := w.join(1, "b")
	w.cutOff(0)
	a := w.join(0, "a")
	if err := b.say(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Thaw()
	w.eventually("presence is exact", w.presenceIsExact)
	if why := a.told(); !errors.Is(why, rooms.ErrGap) && !slices.Equal(a.from("b"), b.said) {
		t.Errorf("it heard %v of %v, and is told: %v", a.from("b"), b.said, why)
	}
}
