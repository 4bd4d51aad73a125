package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms/redistest"
)

// faultLasts is how long a part is broken in these tests; make soak-rooms makes it more.
var faultLasts = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("ROOMPASS_FAULT")); err == nil {
		return d
	}
	return 15 * time.Second
}()

// A fault is a way in which Redis breaks.
type fault struct {
	name string
	// start starts Redis, and says how to break it and to mend it.
	start func(t *testing.T) (url string, breakIt, mend func())
	// gone says that nothing can be had from it meanwhile.
	gone bool
}

var faults = []fault{
	{"hung", func(t *testing.T) (string, func(), func()) {
		s := redistest.Start(t)
		return s.URL(), s.Freeze, s.Thaw
	}, true},
	{"killed", func(t *testing.T) (string, func(), func()) {
		s := redistest.Start(t)
		return s.URL(), s.Kill, s.Restart
	}, true},
	{"reset", func(t *testing.T) (string, func(), func()) {
		s := redistest.Start(t)
		stop, done := make(chan struct{}), make(chan struct{})
		cut := func() {
			defer close(done)
			for {
				s.CutAll()
				select {
				case <-stop:
					return
				case <-time.After(700 * time.Millisecond):
				}
			}
		}
		return s.URL(), func() { go cut() }, func() { close(stop); <-done }
	}, false},
	{"flushed", func(t *testing.T) (string, func(), func()) {
		s := redistest.Start(t)
		return s.URL(), func() { s.Do("FLUSHALL") }, func() {}
	}, false},
	{"failed over", func(t *testing.T) (string, func(), func()) {
		s := redistest.StartSentinel(t)
		return s.URL(), s.Primary.Kill, func() {}
	}, false},
}

// Whatever happens to Redis, sockets stay, tokens come, and those on one pod talk on; what
// can't be accepted is refused, and what was accepted arrives, once and in order.
func TestServeGoesOnWithoutRedis(t *testing.T) {
	dir := t.TempDir()
	if got := roompass(t, "", "keygen", "--out", dir); got.code != exitDone {
		t.Fatal(got.stderr)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			url, breakIt, mend := f.start(t)
			var pods []served
			for _, id := range []string{"a", "b"} {
				pods = append(pods, serveDev(t, "--redis", url, "--pod-id", id, "--key", filepath.Join(dir, "key.pem"),
					"--token-ttl", "6s", "--token-refresh", "2s"))
			}
			goesOn(t, pods, f.gone, breakIt, mend)
		})
	}
}

func goesOn(t *testing.T, pods []served, gone bool, breakIt, mend func()) {
	ann, joined := enter(t, pods[0], "ann", "r")
	bob, _ := enter(t, pods[0], "bob", "r")
	carl, far := enter(t, pods[1], "carl", "r")
	guests := []*guest{ann, bob, carl}
	if joined["degraded"] != nil {
		t.Errorf("joined is degraded while Redis is there: %v", joined)
	}
	var said []float64
	talk := func(d time.Duration) {
		for end := time.Now().Add(d); ; {
			n := float64(len(said))
			if got := ann.ask(map[string]any{"type": "signal", "room": "r", "data": n}); got["type"] != "ok" {
				t.Fatalf("signal %v: %v", n, got)
			}
			said = append(said, n)
			for _, p := range pods {
				if code, text := p.look(t, "/livez"); code != http.StatusOK {
					t.Fatalf("/livez answers %d: %s", code, text)
				}
			}
			time.Sleep(100 * time.Millisecond) // no faster than a client may
			if time.Now().After(end) {
				return
			}
		}
	}
	talk(time.Second)
	tokens := map[*guest]int{}
	for _, g := range guests {
		tokens[g] = len(g.all("token"))
	}
	breakIt()
	end := time.Now().Add(faultLasts)
	talk(time.Second)
	eventually(t, "Bob hears Ann", func() bool { return len(bob.numbers(joined["member"])) == len(said) })
	dave, state := enter(t, pods[0], "dave", "r")
	if gone {
		got := ann.ask(map[string]any{"type": "signal", "room": "r", "to": far["member"], "data": "you"})
		if got["type"] != "error" || got["code"] != "unavailable" {
			t.Errorf("a signal to another pod: %v, want an error, unavailable", got)
		}
		if state["degraded"] != true || len(state["members"].([]any)) != 4 {
			t.Errorf("joined meanwhile: %v, want all four, and degraded", state)
		}
		if welcome := dave.all("welcome")[0]; welcome["degraded"] != true {
			t.Errorf("welcome meanwhile: %v, want degraded", welcome)
		}
		eventually(t, "the pods are not ready", func() bool {
			talk(0)
			return pods[0].readiness(t) == http.StatusServiceUnavailable && pods[1].readiness(t) == http.StatusServiceUnavailable
		})
		if !pods[0].counts(t, "roompass_degraded 1") {
			t.Error("the metrics don't say degraded")
		}
	}
	talk(time.Until(end))
	for _, g := range guests {
		// The first one's jitter apart, a token comes every two seconds at the latest.
		if n, want := len(g.all("token"))-tokens[g], int(faultLasts/(2*time.Second))-1; n < want {
			t.Errorf("%d tokens came meanwhile, want %d", n, want)
		}
	}
	mend()
	eventually(t, "the pods are ready", func() bool {
		return pods[0].readiness(t) == http.StatusOK && pods[1].readiness(t) == http.StatusOK
	})
	talk(time.Second)
	for name, g := range map[string]*guest{"Bob": bob, "Carl": carl} {
		eventually(t, name+" hears the last word", func() bool {
			got := g.numbers(joined["member"])
			return len(got) > 0 && got[len(got)-1] == said[len(said)-1]
		})
		if got := g.numbers(joined["member"]); !slices.Equal(got, said) {
			t.Errorf("%s heard %v of %v", name, got, said)
		}
	}
	eventually(t, "Carl is told of Dave", func() bool {
		return slices.ContainsFunc(carl.all("member_joined"), func(m map[string]any) bool {
			return m["member"].(map[string]any)["user"] == "dave"
		})
	})
	for _, g := range append(guests, dave) {
		if err := g.ended(); err != nil {
			t.Errorf("a socket ended: %v", err)
		}
		if left := g.all("member_left"); len(left) > 0 {
			t.Errorf("somebody left: %v", left)
		}
	}
	for _, p := range pods {
		if !p.counts(t, "roompass_token_lapses_total 0") || !p.counts(t, "roompass_degraded 0") {
			t.Error("a token lapsed, or a pod is degraded still")
		}
		if gone && p.counts(t, "roompass_degraded_seconds_total 0") {
			t.Error("the seconds without Redis were not counted")
		}
	}
}

func TestServeRefusesAnotherPodsName(t *testing.T) {
	redis := redistest.Start(t)
	serveDev(t, "--redis", redis.URL(), "--pod-id", "same")
	got := roompass(t, "", "serve", "--dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--redis", redis.URL(), "--pod-id", "same")
	if got.code != exitFailed || !strings.Contains(got.stderr, "--pod-id") || !strings.Contains(got.stderr, "another pod of this name is running") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}

// The user of deploy/redis may do all that pods, their clients and the operator's API need.
func TestServeAsTheRedisUser(t *testing.T) {
	redistest.RunAsUser(t, "../../deploy/redis/users.acl",
		"^Test(AnyNameIsARoomOfItsOwn|ServeIsKilled|ServeResumesOnAnotherPod|WhoIsRevokedIsOutOnEveryPod|APodIsDrainedThroughAnother|PodsAreListed|OperatorReachesMembersOfOtherPods)$")
}
