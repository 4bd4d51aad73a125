package rooms_test

import (
	"errors"
	"fmt"
	"slices"
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
