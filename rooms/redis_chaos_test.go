package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// faultLasts is how long Redis is broken in each of these tests: longer than a lease. make
// soak makes it more.
var faultLasts = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("ROOMPASS_FAULT")); err == nil {
		return d
	}
	return 15 * time.Second
}()

// survives has Redis break under traffic, and checks that nothing that was accepted is lost.
func (w *world) survives(breakIt, mend func(), isDown bool) {
	t := w.t
	t.Helper()
	w.fill()
	stop := w.talk()
	time.Sleep(500 * time.Millisecond)
	breakIt()
	end := time.After(faultLasts)
	if isDown {
		w.eventually("the outage is seen", func() bool {
			for _, p := range w.pods {
				if p.Outage() == 0 {
					return false
				}
			}
			return true
		})
		if s, err := w.pods[0].Snapshot(t.Context(), hall); err != nil || !s.Degraded || len(s.Members) != len(w.voices) {
			t.Errorf("meanwhile the room has %d members, degraded %v, %v", len(s.Members), s.Degraded, err)
		}
		v := w.voices[0]
		if err := v.hold.Signal(t.Context(), w.voices[len(w.voices)-1].member.ID, json.RawMessage(`0`)); !errors.Is(err, rooms.ErrUnavailable) {
			t.Errorf("a signal to one on another pod: %v, want %v", err, rooms.ErrUnavailable)
		}
	}
	w.matesTalk()
	<-end
	mend()
	w.eventually("presence is exact", w.presenceIsExact)
	time.Sleep(500 * time.Millisecond)
	stop()
	w.everythingIsHeard()
	w.nobodyLeft()
	w.eventually("presence is exact at the end", w.presenceIsExact)
}

func TestRedisHangs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxied(t, s, 3, rooms.Config{}).survives(s.Freeze, s.Thaw, true)
}

func TestRedisDies(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxied(t, s, 3, rooms.Config{}).survives(s.Kill, s.Restart, true)
}

func TestRedisConnectionsAreReset(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 3, rooms.Config{})
	done := make(chan struct{})
	w.survives(func() {
		go func() {
			defer close(done)
			for end := time.Now().Add(faultLasts); time.Now().Before(end); time.Sleep(700 * time.Millisecond) {
				s.CutAll()
			}
		}()
	}, func() { <-done }, false)
}

func TestRedisIsFlushed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 3, rooms.Config{})
	w.survives(func() { s.Do("FLUSHALL") }, func() {}, false)
}

func TestRedisFailsOver(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	w := newWorld(t, []string{s.URL(), s.URL(), s.URL()}, rooms.Config{})
	w.survives(s.Primary.Kill, func() {}, false)
}

func TestRedisClusterFailsOver(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	w := newWorld(t, []string{c.URLs(), c.URLs(), c.URLs()}, rooms.Config{})
	w.survives(func() { c.PrimaryOf(t, "roompass:{"+hall+"}").Kill() }, func() {}, false)
}

// A pod that is cut off alone is taken for dead by the others, and finds that out when it is back.
func TestPodIsCutOff(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 3, rooms.Config{Linger: 2 * time.Second})
	w.fill()
	stop := w.talk()
	time.Sleep(500 * time.Millisecond)
	w.proxies[0].Freeze()
	gone := func() bool {
		events := w.voices[4].events() // on the last pod
		return slices.Contains(events, "left a0 lost") && slices.Contains(events, "left b0 lost")
	}
	w.eventually("it is taken for dead", gone)
	w.proxies[0].Thaw()
	w.eventually("presence is exact", w.presenceIsExact)
	time.Sleep(500 * time.Millisecond)
	stop()
	w.everythingIsHeard()
	for _, v := range w.voices {
		got := v.events()
		var want []string
		if v.pod != 0 {
			want = []string{"joined a0 ", "joined b0 ", "left a0 lost", "left b0 lost"}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s saw %q, want %q", v.member.ID, got, want)
		}
	}
}

// A subscription that is half open, so that nothing comes and nothing fails, is found.
func TestSilentSubscription(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	stop := w.talk()
	for range 2 {
		time.Sleep(300 * time.Millisecond)
		w.proxies[0].Mute()
		v, far := w.voices[0], w.voices[2]
		count := len(v.from(far.member.ID))
		w.eventually("it hears the other pod again", func() bool { return len(v.from(far.member.ID)) > count+20 })
	}
	stop()
	w.everythingIsHeard()
	w.nobodyLeft()
}

