package rooms_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// heldBy returns whom pods hold, as "room id user", sorted.
func heldBy(pods ...rooms.Holder) []string {
	var all []string
	for _, p := range pods {
		for room, m := range p.Held {
			all = append(all, room+" "+m.ID+" "+m.User)
		}
	}
	slices.Sort(all)
	return all
}

// Each member is held by one pod; when that has died, by the one that lets it linger; and when it
// is lost by nobody.
func TestEachMemberIsHeldOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	cfg := rooms.RedisConfig{Config: rooms.Config{Linger: 5 * time.Second}, Pod: "dies", Lease: time.Second}
	w := &world{t: t, pods: []*rooms.Redis{startPodWith(t, cfg, proxy.URL())}}
	for _, cfg.Pod = range []string{"p", "q"} {
		w.pods = append(w.pods, startPodWith(t, cfg, s.URL()))
	}
	w.fill()
	if _, _, err := w.pods[0].Join(t.Context(), "cellar", rooms.Member{ID: "c", User: "u c"}, newEars()); err != nil {
		t.Fatal(err)
	}
	if err := w.voices[2].hold.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.resumeAt(w.voices[2], 2); err != nil {
		t.Fatal(err)
	}
	all := []string{"cellar c u c", "hall a0 u-a0", "hall a1 u-a1", "hall a2 u-a2", "hall b0 u-b0", "hall b1 u-b1", "hall b2 u-b2"}
	w.eventually("each is held once", func() bool { return slices.Equal(heldBy(w.pods[0], w.pods[1], w.pods[2]), all) })
	if got := heldBy(w.pods[1]); !slices.Equal(got, []string{"hall b1 u-b1"}) {
		t.Errorf("whose member went on elsewhere holds %q", got)
	}
	proxy.Freeze()
	w.eventually("those of the dead pod are held by the others", func() bool { return slices.Equal(heldBy(w.pods[1], w.pods[2]), all) })
	if _, err := w.resumeAt(w.voices[0], 1); err != nil {
		t.Fatal(err)
	}
	w.eventually("who came back is held once", func() bool { return slices.Equal(heldBy(w.pods[1], w.pods[2]), all) })
	if got := heldBy(w.pods[1]); !slices.Contains(got, "hall a0 u-a0") {
		t.Errorf("where it came back are held %q", got)
	}
	rest := []string{"hall a0 u-a0", "hall a1 u-a1", "hall a2 u-a2", "hall b1 u-b1", "hall b2 u-b2"}
	w.eventually("who was lost is held by nobody", func() bool { return slices.Equal(heldBy(w.pods[1], w.pods[2]), rest) })
}

// A pod that writes others' members again after a flush holds them until those have said that they live.
func TestEachMemberIsHeldOnceAfterAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL()}, rooms.Config{})
	w.fill()
	want := heldBy(w.pods[0], w.pods[1])
	s.Do("FLUSHALL")
	if err := w.voices[0].say(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("the other pod has gone over", func() bool { return len(w.voices[2].from("a0")) == 1 })
	w.eventually("each is held once", func() bool { return slices.Equal(heldBy(w.pods[0], w.pods[1]), want) })
}

// To ask for thousands takes milliseconds, and nobody waits for it.
func TestThousandsAreHeld(t *testing.T) {
	s := redistest.Start(t)
	p := startPod(t, s.URL(), "p", rooms.Config{})
	const members, perRoom = 5000, 10
	var wg sync.WaitGroup
	for i := range members {
		wg.Go(func() {
			if _, _, err := p.Join(t.Context(), fmt.Sprint("room", i/perRoom), rooms.Member{ID: fmt.Sprint(i)}, newEars()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	began := time.Now()
	n := 0
	for range p.Held {
		n++
	}
	if n != members {
		t.Errorf("%d are held", n)
	}
	t.Logf("%d members in %v", n, time.Since(began))
}
