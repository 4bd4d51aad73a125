// Package janus_test has Debian's Janus load the configuration in this folder. The SFU plugin isn't a part of it.
package janus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A setting is a line of a configuration, and what a test has in its place. It has to be there once.
type setting struct{ file, is, becomes string }

const (
	mainFile      = "janus.jcfg"
	webSocketFile = "janus.transport.websockets.jcfg"
	pluginFile    = "janus.plugin.sfu.cfg"
)

// A server is a Janus that a test started.
type server struct {
	t       *testing.T
	process *exec.Cmd
	address string

	mu  sync.Mutex
	log strings.Builder
}

// Write implements [io.Writer], for the log.
func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// start starts Janus with the configuration as it is here, but for some settings and on a port of its own, and waits
// until it answers. It ends with the test.
func start(t *testing.T, settings ...setting) *server {
	t.Helper()
	path, err := exec.LookPath("janus")
	if err != nil {
		t.Fatal("janus is missing: make tools installs it")
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, address: listen.Addr().String()}
	_ = listen.Close()
	_, port, _ := net.SplitHostPort(s.address)
	settings = append(settings, setting{webSocketFile, "ws_port = 8188", "ws_port = " + port})
	s.process = exec.Command(path, "--configs-folder", configure(t, settings))
	s.process.Dir = t.TempDir() // where it falls over, its core does
	s.process.Stdout, s.process.Stderr = s, s
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.process.Wait() }()
	t.Cleanup(func() {
		_ = s.process.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("Janus said:\n%s", s.said())
		}
	})
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if ws, err := s.dial(); err == nil {
			_ = ws.CloseNow()
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Janus has ended: %v", err)
		default:
		}
		if time.Now().After(late) {
			t.Fatal("Janus doesn't answer")
		}
	}
}

// configure writes the configuration into a folder of the test's.
func configure(t *testing.T, settings []setting) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{mainFile, webSocketFile, pluginFile} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		for _, s := range settings {
			if s.file != name {
				continue
			}
			if n := strings.Count(text, s.is); n != 1 {
				t.Fatalf("%s has %q %d times, want it once", name, s.is, n)
			}
			text = strings.Replace(text, s.is, s.becomes, 1)
		}
		names := []string{name}
		if name == pluginFile {
			names = append(names, "janus.plugin.echotest.cfg") // for where a test has Janus load that
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func (s *server) dial() (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.address, &websocket.DialOptions{Subprotocols: []string{"janus-protocol"}})
	if err == nil && ws.Subprotocol() != "janus-protocol" {
		_ = ws.CloseNow()
		err = errors.New("it speaks another subprotocol")
	}
	return ws, err
}

func (s *server) open() *websocket.Conn {
	s.t.Helper()
	ws, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// An answer is what Janus says to a request.
type answer struct {
	Janus   string           `json:"janus"`
	Data    struct{ ID int } `json:"data"`
	Error   struct{ Code int }
	Timeout int `json:"session-timeout"`
	Reclaim int `json:"reclaim-session-timeout"`

	Transports   map[string]any `json:"transports"`
	Plugins      map[string]any `json:"plugins"`
	Loggers      map[string]any `json:"loggers"`
	Dependencies any            `json:"dependencies"`
}

// ask sends a request, the fields of an object, and returns what comes next.
func (s *server) ask(ws *websocket.Conn, fields string) (is answer) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"transaction":"t",`+fields+`}`)); err != nil {
		s.t.Fatal(err)
	}
	_, text, err := ws.Read(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &is); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	return is
}

// Janus goes on with its defaults where it can't read a file, and then it serves everybody everything.
func TestJanusLoadsTheConfiguration(t *testing.T) {
	s := start(t, setting{mainFile, "\tsession_timeout = 60", "\tsession_timeout = 47"})
	is := s.ask(s.open(), `"janus":"info"`)
	if is.Timeout != 47 || is.Reclaim != 0 || is.Dependencies != nil {
		t.Errorf("sessions end after %d s, and %d s without their socket; dependencies: %v", is.Timeout, is.Reclaim, is.Dependencies)
	}
	if got := slices.Collect(maps.Keys(is.Transports)); !slices.Equal(got, []string{"janus.transport.websockets"}) {
		t.Errorf("transports are %v", got)
	}
	if len(is.Plugins) != 0 || len(is.Loggers) != 0 {
		t.Errorf("there are plugins %v and loggers %v", is.Plugins, is.Loggers)
	}
	if !strings.Contains(s.said(), "RTP port range: 20000 -- 40000") {
		t.Error("the range of ports isn't Janus's")
	}
	if wrong := regexp.MustCompile(`(?m)^.*\[(ERR|FATAL)\].*$`).FindString(s.said()); wrong != "" {
		t.Error(wrong)
	}
}

// What listens is the WebSocket, on the address of the configuration: no admin API, and nothing for others.
func TestOnlyTheWebSocketListens(t *testing.T) {
	s := start(t)
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.process.Process.Pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("which files Janus has open can't be seen: %v", err)
	}
	var sockets []string // as /proc/net has them
	for _, fd := range fds {
		name, _ := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(name, "socket:["); ok {
			sockets = append(sockets, strings.TrimSuffix(inode, "]"))
		}
	}
	var listening []string
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && slices.Contains(sockets, f[9]) {
				listening = append(listening, f[1])
			}
		}
	}
	var port int
	_, _ = fmt.Sscanf(s.address, "127.0.0.1:%d", &port)
	if want := []string{fmt.Sprintf("0100007F:%04X", port)}; !slices.Equal(listening, want) {
		t.Errorf("listening are %v, want %v", listening, want)
	}
}

func TestASessionEndsWithItsSocket(t *testing.T) {
	s := start(t)
	first, second := s.open(), s.open()
	id := s.ask(first, `"janus":"create"`).Data.ID
	keepalive := fmt.Sprintf(`"janus":"keepalive","session_id":%d`, id)
	if is := s.ask(first, keepalive); is.Janus != "ack" {
		t.Fatalf("%+v", is)
	}
	_ = first.CloseNow()
	const noSession = 458
	for late := time.Now().Add(10 * time.Second); s.ask(second, keepalive).Error.Code != noSession; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("it is still there")
		}
	}
}

func TestTheSecretKeepsOutWhoHasNone(t *testing.T) {
	s := start(t, setting{mainFile, `#api_secret = "…"`, `api_secret = "hush"`})
	ws := s.open()
	const unauthorized = 403
	if is := s.ask(ws, `"janus":"create"`); is.Error.Code != unauthorized {
		t.Errorf("without: %+v", is)
	}
	if is := s.ask(ws, `"janus":"create","apisecret":"hush"`); is.Janus != "success" {
		t.Errorf("with it: %+v", is)
	}
}

// The plugin's file is in the older format, which Janus reads for its own plugins as well: here for the echo test.
func TestThePluginsFileNamesTheKey(t *testing.T) {
	s := start(t, setting{mainFile, "libjanus_echotest.so,", ""}, setting{mainFile, "debug_level = 4", "debug_level = 6"})
	_, read, _ := strings.Cut(s.said(), "[janus.plugin.echotest.cfg]\n")
	if want := "    general: {\n        auth_key: /etc/janus/public.der\n    }\n"; !strings.HasPrefix(read, want) {
		t.Errorf("Janus read %.200q, want %q", read, want)
	}
}
