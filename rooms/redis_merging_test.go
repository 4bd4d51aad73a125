package rooms_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// Somebody resumes on a pod while that can't reach Redis for a moment, and is let in by the reconciliation
// that ends it. What was signaled on that pod is in the log then and in its fork: it is told once.
func TestResumeWhileAForkIsMerged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := &world{t: t, proxies: []*redistest.Proxy{redistest.Through(s)}}
	var taking, merging atomic.Bool
	merged := make(chan struct{})
	w.pods = append(w.pods, startPodWith(t, rooms.RedisConfig{Pod: "p", Observe: rooms.RedisObserver{
		Command: func(name string, _ time.Duration, err error) {
			if name == "take" && err == nil && taking.Swap(false) {
				select { // the pod hears of it by what it reads
				case <-merged:
				case <-time.After(20 * time.Second):
				}
			}
		},
		Merged: func() {
			if merging.Swap(false) {
				close(merged)
			}
		},
	}}, w.proxies[0].URL()))
	w.pods = append(w.pods, startPod(t, s.URL(), "q", rooms.Config{}))
	a, b, c := w.join(0, "a"), w.join(1, "b"), w.join(0, "c")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	if err := a.say(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !within(20*time.Second, func() bool { return len(b.from("a")) > 0 }) {
		t.Fatal("b hears nothing")
	}
	b.ears.mu.Lock()
	since := b.newest
	b.ears.mu.Unlock()

	w.proxies[0].Freeze()
	taking.Store(true)
	merging.Store(true)
	var got rooms.Resumption
	var err, failed error
	var calls sync.WaitGroup
	calls.Go(func() { failed = c.hold.Signal(t.Context(), "", json.RawMessage(`7`)) })
	time.Sleep(600 * time.Millisecond) // so that this call is still on its way when that one has failed
	calls.Go(func() { _, got, err = w.pods[0].Resume(t.Context(), hall, b.member, since, newEars()) })
	if !within(20*time.Second, func() bool { return len(a.from("c")) > 0 }) {
		t.Fatal("c isn't heard on its own pod")
	}
	w.proxies[0].Thaw()
	calls.Wait()
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	var missed []int
	for _, e := range got.Missed {
		if n, err := strconv.Atoi(string(e.Data)); err == nil && e.Kind == rooms.KindSignal {
			missed = append(missed, n)
		}
	}
	if got.Gap || !slices.Equal(missed, []int{7}) {
		t.Errorf("who resumes missed %v, gap %v", missed, got.Gap)
	}
}
