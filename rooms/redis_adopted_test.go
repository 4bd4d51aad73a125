package rooms_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// lateSignal has a say something to its pod, the first, which is done only when that is cut off: what was sent to
// Redis in vain is done when that goes on. b is on another pod.
func lateSignal(t *testing.T, linger time.Duration) (w *world, s *redistest.Server, a, b *voice) {
	t.Helper()
	s = redistest.Start(t)
	w = &world{t: t, proxies: []*redistest.Proxy{redistest.Through(s)}}
	cfg := rooms.RedisConfig{Config: rooms.Config{Linger: linger}, Lease: 2 * time.Second}
	cfg.Pod = "speaker"
	w.pods = append(w.pods, startPodWith(t, cfg, w.proxies[0].URL()))
	cfg.Pod = "adopter"
	w.pods = append(w.pods, startPodWith(t, cfg, s.URL()))
	a, b = w.join(0, "a"), w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)

	if err := a.say(t.Context()); err != nil { // so that Redis knows the script
		t.Fatal(err)
	}
	s.Freeze()
	if err := a.say(t.Context()); err != nil { // it is told in the fork
		t.Fatal(err)
	}
	w.proxies[0].Freeze()
	s.Thaw()
	if !within(20*time.Second, func() bool { return len(b.from("a")) > 1 }) {
		t.Fatal("b didn't hear what was done late")
	}
	return w, s, a, b
}

// wantOnce has a speak on, and checks that b hears all of it once.
func wantOnce(t *testing.T, a, b *voice) {
	t.Helper()
	if !within(20*time.Second, func() bool { return a.say(t.Context()) == nil && slices.Contains(b.from("a"), a.next-1) }) {
		t.Errorf("b heard %v of %d", b.from("a"), a.next)
	}
	if got := b.from("a"); !slices.Equal(got, a.said) {
		t.Errorf("b heard %v, and a said %v", got, a.said)
	}
}

// The sender's pod is taken for dead, its members are adopted, and it takes them back: what it says again
// is in the log once.
func TestLateSignalBeforeItsSenderWasAdopted(t *testing.T) {
	t.Parallel()
	w, s, a, b := lateSignal(t, time.Minute)
	adopted := func() bool {
		return strings.Contains(s.Do("HGET", "roompass:{hall}:holds", "a"), " adopter/")
	}
	if !within(30*time.Second, adopted) {
		t.Fatalf("a is held by %s", s.Do("HGET", "roompass:{hall}:holds", "a"))
	}
	w.proxies[0].Thaw()
	if !within(30*time.Second, func() bool { return !adopted() }) {
		t.Fatal("a's pod doesn't take it back")
	}
	wantOnce(t, a, b)
}

// The same, but the adopter has given its members up when the pod is back: they join anew.
func TestLateSignalBeforeItsSenderWasGivenUp(t *testing.T) {
	t.Parallel()
	w, _, a, b := lateSignal(t, 100*time.Millisecond)
	if !within(30*time.Second, func() bool { return slices.Contains(b.events(), "left a lost") }) {
		t.Fatalf("b saw %v", b.events())
	}
	w.proxies[0].Thaw()
	wantOnce(t, a, b)
}
