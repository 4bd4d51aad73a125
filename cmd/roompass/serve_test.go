package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms/redistest"
)

func TestServeRefusesWhatCannotBeMeant(t *testing.T) {
	noKey := filepath.Join(t.TempDir(), "none.pem")
	for _, test := range []struct {
		args string
		says string
	}{
		{"serve", "roompass keygen"},
		{"serve --key " + noKey, "--key"},
		{"serve --dev --token-ttl 4m", "--token-refresh 4m0s must be less than --token-ttl 4m0s"},
		{"serve --dev --token-ttl 500ms --token-refresh 100ms", "--token-ttl"},
		{"serve --dev --token-refresh 0s", "--token-refresh must be above zero"},
		{"serve --dev --verifier-skew 1m", "--verifier-skew"},
		{"serve --dev --linger 0s", "--linger"},
		{"serve --dev --drain=-1s", "--drain"},
		{"serve --dev --signers=-1", "--signers"},
		{"serve --dev --listen 0.0.0.0:0", "--insecure-open"},
		{"serve --dev --listen :0", "--insecure-open"},
		{"serve --dev --listen nonsense", "--listen"},
		{"serve --dev --alg ES256", "--key"},
		{"serve --dev --alg none", "--alg"},
		{"serve --dev --access webhook", "--access"},
		{"serve --dev --origin app.example.com", "https://app.example.com"},
		{"serve --dev --trusted-proxy proxy.example", "--trusted-proxy \"proxy.example\" is neither an address nor a network"},
		{"serve --dev --trusted-proxy 10.0.0.7,10.0.0.0/33", "--trusted-proxy \"10.0.0.0/33\""},
		{"serve --dev --max-rooms 0", "--max-rooms 0"},
		{"serve --dev --max-message-bytes 0", "--max-message-bytes 0"},
		{"serve --dev --max-message-bytes 100", "--max-data-bytes"},
		{"serve --dev --max-data-bytes=-1", "--max-data-bytes"},
		{"serve --dev --message-rate=-1", "--message-rate"},
		{"serve --dev --message-burst=-1", "--message-burst"},
		{"serve --dev --max-unauthenticated=-1", "--max-unauthenticated"},
		{"serve --dev --auth-timeout=-1s", "--auth-timeout"},
		{"serve --dev --ping=-1s", "--ping"},
		{"serve --dev --pong=-1s", "--pong"},
		{"serve --dev --queue-bytes=-1", "--queue-bytes"},
		{"serve --dev --log-format xml", "--log-format"},
		{"serve --dev --lease 1ms", "--lease"},
		{"serve --dev --redis-prefix {", "--redis-prefix"},
		{"serve --dev --admin-key tooshort", "--admin-key"},
		{"serve --dev --admin-key read:tooshort", "shorter than 16"},
		{"serve --dev --admin-key @/no/such/file", "--admin-key"},
		{"serve --dev --admin-key read:@/no/such/file", "--admin-key"},
		{"serve --dev --admin-key 0123456789abcdef --admin-key read:0123456789abcdef", "twice"},
		{"serve --dev --redis @/no/such/file", "--redis"},
		{"serve --dev --redis redis://127.0.0.1:1 --redis-ca /no/such/file", "--redis-ca"},
		{"serve --dev --redis redis://:secret@127.0.0.1:1", "redis doesn't answer"},
		{"serve --dev --redis nonsense", "not a Redis URL"},
	} {
		t.Run(test.args, func(t *testing.T) {
			got := roompass(t, "", strings.Fields(test.args)...)
			code := exitUsage
			if strings.HasSuffix(test.args, "nonsense") || strings.HasSuffix(test.args, "secret@127.0.0.1:1") {
				code = exitFailed // only the system knows that it can't
			}
			got.wantsOneSentence(t, code, test.says)
		})
	}
}

// served is a gateway that runs until its test ends, or stop is called.
type served struct {
	url      string
	operator string // its URL too
	greeting string // what it printed at its start
	stop     func() outcome
}

// loopback is an address that nobody listens on.
func loopback(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", redistest.FreePort(t))
}

var greeted = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

