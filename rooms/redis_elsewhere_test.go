package rooms_test

import (
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
