package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// ids are those who are in a room, as a pod sees it.
func ids(t *testing.T, r *rooms.Redis, room string) []string {
	s, err := r.Snapshot(t.Context(), room)
	if err != nil && !errors.Is(err, rooms.ErrNoRoom) {
		return []string{"?"}
	}
	var got []string
	for _, m := range s.Members {
		got = append(got, m.ID)
	}
	slices.Sort(got)
	return got
}

// cutOff takes a pod off the network, and waits until it knows.
func (w *world) cutOff(pod int) {
	w.t.Helper()
	w.proxies[pod].Cut()
	w.proxies[pod].Freeze()
	w.eventually("the outage is seen", func() bool { return w.pods[pod].Outage() > 0 })
}

// within reports whether ok holds soon.
func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}

// Who leaves while Redis is away has left when it is back, as the pod's last in the room, too.
func TestLeaveInAnOutage(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	a := w.join(0, "a")
	w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	w.cutOff(0)
	if err := a.hold.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	w.proxies[0].Thaw()
	w.eventually("back", func() bool { return w.pods[0].Outage() == 0 })
	if !within(25*time.Second, func() bool { return slices.Equal(ids(t, w.pods[1], hall), []string{"b"}) }) {
		t.Errorf("ghost: %v", ids(t, w.pods[1], hall))
	}
}

// The old socket's end races the resumption on the new one, as at every reconnection.
func TestSuspendRacesResume(t *testing.T) { // alone: it takes all processors
	s := redistest.Start(t)
	p := startPodWith(t, rooms.RedisConfig{Pod: "p"}, s.URL())
	m := rooms.Member{ID: "a", User: "u", Session: "s"}
	hold, joined, err := p.Join(t.Context(), hall, m, newEars())
	if err != nil {
		t.Fatal(err)
	}
	// contention on the map's lock, as a busy pod has
	stop := make(chan struct{})
	var bg sync.WaitGroup
	defer bg.Wait()
	defer close(stop)
	for range 4 {
		bg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.Count()
				}
			}
		})
	}
	deaf := 0
	for i := range 800 {
		e := newEars()
		var next rooms.Membership
		var wg sync.WaitGroup
		old := hold
		var end atomic.Bool
		wg.Go(func() {
			for !end.Load() {
				_ = old.Suspend(t.Context())
			}
		})
		next, _, err = p.Resume(t.Context(), hall, m, joined.Cursor, e)
		time.Sleep(100 * time.Microsecond)
		end.Store(true)
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		hold = next
		if err := p.Announce(t.Context(), hall, "", json.RawMessage(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		if got := e.from(""); len(got) == 0 {
			deaf++
		}
	}
	if deaf > 0 {
		t.Errorf("%d of 800 resumed members hear nothing", deaf)
	}
}

// A signal that was given up may have come in: the next one is another all the same.
func TestSignalAfterOneThatWasGivenUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	a, b := w.join(0, "a"), w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	if err := a.hold.Signal(t.Context(), "", json.RawMessage(`0`)); err != nil { // the script is known
		t.Fatal(err)
	}
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	err := a.hold.Signal(ctx, "", json.RawMessage(`1`))
	cancel()
	s.Thaw()
	if !errors.Is(err, rooms.ErrUnavailable) {
		t.Errorf("the signal: %v, want %v", err, rooms.ErrUnavailable)
	}
	time.Sleep(300 * time.Millisecond)
	if err := a.hold.Signal(t.Context(), "", json.RawMessage(`2`)); err != nil {
		t.Fatal(err)
	}
	if !within(5*time.Second, func() bool { return slices.Contains(b.from("a"), 2) }) {
		t.Errorf("accepted and lost: heard %v", b.from("a"))
	}
}

