package rooms_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// of is a member of the hall as a pod sees it.
func (w *world) of(pod int, id string) (m rooms.Member) {
	s, err := w.pods[pod].Snapshot(w.t.Context(), hall)
	if err != nil {
		return m
	}
	if i := slices.IndexFunc(s.Members, func(m rooms.Member) bool { return m.ID == id }); i >= 0 {
		return s.Members[i]
	}
	return m
}

// rightsAre waits until every pod sees them, and checks that they stay.
func (w *world) rightsAre(id, want string) {
	w.t.Helper()
	w.eventually("the rights are everywhere", func() bool {
		for pod := range w.pods {
			if w.of(pod, id).Rights != want {
				return false
			}
		}
		return w.presenceIsExact()
	})
}

func (w *world) setRights(v *voice, rights string) {
	w.t.Helper()
	if err := v.hold.SetRights(w.t.Context(), rights); err != nil {
		w.t.Fatal(err)
	}
}

// nothingWasTold has every member speak, and checks that those who hear it were told of nothing else.
func (w *world) nothingWasTold() {
	w.t.Helper()
	for _, v := range w.voices {
		if err := v.say(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.everythingIsHeard()
	w.nobodyLeft()
}

// Whoever resumes has the newest rights at once, on whichever pod; those who set them before can't.
func TestRightsOnManyPods(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL(), s.URL()}, rooms.Config{})
	w.fill()
	a := w.voices[0]
	for turn := range 30 {
		rights := fmt.Sprint("turn ", turn)
		w.setRights(a, rights)
		if turn%3 == 0 {
			if err := a.hold.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		before := a.hold
		back, err := w.resumeAt(a, (turn+1)%3)
		if err != nil || back.Gap || len(back.Missed) > 0 {
			t.Fatalf("gap %v, missed %d, %v", back.Gap, len(back.Missed), err)
		}
		for _, m := range back.Members {
			if m.ID == a.member.ID && m.Rights != rights {
				t.Fatalf("on pod %d it has the rights %q, want %q", a.pod, m.Rights, rights)
			}
		}
		if err := before.SetRights(t.Context(), "stolen"); !errors.Is(err, rooms.ErrTakenOver) {
			t.Fatalf("by the membership before: %v, want %v", err, rooms.ErrTakenOver)
		}
	}
	w.rightsAre("a0", "turn 29")
	w.nothingWasTold()
	fresh := startPod(t, s.URL(), "fresh", rooms.Config{})
	got, err := fresh.Snapshot(t.Context(), hall)
	if err != nil || got.Members[0].Rights != "turn 29" {
		t.Errorf("from a pod with nobody there: %+v, %v", got.Members, err)
	}
}

// What is read from the log because a subscription was deaf is no more than what is heard.
func TestRightsThatWerentHeard(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	w.proxies[1].Mute()
	w.setRights(w.voices[0], "r")
	w.rightsAre("a0", "r")
	w.nothingWasTold()
}

func TestRightsOutliveTheirPod(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var reaped atomic.Int64
	proxy := redistest.Through(s)
	cfg := rooms.RedisConfig{Pod: "dies", Lease: time.Second}
	w := &world{t: t, pods: []*rooms.Redis{startPodWith(t, cfg, proxy.URL())}}
	cfg.Pod, cfg.Observe.Reaped = "stays", func() { reaped.Add(1) }
	w.pods = append(w.pods, startPodWith(t, cfg, s.URL()))
	a, b := w.join(0, "a"), w.join(0, "b")
	w.join(1, "c")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	w.setRights(a, "ra")
	w.setRights(b, "rb")
	proxy.Freeze()
	w.quietly(func() bool { return reaped.Load() == 2 })
	for id, v := range map[string]*voice{"a": a, "b": b} {
		back, err := w.resumeAt(v, 1)
		if err != nil || back.Gap {
			t.Fatalf("gap %v, %v", back.Gap, err)
		}
		if got := w.of(1, id).Rights; got != "r"+id {
			t.Errorf("%s has the rights %q after its pod died", id, got)
		}
	}
}

// Redis forgets everything: what comes back has the newest rights, also where a pod writes them
// that heard of them from another.
func TestRightsAndAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL()}, rooms.Config{})
	w.fill()
	a := w.voices[0]
	for i := range 5 {
		rights := fmt.Sprint("before flush ", i)
		w.setRights(a, rights)
		w.rightsAre("a0", rights)
		s.Do("FLUSHALL")
		far := w.voices[2]
		if err := far.say(t.Context()); err != nil { // its pod notices first
			t.Fatal(err)
		}
		w.quietly(func() bool { return len(a.from(far.member.ID)) == i+1 })
		w.rightsAre("a0", rights)
		w.eventually("Redis has them", func() bool {
			return strings.Contains(s.Do("HGET", "roompass:{hall}:members", "a0"), fmt.Sprint("=before%20flush%20", i))
		})
		s.Do("FLUSHALL")
		rights = fmt.Sprint("after flush ", i)
		w.setRights(a, rights)
		w.rightsAre("a0", rights)
	}
	w.nothingWasTold()
}

