package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms/redistest"
)

// asCommand in the environment makes the test binary the command, so that tests can stop and
// kill a pod as the system does.
const asCommand = "ROOMPASS_TEST_AS_COMMAND"

// A process is a pod in a process of its own.
type process struct {
	served
	*exec.Cmd
}

func serveProcess(t *testing.T, args ...string) process {
	t.Helper()
	return startProcess(t, os.Args[0], args...)
}

// startProcess starts a pod of this binary, which is the test's or the command itself.
func startProcess(t *testing.T, binary string, args ...string) process {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{Cmd: cmd}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	return p
}

// awaitReady waits until the pod listens and is ready.
func (p process) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "the process is ready", func() bool {
		response, err := http.Get(p.operator + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode == http.StatusOK
	})
}

func (p process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A cluster is pods over one Redis with one key. The first one is a process of its own.
type cluster struct {
	process process
	pods    []served
}

func startCluster(t *testing.T, others int, args ...string) cluster {
	t.Helper()
	redis := redistest.Start(t)
	dir := t.TempDir()
	if got := roompass(t, "", "keygen", "--out", dir); got.code != exitDone {
		t.Fatal(got.stderr)
	}
	common := append([]string{"--dev", "--key", filepath.Join(dir, "key.pem"), "--redis", redis.URL()}, args...)
	listen, operator := loopback(t), loopback(t)
	c := cluster{process: serveProcess(t, append(common, "--listen", listen, "--admin-listen", operator, "--pod-id", "first")...)}
	c.process.served = served{url: "http://" + listen, operator: "http://" + operator}
	c.process.awaitReady(t)
	c.pods = []served{c.process.served}
	for i := range others {
		c.pods = append(c.pods, serveDev(t, append(common[1:], "--pod-id", string(rune('a'+i)))...))
	}
	return c
}

// talk has a guest count aloud until stop is called, which returns what it said. Each number
// was accepted.
func (g *guest) talk(room string) (stop func() []float64) {
	var said []float64
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			n := float64(len(said))
			if got := g.ask(map[string]any{"type": "signal", "room": room, "data": n}); got["type"] != "ok" {
				g.t.Errorf("signal %v: %v", n, got)
				return
			}
			said = append(said, n)
			select {
			case <-quit:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return func() []float64 { close(quit); wg.Wait(); return said }
}

// hears waits until g has heard the last of what somebody said, and checks that it was all,
// once and in order.
func (g *guest) hears(who string, from any, said []float64) {
	g.t.Helper()
	eventually(g.t, who+" hears the last word", func() bool {
		got := g.numbers(from)
		return len(got) > 0 && got[len(got)-1] == said[len(said)-1]
	})
	if got := g.numbers(from); !slices.Equal(got, said) {
		g.t.Errorf("%s heard %v, want %v", who, got, said)
	}
}

// comings returns who joined and left, in order.
func (g *guest) comings(names map[any]string) (all []string) {
	for _, m := range g.all("") {
		switch m["type"] {
		case "member_joined":
			all = append(all, "joined "+m["member"].(map[string]any)["user"].(string))
		case "member_left":
			all = append(all, "left "+names[m["member"]]+" "+m["reason"].(string))
		}
	}
	return all
}

// A pod is killed. Who comes back on another one was never away, and missed nothing; who
// doesn't is lost, once.
func TestServeIsKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "--lease", "4s", "--linger", "4s")
	carl, carlJoined := enter(t, c.pods[1], "carl", "r")
	ann, annJoined := enter(t, c.pods[0], "ann", "r")
	_, bobJoined := enter(t, c.pods[0], "bob", "r")
	names := map[any]string{annJoined["member"]: "ann", bobJoined["member"]: "bob"}
	stop := carl.talk("r")
	eventually(t, "Ann hears Carl", func() bool { return len(ann.numbers(carlJoined["member"])) > 3 })
	c.process.signal(t, syscall.SIGKILL)
	eventually(t, "Ann's socket is gone", func() bool { return ann.ended() != nil })
	time.Sleep(time.Second) // something is missed
	again, welcome := ann.comeBack(c.pods[2], nil)
	rooms := list(welcome["rooms"])
	if len(rooms) != 1 || rooms[0]["member"] != annJoined["member"] || rooms[0]["gap"] != nil || len(list(rooms[0]["missed"])) == 0 {
		t.Fatalf("welcome back: %v, want the same member and what was missed", welcome)
	}
	eventually(t, "Bob is lost", func() bool { return len(carl.all("member_left")) > 0 })
	if got := again.ask(map[string]any{"type": "signal", "room": "r", "data": 1}); got["type"] != "ok" {
		t.Errorf("Ann's signal: %v", got)
	}
	time.Sleep(10 * time.Second) // longer than lease and linger: a second loss would be seen
	said := stop()
	heard := append(ann.numbers(carlJoined["member"]), again.numbers(carlJoined["member"])...)
	eventually(t, "Ann hears the last word", func() bool {
		heard = append(ann.numbers(carlJoined["member"]), again.numbers(carlJoined["member"])...)
		return heard[len(heard)-1] == said[len(said)-1]
	})
	if !slices.Equal(heard, said) {
		t.Errorf("Ann heard %v, want %v", heard, said)
	}
	if got, want := carl.comings(names), []string{"joined ann", "joined bob", "left bob lost"}; !slices.Equal(got, want) {
		t.Errorf("Carl saw %q, want %q", got, want)
	}
}