func TestUpdateAfterASignalInAnOutage(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	a, b := w.join(0, "a"), w.join(1, "b")
	w.join(0, "a2")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	w.cutOff(0)
	if err := a.hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	if err := a.hold.Update(t.Context(), json.RawMessage(`"new"`)); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Thaw()
	w.eventually("back", w.presenceIsExact)
	w.eventually("signal", func() bool { return slices.Contains(b.from("a"), 1) })
	data := func() string {
		s, _ := w.pods[1].Snapshot(t.Context(), hall)
		for _, m := range s.Members {
			if m.ID == "a" {
				return string(m.Data)
			}
		}
		return "?"
	}
	if !within(5*time.Second, func() bool { return data() == `"new"` }) {
		t.Errorf("the other pod has %q; it was told %q; redis has %s", data(), b.events(), s.Do("HGET", "roompass:{hall}:members", "a"))
	}
}

// What a member said in an outage isn't told twice when it isn't that member's any more.
func TestSignalThenLeaveInAnOutage(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"leave", "resume"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			w := proxied(t, s, 2, rooms.Config{})
			a, a2 := w.join(0, "a"), w.join(0, "a2")
			b := w.join(1, "b")
			w.eventually("everybody is everywhere", w.presenceIsExact)
			w.cutOff(0)
			if err := a.hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil {
				t.Fatal(err)
			}
			if how == "leave" {
				if err := a.hold.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if _, err := w.resumeAt(a, 0); err != nil {
				t.Fatal(err)
			}
			w.proxies[0].Thaw()
			w.eventually("signal", func() bool { return slices.Contains(b.from("a"), 1) })
			time.Sleep(2 * time.Second)
			if got := a2.from("a"); !slices.Equal(got, []int{1}) {
				t.Errorf("its neighbour heard %v, %q", got, a2.events())
			}
		})
	}
}

// Whatever is done while an outage's signals are being written is written too.
func TestStepsWhileReconciled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{Linger: time.Hour})
	a := w.join(0, "a")
	w.join(1, "b")
	u := w.join(0, "u")
	var leavers, takers []*voice
	for i := range 40 {
		leavers = append(leavers, w.join(0, fmt.Sprint("leaver", i)))
		takers = append(takers, w.join(0, fmt.Sprint("taker", i)))
	}
	w.eventually("everybody is everywhere", w.presenceIsExact)
	w.cutOff(0)
	for i := range 800 {
		if err := a.hold.Signal(t.Context(), "", json.RawMessage(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	w.proxies[0].Thaw()
	newest := ""
	want := []string{"a", "b", "u"}
	for i := range 40 {
		if err := leavers[i].hold.Leave(t.Context()); err != nil {
			t.Error("leave: ", err)
		}
		newest = strconv.Itoa(i)
		if err := u.hold.Update(t.Context(), json.RawMessage(newest)); err != nil {
			t.Error("update: ", err)
		}
		if _, _, err := w.pods[0].Join(t.Context(), hall, rooms.Member{ID: fmt.Sprint("joiner", i)}, newEars()); err != nil {
			t.Error("join: ", err)
		}
		if _, err := w.resumeAt(takers[i], 0); err != nil {
			t.Error("resume: ", err)
		}
		want = append(want, fmt.Sprint("joiner", i), fmt.Sprint("taker", i))
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(want)
	w.eventually("back", func() bool { return w.pods[0].Outage() == 0 })
	if !within(10*time.Second, func() bool { return slices.Equal(ids(t, w.pods[1], hall), want) }) {
		got := ids(t, w.pods[1], hall)
		var missing, ghosts []string
		for _, id := range want {
			if !slices.Contains(got, id) {
				missing = append(missing, id)
			}
		}
		for _, id := range got {
			if !slices.Contains(want, id) {
				ghosts = append(ghosts, id)
			}
		}
		t.Errorf("missing %q, ghosts %q", missing, ghosts)
	}
	for _, p := range w.pods {
		s, _ := p.Snapshot(t.Context(), hall)
		for _, m := range s.Members {
			if m.ID == "u" && string(m.Data) != newest {
				t.Errorf("u has %q, want %q", m.Data, newest)
			}
		}
	}
	for _, v := range takers {
		v.ears.mu.Lock()
		if v.ears.detached != nil {
			t.Errorf("%s: %v", v.member.ID, v.ears.detached)
		}
		v.ears.mu.Unlock()
	}
}

// A pod that took a dead one's members over ends before they do: the next pod looks after them.
func TestReaperCloses(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	cfg := rooms.Config{Linger: 3 * time.Second}
	var reaped atomic.Int32
	a := startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: "a", Lease: time.Second}, proxy.URL())
	b := startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: "b", Lease: time.Second, Observe: rooms.RedisObserver{Reaped: func() { reaped.Add(1) }}}, s.URL())
	if _, _, err := a.Join(t.Context(), hall, rooms.Member{ID: "x"}, newEars()); err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	if !within(10*time.Second, func() bool { return reaped.Load() == 1 }) {
		t.Fatal("not reaped")
	}
	_ = b.Close()
	c := startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: "c", Lease: time.Second}, s.URL())
	if !within(15*time.Second, func() bool { return len(ids(t, c, hall)) == 0 }) {
		t.Errorf("ghost: %v; keys %s", ids(t, c, hall), s.Do("KEYS", "*"))
	}
}