// A pod dies. Who comes back on another one was never away; who doesn't is lost, once.
func TestPodDies(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 3, rooms.Config{Linger: 5 * time.Second})
	w.fill()
	back, lost := w.voices[0], w.voices[1]
	talking := w.voices[2:]
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, v := range talking {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := v.say(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	w.proxies[0].Freeze() // for good
	time.Sleep(2 * time.Second)
	if r, err := w.resumeAt(back, 1); err != nil || r.Gap {
		t.Fatalf("resumed on another pod: gap %v, %v", r.Gap, err)
	}
	if err := back.say(t.Context()); err != nil {
		t.Error(err)
	}
	w.eventually("who doesn't come back is lost", func() bool { return len(talking[0].events()) > 0 })
	time.Sleep(6 * time.Second) // longer than the linger, so that a second loss would be seen
	cancel()
	wg.Wait()
	for _, v := range append(talking, back) {
		w.quietly(func() bool { return len(v.events()) > 0 })
		if got := v.events(); !slices.Equal(got, []string{"left b0 lost"}) {
			t.Errorf("%s saw %q", v.member.ID, got)
		}
	}
	w.voices = append(talking, back)
	w.pods = w.pods[1:]
	w.everythingIsHeard()
	w.eventually("presence is exact", w.presenceIsExact)
	if _, err := w.pods[0].Snapshot(t.Context(), hall); err != nil {
		t.Error(err)
	}
	if _, _, err := w.pods[0].Resume(t.Context(), hall, lost.member, lost.newest, &ears{}); !errors.Is(err, rooms.ErrNoMember) {
		t.Errorf("the lost one resumes: %v, want %v", err, rooms.ErrNoMember)
	}
}

// All pods die at once, and the keys stay: the next pod finds them.
func TestAllPodsDie(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	for _, p := range w.proxies {
		p.Freeze()
	}
	p := startPod(t, s.URL(), "next", rooms.Config{Linger: time.Second, LogAge: time.Second})
	if list, err := p.List(t.Context()); err != nil || len(list) != 1 || list[0].Members != 4 {
		t.Errorf("the list is %v, %v: the dead are still there", list, err)
	}
	s.Eventually("nothing of the room is left", func() bool { return !strings.Contains(s.Do("KEYS", "*"), "hall") })
	s.Eventually("nothing of the dead pods is left", func() bool { return !strings.Contains(s.Do("KEYS", "*"), ":dead") })
}

// Who drops its socket while Redis is away, and comes back on the same pod, misses nothing; and
// later on another pod with a cursor from that time, it hears nothing twice.
func TestResumeDuringAnOutageAndAfterIt(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := proxied(t, s, 2, rooms.Config{})
	w.fill()
	a, b, far := w.voices[0], w.voices[1], w.voices[2]
	say := func(v *voice, n int) {
		t.Helper()
		for range n {
			if err := v.say(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(b, 3)
	say(far, 3)
	w.eventually("they hear each other", func() bool { return len(a.from(far.member.ID)) == 3 && len(far.from(b.member.ID)) == 3 })
	s.Freeze()
	say(b, 3)
	if err := a.hold.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(b, 3)
	if back, err := w.resumeAt(a, 0); err != nil || back.Gap || !back.Degraded || len(back.Missed) != 3 {
		t.Fatalf("resumed while Redis is away: %d missed, gap %v, degraded %v, %v", len(back.Missed), back.Gap, back.Degraded, err)
	}
	say(a, 2)
	say(b, 2)
	say(far, 2)
	// From here on a's client is away, with a cursor that only this pod has made.
	if err := a.hold.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(b, 2)
	if _, _, err := w.pods[0].Join(t.Context(), "another", rooms.Member{ID: "x"}, newEars()); err != nil {
		t.Errorf("a join while Redis is away: %v", err)
	}
	if err := w.pods[0].Remove(t.Context(), hall, "b0", rooms.ReasonKicked); !errors.Is(err, rooms.ErrUnavailable) {
		t.Errorf("a kick while Redis is away: %v, want %v", err, rooms.ErrUnavailable)
	}
	s.Thaw()
	w.eventually("presence is exact", w.presenceIsExact)
	say(far, 1)
	if back, err := w.resumeAt(a, 1); err != nil || back.Gap {
		t.Fatalf("resumed on the other pod: gap %v, %v", back.Gap, err)
	}
	say(a, 1)
	say(b, 1)
	say(w.voices[3], 1)
	w.everythingIsHeard()
	w.nobodyLeft()
	w.eventually("what came without Redis is there too", func() bool {
		got, err := w.pods[1].Snapshot(t.Context(), "another")
		return err == nil && len(got.Members) == 1
	})
}