func serveDev(t *testing.T, args ...string) served {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	stdout, out := io.Pipe()
	stderr := &strings.Builder{}
	operator := loopback(t)
	var code int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		args := append([]string{"serve", "--dev", "--listen", "127.0.0.1:0", "--admin-listen", operator}, args...)
		code = run(ctx, args, strings.NewReader(""), out, stderr)
		out.Close()
	}()
	t.Cleanup(func() { interrupt(); <-ended })

	greeting := make([]byte, 4096)
	n, err := stdout.Read(greeting)
	if err != nil {
		<-ended
		t.Fatalf("serve ended with %d: %s", code, stderr)
	}
	s := served{
		url:      greeted.FindString(string(greeting[:n])),
		operator: "http://" + operator,
		greeting: string(greeting[:n]),
		stop: func() outcome {
			interrupt()
			<-ended
			return outcome{code: code, out: string(greeting[:n]), stderr: stderr.String()}
		},
	}
	eventually(t, "the gateway is ready", func() bool { return s.readiness(t) == http.StatusOK })
	return s
}

func TestServeDevGreetsServesAndDrains(t *testing.T) {
	gateway := serveDev(t)
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/demo.js": "text/javascript; charset=utf-8", "/client.js": "text/javascript; charset=utf-8",
		"/favicon.svg": "image/svg+xml", "/.well-known/jwks.json": "application/jwk-set+json",
	} {
		response, err := http.Get(gateway.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != want {
			t.Errorf("%s: %d, %s; want %s", path, response.StatusCode, got, want)
		}
	}

	watching, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	watched := make(chan outcome)
	joined := make(chan struct{})
	go func() {
		out := &firstJoined{joined: joined}
		stderr := &strings.Builder{}
		code := run(watching, []string{"watch", "--url", "ws" + strings.TrimPrefix(gateway.url, "http") + "/ws", "--room", "lobby"}, strings.NewReader(""), out, stderr)
		watched <- outcome{code: code, out: out.text.String(), stderr: stderr.String()}
	}()
	<-joined

	got := gateway.stop()
	if got.code != exitDone {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	for _, text := range []string{"/?room=lobby", "roompass watch --url ws://127.0.0.1:"} {
		if !strings.Contains(got.out, text) {
			t.Errorf("the greeting %q lacks %q", got.out, text)
		}
	}
	for _, text := range []string{"msg=draining", "msg=stopped"} {
		if !strings.Contains(got.stderr, text) {
			t.Errorf("the log lacks %q:\n%s", text, got.stderr)
		}
	}
	client := <-watched
	if client.code != exitFailed || !strings.Contains(client.out, `"type":"draining"`) || !strings.Contains(client.stderr, "1012") {
		t.Errorf("the client ended with %d:\n%s%s", client.code, client.out, client.stderr)
	}
	if strings.Contains(got.stderr, "eyJ") {
		t.Error("a token is in the log")
	}
}

// firstJoined is an output that tells when a join's reply is in it.
type firstJoined struct {
	text   strings.Builder
	joined chan struct{}
	told   bool
}

func (w *firstJoined) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), `"type":"joined"`) {
		w.told = true
		close(w.joined)
	}
	return len(p), nil
}

func TestServeTakesItsFlagsFromTheFile(t *testing.T) {
	config := filepath.Join(t.TempDir(), "roompass.yaml")
	if err := os.WriteFile(config, []byte("token-ttl: 20s\ntoken-refresh: 10s\nlog-format: json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := serveDev(t, "--config", config).stop()
	if !strings.Contains(got.stderr, `"token_ttl":20000000000`) {
		t.Errorf("log:\n%s", got.stderr)
	}
}

// look asks the operator's listener.
func (s served) look(t *testing.T, path string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Get(s.operator + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (s served) readiness(t *testing.T) int {
	t.Helper()
	code, _ := s.look(t, "/readyz")
	return code
}

func (s served) counts(t *testing.T, line string) bool {
	t.Helper()
	_, text := s.look(t, "/metrics")
	return slices.Contains(strings.Split(text, "\n"), line)
}

// measure reads a metric; -1: it isn't there.
func (s served) measure(t *testing.T, name string) float64 {
	t.Helper()
	_, text := s.look(t, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return -1
}