// A pod that was cut off comes back to a room that has ended, with members in its view that have
// left meanwhile.
func TestPodBackAfterTheRoomEnded(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	cfg := rooms.Config{Linger: 300 * time.Millisecond, LogAge: 500 * time.Millisecond}
	a := startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: "a", Lease: time.Second}, proxy.URL())
	b := startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: "b", Lease: time.Second}, s.URL())
	if _, _, err := a.Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars()); err != nil {
		t.Fatal(err)
	}
	bh, _, err := b.Join(t.Context(), hall, rooms.Member{ID: "b"}, newEars())
	if err != nil {
		t.Fatal(err)
	}
	if !within(5*time.Second, func() bool { return len(ids(t, a, hall)) == 2 }) {
		t.Fatal("not seen")
	}
	proxy.Cut()
	proxy.Freeze()
	if !within(10*time.Second, func() bool { return slices.Equal(ids(t, b, hall), []string{"b"}) }) {
		t.Fatal("not lost")
	}
	if err := bh.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	proxy.Thaw()
	if !within(20*time.Second, func() bool { return slices.Equal(ids(t, b, hall), []string{"a"}) }) {
		t.Errorf("ghost: b sees %v, a sees %v", ids(t, b, hall), ids(t, a, hall))
	}
}

// Before the pod has found out that Redis was emptied, its members are there as before.
func TestResumeAndKickAfterAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := startPodWith(t, rooms.RedisConfig{Pod: "p"}, s.URL())
	m := rooms.Member{ID: "a", User: "u", Session: "s"}
	hold, snap, err := p.Join(t.Context(), hall, m, newEars())
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Do("FLUSHALL")
	if _, _, err := p.Resume(t.Context(), hall, m, snap.Cursor, newEars()); err != nil {
		t.Errorf("resume: %v", err)
	}
	s.Do("FLUSHALL")
	if err := p.Remove(t.Context(), hall, "a", rooms.ReasonKicked); err != nil {
		t.Errorf("kick: %v", err)
	}
}

// Who was kicked can't resume, also when Redis has forgotten.
func TestKickedAndFlushed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL()}, rooms.Config{})
	w.join(0, "a")
	b := w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	if err := w.pods[0].Remove(t.Context(), hall, "b", rooms.ReasonKicked); err != nil {
		t.Fatal(err)
	}
	w.eventually("b is told", func() bool { return slices.Contains(b.events(), "left b kicked") })
	s.Do("FLUSHALL")
	s.Eventually("the room is written again", func() bool { return strings.Contains(s.Do("KEYS", "*"), ":removed") })
	for pod := range w.pods {
		if _, err := w.resumeAt(b, pod); !errors.Is(err, rooms.ErrRemoved) {
			t.Errorf("it resumes on pod %d: %v, want %v", pod, err, rooms.ErrRemoved)
		}
	}
}