// A pod stands still for longer than its lease: the others take it for dead. When it goes on it
// finds that out, and its members, whose sockets are still there, are back, once.
func TestServeStandsStill(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	carl, carlJoined := enter(t, c.pods[1], "carl", "r")
	ann, annJoined := enter(t, c.pods[0], "ann", "r")
	bob, bobJoined := enter(t, c.pods[0], "bob", "r")
	names := map[any]string{annJoined["member"]: "ann", bobJoined["member"]: "bob"}
	stop := carl.talk("r")
	eventually(t, "Ann hears Carl", func() bool { return len(ann.numbers(carlJoined["member"])) > 3 })
	c.process.signal(t, syscall.SIGSTOP)
	time.Sleep(faultLasts)
	eventually(t, "they are lost", func() bool { return len(carl.all("member_left")) == 2 })
	c.process.signal(t, syscall.SIGCONT)
	eventually(t, "they are back", func() bool { return len(carl.all("member_joined")) == 4 })
	eventually(t, "the pod is ready", func() bool { return c.process.readiness(t) == http.StatusOK })
	time.Sleep(3 * time.Second) // more than a heartbeat
	said := stop()
	for who, g := range map[string]*guest{"Ann": ann, "Bob": bob} {
		if err := g.ended(); err != nil {
			t.Fatalf("%s's socket ended: %v", who, err)
		}
		g.hears(who, carlJoined["member"], said)
		if got := g.ask(map[string]any{"type": "signal", "room": "r", "data": 7}); got["type"] != "ok" {
			t.Errorf("%s's signal: %v", who, got)
		}
		if left := g.all("member_left"); len(left) > 0 {
			t.Errorf("%s saw %v leave", who, left)
		}
	}
	eventually(t, "Carl hears them", func() bool {
		return len(carl.numbers(annJoined["member"])) == 1 && len(carl.numbers(bobJoined["member"])) == 1
	})
	got := carl.comings(names)
	slices.Sort(got)
	want := []string{"joined ann", "joined ann", "joined bob", "joined bob", "left ann lost", "left bob lost"}
	if !slices.Equal(got, want) {
		t.Errorf("Carl saw %q, want %q", got, want)
	}
}

