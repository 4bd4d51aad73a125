package rooms_test

import (
	"fmt"
	"testing"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// Who was told on its pod what the log has too, as an outage began there, and comes back on another
// pod, hears it once: where that pod has said so by then without a gap, and else after one.
func TestForkSeenOnAnotherPod(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprint("the outage is over: ", ends), func(t *testing.T) {
			t.Parallel()
			w, outageBeginsAfter := twoPods(t)
			a, b, c, far := w.join(0, "a"), w.join(0, "b"), w.join(0, "c"), w.join(1, "far")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			say := func(v *voice) {
				t.Helper()
				if err := v.say(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			outageBeginsAfter("say", c)
			say(b)
			say(b)
			w.eventually("a hears them", func() bool { return len(a.from("b")) == 2 && len(a.from("c")) == 1 })
			if err := a.hold.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.proxies[0].Cut() // what wasn't sent yet never is
			if ends {
				w.proxies[0].Thaw()
				w.eventually("the outage is over", func() bool { return w.pods[0].Outage() == 0 })
			}
			back, err := w.resumeAt(a, 1)
			if err != nil || back.Gap == ends {
				t.Errorf("resumed on the other pod: gap %v, %v", back.Gap, err)
			}
			w.proxies[0].Thaw()
			w.eventually("presence is exact", w.presenceIsExact)
			for _, v := range []*voice{a, b, c, far} {
				say(v)
			}
			w.everythingIsHeard()
		})
	}
}

// What was told without Redis is told once also to those who come to another pod before it is written.
func TestForkWrittenAfterAResumption(t *testing.T) {
	t.Parallel()
	for _, outage := range []bool{false, true} {
		t.Run(fmt.Sprint("the other pod has no Redis either: ", outage), func(t *testing.T) {
			t.Parallel()
			w := proxied(t, redistest.Start(t), 2, rooms.Config{})
			w.fill()
			a, b := w.voices[0], w.voices[1]
			w.cutOff(0)
			if outage {
				w.cutOff(1)
			}
			for range 3 {
				if err := b.say(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.hold.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
			if back, err := w.resumeAt(a, 1); err != nil || back.Gap != outage {
				t.Errorf("resumed on the other pod: gap %v, %v", back.Gap, err)
			}
			for _, v := range w.voices {
				if err := v.say(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range w.proxies {
				p.Thaw()
			}
			w.eventually("presence is exact", w.presenceIsExact)
			for _, v := range w.voices {
				if err := v.say(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.everythingIsHeard()
			w.nobodyLeft()
		})
	}
}