// What pods write again after a flush goes away with its members, the names of their lives before
// included.
func TestNothingIsLeftAfterAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := rooms.RedisConfig{Config: rooms.Config{LogAge: 500 * time.Millisecond}, Pod: "p", Lease: time.Second}
	p := startPodWith(t, cfg, s.URL())
	cfg.Pod = "q"
	startPodWith(t, cfg, s.URL())
	hold, _, err := p.Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Do("FLUSHALL")
		if err := hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil { // so that it is noticed before the lease is
			t.Fatal(err)
		}
		s.Eventually("both have leases", func() bool { return s.Do("ZCARD", "roompass:{pods}:leases") == "2" })
	}
	if err := hold.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("only the leases are left", func() bool { return onlyPods(s.Do("KEYS", "*")) })
}

// Databases of one Redis are apart.
func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	first, second := startPod(t, s.URL(), "p", rooms.Config{}), startPod(t, s.URL()+"/1", "p", rooms.Config{})
	a, b := newEars(), newEars()
	if _, _, err := first.Join(t.Context(), hall, rooms.Member{ID: "a"}, a); err != nil {
		t.Fatal(err)
	}
	hold, _, err := second.Join(t.Context(), hall, rooms.Member{ID: "b"}, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	if err := first.Announce(t.Context(), hall, "", json.RawMessage(`2`)); err != nil {
		t.Fatal(err)
	}
	s.Eventually("a hears what was said there", func() bool { return slices.Equal(a.from(""), []int{2}) })
	if got := a.events(); len(got) > 0 || len(a.from("b")) > 0 {
		t.Errorf("a hears of another database: %v, %v", got, a.from("b"))
	}
	if len(b.from("")) > 0 {
		t.Error("b hears of another database")
	}
}

// A join that was given up may be done by a Redis that hung: nobody is left in the room by it.
func TestJoinThatWasGivenUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var armed atomic.Bool
	p := startPodWith(t, rooms.RedisConfig{Pod: "p", Observe: rooms.RedisObserver{Command: func(name string, _ time.Duration, _ error) {
		if name == "read" && armed.Swap(false) {
			s.Freeze()
			time.Sleep(20 * time.Millisecond) // until it has stopped
		}
	}}}, s.URL())
	other := startPodWith(t, rooms.RedisConfig{Pod: "q"}, s.URL())
	if _, _, err := other.Join(t.Context(), "else", rooms.Member{ID: "o"}, newEars()); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, _, err := p.Join(ctx, hall, rooms.Member{ID: "x"}, newEars())
	cancel()
	if !errors.Is(err, rooms.ErrUnavailable) {
		t.Fatalf("the join: %v, want %v", err, rooms.ErrUnavailable)
	}
	time.Sleep(3 * time.Second)
	s.Thaw()
	if !within(30*time.Second, func() bool { return len(ids(t, other, hall)) == 0 }) {
		t.Errorf("ghost: %v, %s", ids(t, other, hall), s.Do("KEYS", "*"))
	}
}

// Those who talk fast while connections are cut hear each other once and in order.
func TestFastTalkersThroughResets(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, v := range w.voices {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = v.say(t.Context()) // or it is refused
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	for range 12 {
		time.Sleep(500 * time.Millisecond)
		s.CutAll()
	}
	cancel()
	wg.Wait()
	w.eventually("presence is exact", w.presenceIsExact)
	for _, v := range w.voices {
		for _, from := range w.voices {
			v.ears.mu.Lock()
			deaf := v.ears.detached != nil // more was said than the log keeps: it was told of the gap
			v.ears.mu.Unlock()
			if from == v || deaf {
				continue
			}
			w.eventually("all is heard", func() bool {
				got := v.from(from.member.ID)
				return len(got) > 0 && got[len(got)-1] == from.said[len(from.said)-1]
			})
			if got := v.from(from.member.ID); !slices.Equal(got, from.said) {
				t.Errorf("%s heard of %s: %s", v.member.ID, from.member.ID, difference(got, from.said))
			}
		}
	}
}

// Who comes while its pod's lease is lost again and again isn't told to be lost.
func TestJoinsWhileReclaiming(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := &world{t: t}
	for i := range 2 {
		w.pods = append(w.pods, startPodWith(t, rooms.RedisConfig{Pod: fmt.Sprint("p", i), Lease: 200 * time.Millisecond}, s.URL()))
	}
	w.join(0, "stay")
	watcher := w.join(1, "watcher")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // p0's lease is lost again and again
		for ctx.Err() == nil {
			s.Do("DEL", "roompass:{pods}:leases")
			time.Sleep(20 * time.Millisecond)
		}
	})
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				h, _, err := w.pods[0].Join(t.Context(), hall, rooms.Member{ID: fmt.Sprint("m", g, "-", i), Session: "s"}, newEars())
				if err != nil {
					t.Error(err)
					continue
				}
				time.Sleep(3 * time.Millisecond)
				if err := h.Leave(t.Context()); err != nil {
					t.Error(err)
				}
				// The log has to keep what a pod misses that stands still for some seconds: else it can't know who left.
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	time.Sleep(15 * time.Second)
	cancel()
	wg.Wait()
	lost := 0
	for _, e := range watcher.events() {
		if len(e) > 5 && e[len(e)-4:] == "lost" {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d members that were there were told to be lost", lost)
	}
}