// A session has one socket, on whichever pods it is asked for.
func TestServeResumesOnAnotherPod(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	carl, carlJoined := enter(t, c.pods[1], "carl", "r")
	ann, annJoined := enter(t, c.pods[0], "ann", "r")
	names := map[any]string{annJoined["member"]: "ann"}
	for what, edit := range map[string]func(auth, resume map[string]any){
		"a wrong secret":            func(_, resume map[string]any) { resume["secret"] = resume["secret"].(string) + "A" },
		"another session":           func(_, resume map[string]any) { resume["session"] = "someone else's" },
		"another user's credential": func(auth, _ map[string]any) { auth["credential"] = "mallory" },
	} {
		thief, welcome := ann.comeBack(c.pods[2], edit)
		if welcome["resumed"] != false || len(list(welcome["rooms"])) > 0 || welcome["session"] == ann.all("welcome")[0]["session"] {
			t.Errorf("%s: %v, want a session of its own", what, welcome)
		}
		_ = thief.ws.CloseNow()
	}
	if ann.ended() != nil {
		t.Fatalf("the owner's socket ended: %v", ann.ended())
	}

	// From pod to pod, from live sockets and from dropped ones.
	stop := carl.talk("r")
	var heard []float64
	for turn := range 6 {
		if turn%2 == 0 {
			_ = ann.ws.CloseNow()
			eventually(t, "the socket is gone", func() bool { return ann.ended() != nil })
			time.Sleep(200 * time.Millisecond)
		}
		next, welcome := ann.comeBack(c.pods[(turn+1)%3], nil)
		rooms := list(welcome["rooms"])
		if welcome["resumed"] != true || len(rooms) != 1 || rooms[0]["member"] != annJoined["member"] || rooms[0]["gap"] != nil {
			t.Fatalf("turn %d: %v, want the same member and no gap", turn, welcome)
		}
		if turn%2 == 1 {
			eventually(t, "the older socket is closed", func() bool { return ann.ended() != nil })
			if got := ann.code(); got != 4409 {
				t.Errorf("turn %d: the older socket was closed with %d, want 4409", turn, got)
			}
		}
		// What the older socket still got after the resume came on the newer one too.
		for _, n := range ann.numbers(carlJoined["member"]) {
			if got := next.numbers(carlJoined["member"]); len(got) == 0 || n < got[0] {
				heard = append(heard, n)
			}
		}
		ann = next
		time.Sleep(300 * time.Millisecond)
	}
	said := stop()
	all := func() []float64 { return append(slices.Clone(heard), ann.numbers(carlJoined["member"])...) }
	eventually(t, "Ann hears the last word", func() bool { got := all(); return len(got) > 0 && got[len(got)-1] == said[len(said)-1] })
	if got := all(); !slices.Equal(got, said) {
		t.Errorf("Ann heard %v, want %v", got, said)
	}

	// Many at once, on all pods: one has it in the end.
	for round := range 5 {
		racers := make([]*guest, 6)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() { racers[i], _ = ann.comeBack(c.pods[i%3], nil) })
		}
		wg.Wait()
		open := func() (open []*guest) {
			for _, g := range append(racers, ann) {
				if g.ended() == nil {
					open = append(open, g)
				}
			}
			return open
		}
		quiet := time.Now().Add(10 * time.Second)
		for len(open()) != 1 && time.Now().Before(quiet) {
			time.Sleep(10 * time.Millisecond)
		}
		if len(open()) != 1 {
			for _, g := range append(racers, ann) {
				t.Log(g.ended())
			}
			t.Fatalf("round %d: %d sockets are left", round, len(open()))
		}
		last := open()[0]
		if got := last.ask(map[string]any{"type": "update", "room": "r", "data": round}); got["type"] != "ok" {
			t.Fatalf("round %d: the one that is left: %v", round, got)
		}
		for _, g := range append(racers, ann) {
			if g != last && g.code() != 4409 {
				t.Errorf("round %d: a loser was closed with %d, want 4409", round, g.code())
			}
		}
		ann = last
	}
	if got, want := carl.comings(names), []string{"joined ann"}; !slices.Equal(got, want) {
		t.Errorf("Carl saw %q, want %q", got, want)
	}
}