// Rights that change while Redis is away are everywhere when it is back, and nobody is told then either.
func TestRightsInAnOutage(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*redistest.Server, *world) (mend func()){
		"cut off": func(_ *redistest.Server, w *world) func() { w.cutOff(0); return w.proxies[0].Thaw },
		// The first step may still be done.
		"hangs": func(s *redistest.Server, _ *world) func() { s.Freeze(); return s.Thaw },
		"dies":  func(s *redistest.Server, _ *world) func() { s.Kill(); return s.Restart },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			w := proxied(t, s, 2, rooms.Config{})
			w.fill()
			a, b := w.voices[0], w.voices[1]
			for _, v := range w.voices[:2] {
				if err := v.hold.Update(t.Context(), json.RawMessage(`"data"`)); err != nil {
					t.Fatal(err)
				}
			}
			w.eventually("the data is everywhere", func() bool { return string(w.of(1, "b0").Data) == `"data"` })
			for _, v := range w.voices {
				w.quietly(func() bool { return len(v.events()) == map[int]int{0: 1, 1: 2}[v.pod] })
				v.ears.mu.Lock()
				v.ears.others = nil
				v.ears.mu.Unlock()
			}
			mend := breaks(s, w)
			w.setRights(a, "first")
			w.setRights(a, "second")
			if got := w.of(0, "a0"); got.Rights != "second" || string(got.Data) != `"data"` {
				t.Errorf("meanwhile it is %+v", got)
			}
			if err := b.say(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.hold.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
			if back, err := w.resumeAt(a, 0); err != nil || back.Gap || len(back.Missed) > 0 {
				t.Fatalf("meanwhile resumed: gap %v, missed %d, %v", back.Gap, len(back.Missed), err)
			}
			w.setRights(a, "third")
			mend()
			w.rightsAre("a0", "third")
			if got := w.of(1, "a0"); string(got.Data) != `"data"` {
				t.Errorf("the data is %s", got.Data)
			}
			w.nothingWasTold()
			w.setRights(a, "fourth")
			w.rightsAre("a0", "fourth")
			w.nothingWasTold()
		})
	}
}

// Who was resumed on another pod while its own was cut off has the rights that it has there.
func TestRightsOfATakenMemberAfterAnOutage(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	a := w.voices[0]
	w.cutOff(0)
	w.setRights(a, "of the stale one")
	if _, err := w.resumeAt(a, 1); err != nil {
		t.Fatal(err)
	}
	w.setRights(a, "there")
	if err := a.hold.Update(t.Context(), json.RawMessage(`"there"`)); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Thaw()
	w.rightsAre("a0", "there")
	if got := string(w.of(0, "a0").Data); got != `"there"` {
		t.Errorf("its data is %s", got)
	}
	w.eventually("its neighbour is told of the data", func() bool { return slices.Equal(w.voices[1].events(), []string{"updated a0 "}) })
	if _, err := w.resumeAt(a, 0); err != nil {
		t.Fatal(err)
	}
	w.rightsAre("a0", "there")
}

// Rights that Redis has, but after something that a pod hasn't heard of when Redis goes away, count there.
func TestRightsAheadOfAnOutage(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	a, far := w.voices[0], w.voices[2]
	w.proxies[0].Mute()
	if err := far.say(t.Context()); err != nil {
		t.Fatal(err)
	}
	set := make(chan error)
	go func() { set <- a.hold.SetRights(t.Context(), "r") }()
	w.quietly(func() bool { return strings.Contains(s.Do("HGET", "roompass:{hall}:members", "a0"), " =r ") })
	w.cutOff(0)
	if err := w.voices[1].say(t.Context()); err != nil { // so that the room goes on without
		t.Fatal(err)
	}
	if err := <-set; err != nil {
		t.Fatal(err)
	}
	if got := w.of(0, "a0").Rights; got != "r" {
		t.Errorf("without Redis its rights are %q", got)
	}
	if err := a.hold.Update(t.Context(), json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Thaw()
	w.rightsAre("a0", "r")
	w.eventually("the data is there", func() bool { return string(w.of(1, "a0").Data) == "1" })
}
