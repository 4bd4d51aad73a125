package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
	"github.com/roompass/roompass/rooms/roomstest"
)

func dial(t testing.TB, urls string) redis.UniversalClient {
	t.Helper()
	client, err := rooms.DialRedis(context.Background(), urls, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

var prefixes atomic.Int64

// conforms runs the suite, each time under keys of its own.
func conforms(t *testing.T, urls string) {
	client := dial(t, urls)
	roomstest.Run(t, func(t *testing.T, cfg rooms.Config) rooms.Rooms {
		r, err := rooms.NewRedis(t.Context(), rooms.RedisConfig{
			Config: cfg, Client: client, Pod: "pod", Prefix: fmt.Sprintf("roompass:test%d:", prefixes.Add(1)), Logger: testLogger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

func testLogger() *slog.Logger {
	if os.Getenv("VERBOSE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestRedisConforms(t *testing.T) { conforms(t, redistest.Start(t).URL()) }

func TestRedisClusterConforms(t *testing.T) { conforms(t, redistest.StartCluster(t).URLs()) }

func TestRedisSentinelConforms(t *testing.T) { conforms(t, redistest.StartSentinel(t).URL()) }

func TestAllPodsSeeOneOrder(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL(), s.URL()}, rooms.Config{})
	w.fill()
	var wg sync.WaitGroup
	for _, v := range w.voices {
		wg.Go(func() {
			for i := range 100 {
				if err := v.say(t.Context()); err != nil {
					t.Error(err)
				}
				if i%20 == 0 {
					if err := v.hold.Update(t.Context(), json.RawMessage(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	w.everythingIsHeard()
	for i, v := range w.voices {
		for _, other := range w.voices[i+1:] {
			v.ears.mu.Lock()
			other.ears.mu.Lock()
			for c, what := range v.ears.order {
				if theirs, ok := other.ears.order[c]; ok && theirs != what {
					t.Errorf("at %v %s saw %s, and %s saw %s", c, v.member.ID, what, other.member.ID, theirs)
				}
			}
			other.ears.mu.Unlock()
			v.ears.mu.Unlock()
		}
	}
	w.eventually("the updates are everywhere", func() bool {
		for _, p := range w.pods {
			snapshot, err := p.Snapshot(t.Context(), hall)
			if err != nil {
				return false
			}
			for _, m := range snapshot.Members {
				if string(m.Data) != "80" {
					return false
				}
			}
		}
		return true
	})
	list, err := w.pods[0].List(t.Context())
	if err != nil || len(list) != 1 || list[0] != (rooms.Summary{Room: hall, Members: 6}) {
		t.Errorf("the list is %v, %v", list, err)
	}
	if count, members := w.pods[0].Count(); count != 1 || members != 2 {
		t.Errorf("a pod counts %d members in %d rooms, want its own 2 in 1", members, count)
	}
}

// Presence costs one lease a pod, and a room is read once a pod, however many are in it.
func TestIdleMembersCostNothing(t *testing.T) {
	s := redistest.Start(t)
	idle := map[int]map[string]int{}
	const window = 10 * time.Second
	for _, members := range []int{20, 2000} {
		t.Run(fmt.Sprint(members, " members"), func(t *testing.T) {
			s.Do("FLUSHALL")
			s.Do("CONFIG", "RESETSTAT")
			const perRoom, lease = 10, 2 * time.Second
			p := startPodWith(t, rooms.RedisConfig{Pod: fmt.Sprint("p", members), Lease: lease}, s.URL())
			for i := range members {
				m := rooms.Member{ID: fmt.Sprint(i), Session: "s"}
				if _, _, err := p.Join(t.Context(), fmt.Sprint("room", i/perRoom), m, newEars()); err != nil {
					t.Fatal(err)
				}
			}
			joined := s.Calls()
			// Once a room for its members and once for whose they are; where Redis is slow to
			// answer, on a busy machine, a room may be looked at again.
			if got, want := joined["hgetall"], 2*members/perRoom; got < want || got > want+20 {
				t.Errorf("HGETALL was called %d times for %d members of %d rooms, want %d", got, members, members/perRoom, want)
			}
			time.Sleep(lease + lease/2) // from here on it looks for dead pods too
			s.Do("CONFIG", "RESETSTAT")
			time.Sleep(window)
			idle[members] = s.Calls()
		})
	}
	few, many := idle[20], idle[2000]
	for _, calls := range idle {
		delete(calls, "info")
		delete(calls, "client|setinfo") // of connections
		delete(calls, "hello")
		delete(calls, "config|resetstat")
	}
	for command, n := range many {
		if n > few[command]+few[command]/4+2 { // where the window began, and how late timers were
			t.Errorf("2,000 idle members: %d of %s in %v; 20: %d", n, command, window, few[command])
		}
	}
	t.Logf("in %v, 20 idle members: %v; 2,000: %v", window, few, many)
	if many["evalsha"] == 0 {
		t.Error("not a heartbeat was seen")
	}
}

// Thousands who come at once, as after the end of another pod, are let in one after the other: a
// Redis that is busy with them isn't taken for one that is away.
func TestARushIsNoOutage(t *testing.T) {
	s := redistest.Start(t)
	var degraded atomic.Int64
	p := startPodWith(t, rooms.RedisConfig{Pod: "p", Observe: rooms.RedisObserver{Degraded: func(time.Duration) { degraded.Add(1) }}}, s.URL())
	const members, perRoom = 5000, 10
	var wg sync.WaitGroup
	for i := range members {
		wg.Go(func() {
			_, snapshot, err := p.Join(t.Context(), fmt.Sprint("room", i/perRoom), rooms.Member{ID: fmt.Sprint(i)}, newEars())
			if err != nil || snapshot.Degraded {
				t.Errorf("member %d: degraded %v, %v", i, snapshot.Degraded, err)
			}
		})
	}
	wg.Wait()
	if rooms, got := p.Count(); rooms != members/perRoom || got != members || degraded.Load() > 0 {
		t.Errorf("%d members in %d rooms, degraded %d times", got, rooms, degraded.Load())
	}
}

// resumeAt has v come back on a pod, as a client that saw what its ears noted.
func (w *world) resumeAt(v *voice, pod int) (rooms.Resumption, error) {
	v.ears.mu.Lock()
	since := v.ears.newest
	// What the old socket still gets from here on comes again.
	all := &ears{heard: map[string][]int{}, others: slices.Clone(v.ears.others), order: maps.Clone(v.ears.order), newest: since}
	for id, numbers := range v.ears.heard {
		all.heard[id] = slices.Clone(numbers)
	}
	v.ears.mu.Unlock()
	next := newEars()
	hold, back, err := w.pods[pod].Resume(w.t.Context(), hall, v.member, since, next)
	if err != nil {
		return back, err
	}
	// As the gateway does: what was missed goes before what was delivered since.
	next.mu.Lock()
	defer next.mu.Unlock()
	for _, e := range back.Missed {
		all.note(e)
	}
	for id, numbers := range next.heard {
		all.heard[id] = append(all.heard[id], numbers...)
	}
	all.others = append(all.others, next.others...)
	if next.newest != (rooms.Cursor{}) {
		all.newest = next.newest
	} else if len(back.Missed) == 0 {
		all.newest = back.Cursor
	}
	next.heard, next.others, next.newest, next.order = all.heard, all.others, all.newest, all.order
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ears, v.hold, v.pod = next, hold, pod
	return back, nil
}

// A member that hops from pod to pod, from live sockets and dropped ones, hears everything
// once and in order, and nobody sees it go.
func TestResumeOnOtherPods(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL(), s.URL()}, rooms.Config{})
	hopper := w.join(0, "hopper")
	w.join(1, "b")
	w.join(2, "c")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	for _, v := range w.voices {
		v.ears.mu.Lock()
		v.ears.others = nil
		v.ears.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, v := range w.voices[1:] {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := v.say(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for turn := range 60 {
		if turn%2 == 0 {
			if err := hopper.hold.Suspend(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		old, hold := hopper.ears, hopper.hold
		back, err := w.resumeAt(hopper, (turn+1)%3)
		if err != nil || back.Gap {
			t.Fatalf("turn %d: gap %v, %v", turn, back.Gap, err)
		}
		if turn%2 == 1 {
			w.quietly(func() bool { old.mu.Lock(); defer old.mu.Unlock(); return old.detached != nil })
		}
		if err := hold.Signal(t.Context(), "", json.RawMessage(`-1`)); !errors.Is(err, rooms.ErrTakenOver) {
			t.Fatalf("a signal by the membership before: %v, want %v", err, rooms.ErrTakenOver)
		}
		if err := hopper.say(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	w.everythingIsHeard()
	for _, v := range w.voices {
		if got := v.events(); len(got) > 0 {
			t.Errorf("%s saw %q", v.member.ID, got)
		}
	}
}

func (w *world) quietly(ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("waited in vain")
		}
	}
}

// Whoever resumes at the same time on many pods: one of them has the membership in the end.
func TestRacingResumesOnManyPods(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL(), s.URL()}, rooms.Config{})
	for round := range 20 {
		room := fmt.Sprint("race", round)
		m := rooms.Member{ID: "a", User: "u", Session: "s"}
		_, joined, err := w.pods[0].Join(t.Context(), room, m, newEars())
		if err != nil {
			t.Fatal(err)
		}
		for _, thief := range []rooms.Member{{ID: "a", User: "u", Session: "x"}, {ID: "a", User: "x", Session: "s"}} {
			if _, _, err := w.pods[round%3].Resume(t.Context(), room, thief, joined.Cursor, &ears{}); !errors.Is(err, rooms.ErrWrongOwner) {
				t.Fatalf("a thief on pod %d: %v, want %v", round%3, err, rooms.ErrWrongOwner)
			}
		}
		const racers = 9
		holds, all := make([]rooms.Membership, racers), make([]*ears, racers)
		var wg sync.WaitGroup
		for i := range racers {
			all[i] = newEars()
			wg.Go(func() {
				var err error
				if holds[i], _, err = w.pods[i%3].Resume(t.Context(), room, m, joined.Cursor, all[i]); err != nil && !errors.Is(err, rooms.ErrTakenOver) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		owners := 0
		for i, hold := range holds {
			if hold == nil {
				continue // overtaken before it was in
			}
			err := hold.Update(t.Context(), nil)
			switch {
			case err == nil:
				owners++
			case !errors.Is(err, rooms.ErrTakenOver):
				t.Errorf("racer %d: %v", i, err)
			default:
				w.quietly(func() bool { all[i].mu.Lock(); defer all[i].mu.Unlock(); return all[i].detached != nil })
			}
		}
		if owners != 1 {
			t.Fatalf("round %d: %d have the membership", round, owners)
		}
	}
}

func TestKickedOnAnotherPod(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t, []string{s.URL(), s.URL()}, rooms.Config{})
	a, b := w.join(0, "a"), w.join(1, "b")
	w.eventually("everybody is everywhere", w.presenceIsExact)
	if err := w.pods[0].Remove(t.Context(), hall, "b", rooms.ReasonKicked); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*voice{a, b} {
		w.eventually(v.member.ID+" is told", func() bool { return slices.Contains(v.events(), "left b kicked") })
	}
	for pod := range w.pods {
		if _, err := w.resumeAt(b, pod); !errors.Is(err, rooms.ErrRemoved) {
			t.Errorf("it resumes on pod %d: %v, want %v", pod, err, rooms.ErrRemoved)
		}
	}
	if err := b.say(t.Context()); !errors.Is(err, rooms.ErrNoMember) {
		t.Errorf("it signals: %v, want %v", err, rooms.ErrNoMember)
	}
	if err := w.pods[1].Announce(t.Context(), hall, "a", json.RawMessage(`7`)); err != nil {
		t.Error(err)
	}
	w.eventually("an operator is heard on the other pod", func() bool { return slices.Contains(a.from(""), 7) })
}

// onlyPods reports whether of all keys there are those of the pods' leases alone.
func onlyPods(keys string) bool {
	got := strings.Fields(strings.Trim(keys, "[]"))
	slices.Sort(got)
	return slices.Equal(got, []string{"roompass:{pods}:about", "roompass:{pods}:leases"})
}

// When everybody has gone nothing stays, of ten thousand rooms.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := startPod(t, s.URL(), "p", rooms.Config{LogAge: 500 * time.Millisecond, Linger: 50 * time.Millisecond})
	var wg sync.WaitGroup
	for part := range 20 {
		wg.Go(func() {
			for i := range 500 {
				room := fmt.Sprintf("room %d of {part} %d", i, part)
				hold, _, err := p.Join(t.Context(), room, rooms.Member{ID: "a"}, newEars())
				if err != nil {
					t.Error(err)
					return
				}
				if err := hold.Signal(t.Context(), "", json.RawMessage(`1`)); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					err = hold.Leave(t.Context())
				} else {
					err = hold.Suspend(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.Eventually("only the lease is left", func() bool { return onlyPods(s.Do("KEYS", "*")) })
	if n, _ := p.Count(); n != 0 {
		t.Errorf("%d rooms are still open", n)
	}
	if got := s.Do("PUBSUB", "SHARDCHANNELS"); strings.Count(got, "roompass:") != 1 {
		t.Errorf("subscribed to %s, want the probe alone", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := s.Do("KEYS", "*"); got != "[]" {
		t.Errorf("after Close there is %s", got)
	}
}

func TestPodsNameIsItsOwn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	first := startPod(t, proxy.URL(), "same", rooms.Config{})
	second := func() (*rooms.Redis, error) {
		return rooms.NewRedis(t.Context(), rooms.RedisConfig{Client: dial(t, s.URL()), Pod: "same"})
	}
	if _, err := second(); !errors.Is(err, rooms.ErrPodTaken) {
		t.Fatalf("a second pod of the name: %v, want %v", err, rooms.ErrPodTaken)
	}
	if _, _, err := first.Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars()); err != nil {
		t.Fatal(err)
	}
	proxy.Freeze() // as good as dead
	again, err := second()
	if err != nil {
		t.Fatal("when its lease has run out: ", err)
	}
	defer again.Close()
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	third, err := second()
	if err != nil {
		t.Fatal("after Close: ", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}
