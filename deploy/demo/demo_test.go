package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A transcript is what a program says, for several goroutines.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !look(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// roompass builds the command, as make does.
func roompass(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roompass")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/roompass")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return path
}

// running is a demo that is up.
type running struct {
	url       string
	said, log *transcript
	stop      func() error
}

func up(t *testing.T, d demo) running {
	t.Helper()
	d.TokenTTL, d.TokenRefresh = time.Minute, 40*time.Second
	ctx, interrupt := context.WithCancel(t.Context())
	r := running{url: "http://" + d.Listen, said: &transcript{}, log: &transcript{}}
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = d.run(ctx, r.said, r.log)
	}()
	r.stop = func() error { interrupt(); <-ended; return err }
	t.Cleanup(func() {
		_ = r.stop()
		if t.Failed() {
			t.Log(r.said, r.log)
		}
	})
	eventually(t, "it says that it is up", func() bool {
		select {
		case <-ended:
			t.Fatal(err)
		default:
		}
		return strings.Contains(r.said.String(), "is up")
	})
	return r
}

// ready is how many pods say that they are.
func (r running) ready(t *testing.T) (n int) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(r.url + "/demo/pods")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	var list struct{ Pods []struct{ State string } }
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&list) != nil {
		return 0 // from the balancer
	}
	for _, p := range list.Pods {
		if p.State == "ready" {
			n++
		}
	}
	return n
}

// enter opens a socket, and says which pod it is on.
func (r running) enter(t *testing.T) (*websocket.Conn, string, error) {
	ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(r.url, "http")+"/ws", &websocket.DialOptions{Subprotocols: []string{"roompass.v1"}})
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"auth","id":1,"credential":"ann"}`)); err != nil {
		return nil, "", err
	}
	var welcome struct{ Pod string }
	_, text, err := ws.Read(t.Context())
	return ws, welcome.Pod, errors.Join(err, json.Unmarshal(text, &welcome))
}

var process = regexp.MustCompile(`(pod-.) is process (\d+)`)

// processes are those of the pods, as the log has them: all that ever were, the newest last.
func (r running) processes(t *testing.T) (pids []int) {
	t.Helper()
	for _, found := range process.FindAllStringSubmatch(r.log.String(), -1) {
		pid, err := strconv.Atoi(found[2])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func TestPodThatDiesComesBackAndNothingIsLeftAtTheEnd(t *testing.T) {
	binary := roompass(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	d := demo{Roompass: binary, Pods: 2, Listen: freeAddress()}
	r := up(t, d)
	if got := regexp.MustCompile(`http://127\.0\.0\.1:\d+/console`).FindAllString(r.said.String(), -1); len(got) != 2 {
		t.Errorf("it names %d consoles", len(got))
	}
	eventually(t, "both pods are ready", func() bool { return r.ready(t) == 2 })

	// One of them ends as the page has it, the other as a machine does.
	ws, first, err := r.enter(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"crash"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the socket outlived its pod")
	}
	eventually(t, "the other pod takes sockets", func() bool {
		_, pod, err := r.enter(t)
		return err == nil && pod != "" && pod != first
	})
	eventually(t, "the pod that crashed is back", func() bool { return len(r.processes(t)) == 3 && r.ready(t) == 2 })
	if err := syscall.Kill(r.processes(t)[2], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod that was killed is back", func() bool { return len(r.processes(t)) == 4 && r.ready(t) == 2 })
	if !strings.Contains(r.log.String(), first+"   | ") {
		t.Errorf("the log doesn't say which pod says what")
	}

	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, pid := range r.processes(t) {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
	if !free(d.Listen) {
		t.Error("HAProxy still listens")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it left behind %v, %v", left, err)
	}
}

func TestDemoSaysWhatIsInItsWay(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	binary := roompass(t)
	for name, test := range map[string]struct {
		demo
		says string
	}{
		"the address is taken":   {demo{Pods: 2, Listen: taken.Addr().String()}, fmt.Sprintf("--listen 127.0.0.1:%d can't be had", port)},
		"a console's is taken":   {demo{Pods: 2, Listen: freeAddress(), AdminPort: port}, fmt.Sprintf("127.0.0.1:%d, for the console of pod-a", port)},
		"no pods":                {demo{Listen: freeAddress()}, "--pods 0"},
		"nothing is built":       {demo{Pods: 1, Listen: freeAddress(), Roompass: "/no/such/file"}, "make build"},
		"pods don't take a flag": {demo{Pods: 1, Listen: freeAddress(), Roompass: binary, Serve: []string{"--no-such-flag"}}, "pod-a doesn't take its flags"},
	} {
		t.Run(name, func(t *testing.T) {
			test.TokenTTL, test.TokenRefresh = time.Minute, 40*time.Second
			log := &transcript{}
			if err := test.run(t.Context(), log, log); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q; %s", err, test.says, log)
			}
		})
	}
}
