package rooms_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// podsOf returns the pods that one knows, as "name", "name self" or "name lost", and their status.
func podsOf(t *testing.T, p rooms.Cluster) []string {
	t.Helper()
	pods, err := p.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range pods {
		line := p.Name
		if p.Self {
			line += " self"
		}
		if p.Lost {
			line += " lost"
		}
		all = append(all, strings.TrimSpace(line+" "+string(p.Status)))
	}
	return all
}

// knows waits until a pod knows those pods, and returns how long that took.
func knows(t *testing.T, p rooms.Cluster, want ...string) time.Duration {
	t.Helper()
	began := time.Now()
	var got []string
	if !within(30*time.Second, func() bool { got = podsOf(t, p); return slices.Equal(got, want) }) {
		t.Fatalf("it knows %q, want %q", got, want)
	}
	return time.Since(began)
}

func TestPodsKnowEachOther(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	const lease = 4 * time.Second
	start := time.Now()
	var pods []*rooms.Redis
	var status atomic.Int64
	for _, name := range []string{"b", "a/ü 1", "c"} {
		pods = append(pods, startPodWith(t, rooms.RedisConfig{Pod: name, Lease: lease}, s.URL()))
	}
	b, a, c := pods[0], pods[1], pods[2]
	if got, want := podsOf(t, b), []string{"a/ü 1", "b self", "c"}; !slices.Equal(got, want) {
		t.Errorf("before a heartbeat it knows %q, want %q", got, want)
	}
	a.Report(func() json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n": %d}`, status.Load())) })
	b.Report(func() json.RawMessage { return json.RawMessage(`"` + strings.Repeat("b", 4<<10-2) + `"`) })
	c.Report(func() json.RawMessage { return json.RawMessage(`"` + strings.Repeat("c", 4<<10-1) + `"`) })
	full := " \"" + strings.Repeat("b", 4<<10-2) + `"`
	knows(t, b, `a/ü 1 {"n": 0}`, "b self"+full, "c")
	knows(t, c, `a/ü 1 {"n": 0}`, "b"+full, "c self")
	status.Store(1)
	if got, want := podsOf(t, a)[0], `a/ü 1 self {"n": 1}`; got != want {
		t.Errorf("itself is %q, want %q", got, want)
	}
	if took := knows(t, b, `a/ü 1 {"n": 1}`, "b self"+full, "c"); took > lease/2 {
		t.Errorf("a change showed after %v, heartbeats are %v apart", took, lease/4)
	}
	list, err := b.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Heard < 0 || p.Heard > lease || p.Since.Before(start.Truncate(time.Millisecond)) || p.Since.After(time.Now()) {
			t.Errorf("%s began at %v and was heard %v ago", p.Name, p.Since, p.Heard)
		}
	}

	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if got, want := podsOf(t, c), []string{`a/ü 1 {"n": 1}`, "c self"}; !slices.Equal(got, want) {
		t.Errorf("at once after another has ended it knows %q, want %q", got, want)
	}
	if got := s.Do("HLEN", "roompass:{pods}:about"); got != "2" {
		t.Errorf("Redis still knows of %s", got)
	}
	if _, err := b.Pods(t.Context()); !errors.Is(err, rooms.ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, rooms.ErrClosed)
	}
}

// A pod that dies is lost until its members are looked after.
func TestDeadPodIsLostThenGone(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	cfg := rooms.RedisConfig{Pod: "dies", Lease: time.Second}
	dies := startPodWith(t, cfg, proxy.URL())
	dies.Report(func() json.RawMessage { return json.RawMessage(`1`) })
	cfg.Pod, cfg.Lease = "watcher", time.Minute // for so long it doesn't look for dead ones
	watcher := startPodWith(t, cfg, s.URL())
	knows(t, watcher, "dies 1", "watcher self")
	proxy.Freeze()
	knows(t, watcher, "dies lost 1", "watcher self")
	pods, err := watcher.Pods(t.Context())
	if err != nil || pods[0].Heard < time.Second/2 || pods[0].Since.IsZero() {
		t.Errorf("it knows %v, %v", pods, err)
	}
	cfg.Pod, cfg.Lease = "reaper", time.Second
	startPodWith(t, cfg, s.URL())
	knows(t, watcher, "reaper", "watcher self")
	if got := s.Do("HLEN", "roompass:{pods}:about"); got != "2" {
		t.Errorf("Redis still knows of %s", got)
	}
}

// A pod that was lost and is there again under its name is there once.
func TestPodOfTwoLives(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.Through(s)
	cfg := rooms.RedisConfig{Pod: "same", Lease: 2 * time.Second}
	first := startPodWith(t, cfg, proxy.URL())
	status := func() json.RawMessage { return json.RawMessage(`2`) } // of both: either may be born last
	first.Report(status)
	if _, _, err := first.Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars()); err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	second := startPodWith(t, cfg, s.URL()) // it waits for the lease
	second.Report(status)
	cfg.Pod = "watcher"
	watcher := startPodWith(t, cfg, s.URL())
	for range 3 { // while the first one is lost, reaped, and back
		knows(t, watcher, "same 2", "watcher self")
		knows(t, second, "same self 2", "watcher")
		s.Do("DEL", "roompass:{pods}:leases") // so that all are born again
		proxy.Thaw()
	}
	s.Eventually("both lives have leases", func() bool { return s.Do("ZCARD", "roompass:{pods}:leases") == "3" })
	pods, err := watcher.Pods(t.Context())
	if err != nil || len(pods) != 2 || pods[0].Name != "same" || pods[0].Lost {
		t.Errorf("the watcher knows %v, %v", pods, err)
	}
}

// While Redis is away a pod knows of itself, and says that it is all it knows.
func TestPodsWithoutRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := rooms.RedisConfig{Pod: "p", Lease: 2 * time.Second}
	p := startPodWith(t, cfg, s.URL())
	cfg.Pod = "q"
	startPodWith(t, cfg, s.URL())
	var status atomic.Int64
	p.Report(func() json.RawMessage { return json.RawMessage(fmt.Sprint(status.Add(1))) })
	if pods, err := p.Pods(t.Context()); err != nil || len(pods) != 2 {
		t.Fatalf("it knows %v, %v", pods, err)
	}
	s.Freeze()
	before := status.Load()
	pods, err := p.Pods(t.Context())
	if !errors.Is(err, rooms.ErrUnavailable) || len(pods) != 1 || !pods[0].Self || pods[0].Name != "p" {
		t.Fatalf("it knows %v, %v", pods, err)
	}
	if n, err := strconv.ParseInt(string(pods[0].Status), 10, 64); err != nil || n <= before {
		t.Errorf("its status is %s, which is no newer than %d", pods[0].Status, before)
	}
	w := &world{t: t, pods: []*rooms.Redis{p}}
	w.eventually("it knows that it is lost", func() bool { pods, _ := p.Pods(t.Context()); return pods[0].Lost })
	s.Thaw()
	w.eventually("it is back", func() bool {
		pods, err := p.Pods(t.Context())
		return err == nil && len(pods) == 2 && !pods[0].Lost && !pods[1].Lost
	})
}