// A replica that lagged takes over, and the log goes on otherwise before a pod looks again.
func TestLogRegressedBehindADeafPod(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 1, rooms.Config{})
	a := w.join(0, "a")
	w.join(0, "a2")
	c := dial(t, s.URL())
	keys := []string{"head", "members", "holds", "log"}
	old := map[string]string{}
	for _, k := range keys {
		d, err := c.Dump(t.Context(), "roompass:{hall}:"+k).Result()
		if err != nil {
			t.Fatal(err)
		}
		old[k] = d
	}
	if err := a.hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	w.proxies[0].Mute()
	for _, k := range keys { // a replica that lagged by one is the primary now
		if err := c.RestoreReplace(t.Context(), "roompass:{hall}:"+k, 0, old[k]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	fresh := startPodWith(t, rooms.RedisConfig{Pod: "fresh"}, s.URL())
	h, _, err := fresh.Join(t.Context(), hall, rooms.Member{ID: "n"}, newEars())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Signal(t.Context(), "", json.RawMessage(`2`)); err != nil {
		t.Fatal(err)
	}
	if !within(20*time.Second, func() bool { return slices.Contains(ids(t, w.pods[0], hall), "n") }) {
		t.Errorf("the pod that was deaf sees %v; a was told %q and heard %v", ids(t, w.pods[0], hall), a.events(), a.from("n"))
	}
}

func TestRemovedAsLostOnAnotherPod(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL()}, rooms.Config{})
	a, b := w.join(0, "a"), w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	if err := w.pods[1].Remove(t.Context(), hall, "a", rooms.ReasonLost); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if got := ids(t, w.pods[1], hall); !slices.Equal(got, []string{"b"}) {
		t.Errorf("there are %v; a was told %q, b %q", got, a.events(), b.events())
	}
}

// What is done without Redis while a pod reads what it missed isn't forgotten when that has come.
func TestForkWhileTheLogIsRead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := &world{t: t, proxies: []*redistest.Proxy{redistest.Through(s)}}
	var armed atomic.Bool
	var b *voice
	w.pods = append(w.pods, startPodWith(t, rooms.RedisConfig{Pod: "p", Observe: rooms.RedisObserver{Command: func(name string, _ time.Duration, _ error) {
		if name == "read" && armed.Swap(false) {
			w.cutOff(0)
			if err := b.say(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}}}, w.proxies[0].URL()))
	w.pods = append(w.pods, startPod(t, s.URL(), "q", rooms.Config{}))
	w.fill()
	b = w.voices[1]
	w.proxies[0].Mute()
	if err := w.voices[2].say(t.Context()); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := w.voices[0].say(t.Context()); err != nil { // after something that the pod didn't hear
		t.Fatal(err)
	}
	w.quietly(func() bool { return !armed.Load() && w.pods[0].Outage() > 0 })
	w.proxies[0].Thaw()
	w.eventually("presence is exact", w.presenceIsExact)
	for _, v := range w.voices[2:] {
		if err := v.say(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.everythingIsHeard()
}
