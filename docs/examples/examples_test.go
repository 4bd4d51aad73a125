// Package examples_test holds what docs/examples promises to whoever copies it.
package examples_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func secretOf(b byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

var ours, strangers = secretOf('a'), secretOf('b')

// eachWebhook runs a test against each example of an app, at an address.
func eachWebhook(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("go", func(t *testing.T) {
		bin := filepath.Join(t.TempDir(), "app")
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, "./webhook-go")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		test(t, serve(t, exec.Command(bin, "-addr", "127.0.0.1:0")))
	})
	t.Run("node", func(t *testing.T) {
		node, err := exec.LookPath("node")
		if err != nil {
			t.Fatal("node is missing: install Node 20 or later, see https://nodejs.org/")
		}
		test(t, serve(t, exec.Command(node, "webhook-node/server.mjs")))
	})
}

// serve starts an app, and stops it when the test ends. It returns the address
// that the app says it listens on.
func serve(t *testing.T, app *exec.Cmd) (address string) {
	t.Helper()
	app.Env = append(os.Environ(), "ROOMPASS_WEBHOOK_SECRET="+ours, "PORT=0")
	app.Stderr = t.Output()
	out, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	address, said := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !said {
		t.Fatalf("it says %q, %v", line, err)
	}
	return address
}

func asks(t *testing.T, address string, change func(*access.WebhookConfig)) *access.Webhook {
	t.Helper()
	cfg := access.WebhookConfig{URL: address, Secrets: []string{ours}}
	if change != nil {
		change(&cfg)
	}
	w, err := access.NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestTheAppLetsInWhoItKnows(t *testing.T) {
	eachWebhook(t, func(t *testing.T, address string) {
		w := asks(t, address, nil)
		for credential, want := range map[string]access.Person{
			"anns-login": {User: "ann", JoinHub: true, Data: json.RawMessage(`{"name":"ann"}`)},
			"bens-login": {User: "ben", JoinHub: true, Data: json.RawMessage(`{"name":"ben"}`)},
		} {
			got, err := w.Authenticate(t.Context(), access.Request{Reason: access.Connect, Credential: credential, Address: "192.0.2.1"})
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", credential, err, diff)
			}
		}
		for _, credential := range []string{"eves-login", "", "ann"} {
			if _, err := w.Authenticate(t.Context(), access.Request{Reason: access.Connect, Credential: credential}); !errors.Is(err, access.ErrAppRefuses) {
				t.Errorf("%q: %v", credential, err)
			}
		}
	})
}

func TestTheAppSaysWhoMayBeInARoom(t *testing.T) {
	ann := tokens.Grant{User: "ann", JoinHub: true, KickUsers: true} // a moderator
	ben := tokens.Grant{User: "ben", JoinHub: true}
	eachWebhook(t, func(t *testing.T, address string) {
		w := asks(t, address, nil)
		for name, test := range map[string]struct {
			user, credential, room string
			may                    tokens.Grant
			no                     error
		}{
			"a moderator":         {"ann", "anns-login", "lobby", ann, nil},
			"a room for few":      {"ann", "anns-login", "staff", ann, nil},
			"anybody":             {"ben", "bens-login", "lobby", ben, nil},
			"not in that room":    {"ben", "bens-login", "staff", tokens.Grant{}, access.ErrAppForbids},
			"no such room":        {"ann", "anns-login", "attic", tokens.Grant{}, access.ErrAppForbids},
			"a login that ended":  {"ben", "bens-old-login", "lobby", tokens.Grant{}, access.ErrAppRefuses},
			"another's login":     {"ben", "anns-login", "lobby", tokens.Grant{}, access.ErrOtherUser},
			"a resumed session":   {"ann", "", "staff", ann, nil},
			"resumed, not there":  {"ben", "", "staff", tokens.Grant{}, access.ErrAppForbids},
			"an anonymous person": {"", "", "lobby", tokens.Grant{}, access.ErrAppRefuses},
		} {
			for _, why := range []access.Reason{access.Join, access.Resume, access.Refresh, access.Token} {
				got, err := w.Admit(t.Context(), access.Request{
					Reason: why, Person: access.Person{User: test.user}, Room: test.room, Session: "s1", Credential: test.credential,
				})
				if test.no == nil {
					test.may.Room = test.room
				}
				if diff := cmp.Diff(test.may, got.Grant); !errors.Is(err, test.no) || diff != "" {
					t.Errorf("%s: %s: %v\n%s", why, name, err, diff)
				}
			}
		}
	})
}

// promotes changes what was signed.
type promotes struct{ http.RoundTripper }

func (p promotes) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body = bytes.ReplaceAll(body, []byte("ben"), []byte("ann"))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return p.RoundTripper.RoundTrip(r)
}

// None of this is a no: an app and a gateway that don't agree on a secret throw
// nobody out.
func TestTheAppAnswersOnlyWhatRoompassSigned(t *testing.T) {
	shifted := func(d time.Duration) func(*access.WebhookConfig) {
		return func(c *access.WebhookConfig) { c.TimeNow = func() time.Time { return time.Now().Add(d) } }
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	eachWebhook(t, func(t *testing.T, address string) {
		for name, test := range map[string]struct {
			change func(*access.WebhookConfig)
			holds  bool
		}{
			"our secret":             {nil, true},
			"of several secrets one": {func(c *access.WebhookConfig) { c.Secrets = []string{strangers, ours} }, true},
			"some minutes ago":       {shifted(-4 * time.Minute), true},
			"another secret":         {func(c *access.WebhookConfig) { c.Secrets = []string{strangers} }, false},
			"an old timestamp":       {shifted(-6 * time.Minute), false},
			"a timestamp to come":    {shifted(6 * time.Minute), false},
			"a changed body":         {func(c *access.WebhookConfig) { c.Transport = promotes{transport} }, false},
		} {
			_, err := asks(t, address, test.change).Authenticate(t.Context(), access.Request{Reason: access.Connect, Credential: "bens-login"})
			if (err == nil) != test.holds {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && (!errors.Is(err, access.ErrNoAnswer) || !strings.Contains(err.Error(), "status 400")) {
				t.Errorf("%s: %v, want status 400", name, err)
			}
		}
	})
}

func TestTheAppRefusesWhatIsNoQuestion(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(ours)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	defer client.CloseIdleConnections()
	eachWebhook(t, func(t *testing.T, address string) {
		for name, test := range map[string]struct {
			body   string
			signed bool
		}{
			"nothing": {"", true}, "not JSON": {"who?", true}, "null": {"null", true}, "another type": {`{"type":"user.created","data":{}}`, true},
			"no signature": {`{"type":"roompass.access","data":{"reason":"connect","credential":"anns-login"}}`, false},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.signed {
				now := time.Now()
				signature, err := verifier.Sign("msg_1", now, []byte(test.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("webhook-id", "msg_1")
				r.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
				r.Header.Set("webhook-signature", signature)
			}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: status %d", name, response.StatusCode)
			}
		}
	})
}
