package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
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
	return 30 * time.Second
}()

// ears is a follower that notes what it is told.
type ears struct {
	mu       sync.Mutex
	heard    map[string][]int // by sender
	others   []string         // joins, updates and leaves
	order    map[rooms.Cursor]string
	newest   rooms.Cursor
	detached error
}

func newEars() *ears { return &ears{heard: map[string][]int{}} }

func (e *ears) Deliver(entry *rooms.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note(entry)
}

func (e *ears) note(entry *rooms.Entry) {
	e.newest = entry.Cursor
	if e.order == nil {
		e.order = map[rooms.Cursor]string{}
	}
	e.order[entry.Cursor] = fmt.Sprint(entry.Kind, entry.From, entry.Member.ID, string(entry.Data))
	if entry.Kind != rooms.KindSignal {
		e.others = append(e.others, fmt.Sprint(entry.Kind, " ", entry.Member.ID, " ", entry.Reason))
		return
	}
	n, err := strconv.Atoi(string(entry.Data))
	if err != nil {
		panic(err)
	}
	e.heard[entry.From] = append(e.heard[entry.From], n)
}

func (e *ears) Detached(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.detached = err
}

func (e *ears) from(id string) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard[id])
}

func (e *ears) events() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.others)
}

// voice is a member that counts aloud.
type voice struct {
	*ears
	hold   rooms.Membership
	member rooms.Member
	pod    int

	mu      sync.Mutex
	said    []int // those that were accepted
	refused int
	next    int
}

func (v *voice) say(ctx context.Context) error {
	v.mu.Lock()
	hold := v.hold
	n := v.next
	v.next++
	v.mu.Unlock()
	err := hold.Signal(ctx, "", json.RawMessage(strconv.Itoa(n)))
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.refused++
		return err
	}
	v.said = append(v.said, n)
	return nil
}

// world is some pods that share a Redis, each by a network of its own.
type world struct {
	t       *testing.T
	pods    []*rooms.Redis
	proxies []*redistest.Proxy
	voices  []*voice
}

// newWorld starts pods; urls names the Redis of each.
func newWorld(t *testing.T, urls []string, cfg rooms.Config) *world {
	w := &world{t: t}
	for i, url := range urls {
		w.pods = append(w.pods, startPod(t, url, fmt.Sprint("pod", i), cfg))
	}
	return w
}

func startPod(t *testing.T, url, name string, cfg rooms.Config) *rooms.Redis {
	t.Helper()
	return startPodWith(t, rooms.RedisConfig{Config: cfg, Pod: name}, url)
}

