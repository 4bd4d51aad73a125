package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

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