func startPodWith(t *testing.T, c rooms.RedisConfig, url string) *rooms.Redis {
	t.Helper()
	c.Client = dial(t, url)
	c.Logger = testLogger().With("pod", c.Pod)
	r, err := rooms.NewRedis(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// proxied starts n pods, each with a network that can be broken.
func proxied(t *testing.T, s *redistest.Server, n int, cfg rooms.Config) *world {
	var urls []string
	var proxies []*redistest.Proxy
	for range n {
		p := redistest.Through(s)
		proxies = append(proxies, p)
		urls = append(urls, p.URL())
	}
	w := newWorld(t, urls, cfg)
	w.proxies = proxies
	return w
}

const hall = "hall"

func (w *world) join(pod int, id string) *voice {
	w.t.Helper()
	v := &voice{ears: newEars(), pod: pod, member: rooms.Member{ID: id, User: "u-" + id, Session: "s-" + id}}
	hold, snapshot, err := w.pods[pod].Join(w.t.Context(), hall, v.member, v.ears)
	if err != nil {
		w.t.Fatal(err)
	}
	v.hold = hold
	v.ears.mu.Lock()
	if v.ears.newest == (rooms.Cursor{}) {
		v.ears.newest = snapshot.Cursor
	}
	v.ears.mu.Unlock()
	w.voices = append(w.voices, v)
	return v
}

// fill has two members join on each pod.
func (w *world) fill() {
	for pod := range w.pods {
		w.join(pod, fmt.Sprint("a", pod))
		w.join(pod, fmt.Sprint("b", pod))
	}
	w.eventually("everybody is everywhere", w.presenceIsExact)
	for _, v := range w.voices {
		v.ears.mu.Lock()
		v.ears.others = nil
		v.ears.mu.Unlock()
	}
}

// talk has everybody count until stop is called, which waits.
func (w *world) talk() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	for _, v := range w.voices {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := v.say(w.t.Context())
				if err != nil && !errors.Is(err, rooms.ErrUnavailable) {
					w.t.Errorf("%s: %v", v.member.ID, err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > time.Minute {
			for i, p := range w.pods {
				s, err := p.Snapshot(w.t.Context(), hall)
				w.t.Logf("pod %d: %d members, degraded %v, %v, %v", i, len(s.Members), s.Degraded, s.Cursor, err)
			}
			w.t.Fatal("waited in vain: ", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
}

// presenceIsExact reports whether every pod sees those who are there, and has all that
// Redis has.
func (w *world) presenceIsExact() bool {
	var want []string
	for _, v := range w.voices {
		want = append(want, v.member.ID)
	}
	slices.Sort(want)
	for _, p := range w.pods {
		s, err := p.Snapshot(w.t.Context(), hall)
		if err != nil || s.Degraded {
			return false
		}
		var got []string
		for _, m := range s.Members {
			got = append(got, m.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return false
		}
	}
	return true
}

// everythingIsHeard waits until everybody has heard the last word of everybody else, and
// checks that each heard all that was accepted, once and in order.
func (w *world) everythingIsHeard() {
	w.t.Helper()
	w.eventually("all is heard", func() bool {
		for _, v := range w.voices {
			for _, from := range w.voices {
				if got := v.from(from.member.ID); from != v && (len(got) == 0 || got[len(got)-1] != from.said[len(from.said)-1]) {
					return false
				}
			}
		}
		return true
	})
	for _, v := range w.voices {
		for _, from := range w.voices {
			if from == v {
				continue
			}
			if got := v.from(from.member.ID); !slices.Equal(got, from.said) {
				w.t.Errorf("%s heard of %s: %s", v.member.ID, from.member.ID, difference(got, from.said))
			}
		}
	}
}

// difference says what is wrong with got, in runs of numbers.
func difference(got, want []int) string {
	seen := map[int]int{}
	for _, n := range got {
		seen[n]++
	}
	var missing, twice []int
	for _, n := range want {
		switch {
		case seen[n] == 0:
			missing = append(missing, n)
		case seen[n] > 1:
			twice = append(twice, n)
		}
		delete(seen, n)
	}
	return fmt.Sprintf("%d of %d; missing %s, twice %s, never accepted %v, in order: %v",
		len(got), len(want), runs(missing), runs(twice), seen, slices.IsSorted(got))
}

func runs(numbers []int) string {
	text := "["
	for i, n := range numbers {
		switch {
		case i == 0 || numbers[i-1] != n-1:
			text += fmt.Sprint(" ", n)
		case i == len(numbers)-1 || numbers[i+1] != n+1:
			text += fmt.Sprint("-", n)
		}
	}
	return text + " ]"
}

// nobodyLeft checks that no join or leave was told of.
func (w *world) nobodyLeft() {
	w.t.Helper()
	for _, v := range w.voices {
		if got := v.events(); len(got) > 0 {
			w.t.Errorf("%s saw %q", v.member.ID, got)
		}
		v.ears.mu.Lock()
		if v.ears.detached != nil {
			w.t.Errorf("%s was detached: %v", v.member.ID, v.ears.detached)
		}
		v.ears.mu.Unlock()
	}
}

// matesTalk checks that members on one pod hear each other now.
func (w *world) matesTalk() {
	w.t.Helper()
	before := map[*voice]int{}
	for _, v := range w.voices {
		before[v] = len(w.mate(v).from(v.member.ID))
	}
	w.eventually("those on one pod hear each other", func() bool {
		for _, v := range w.voices {
			if len(w.mate(v).from(v.member.ID)) < before[v]+5 {
				return false
			}
		}
		return true
	})
}

func (w *world) mate(v *voice) *voice {
	for _, m := range w.voices {
		if m.pod == v.pod && m != v {
			return m
		}
	}
	return nil
}

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
