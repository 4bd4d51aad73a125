package access

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var _ Reviewer = (*Webhook)(nil)

func TestWebhookIsMadeOfWhatIsNeededOnly(t *testing.T) {
	good := secretOf('a')
	bytesOf := func(n int) string { return secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, test := range map[string]struct {
		cfg  WebhookConfig
		says string // "": nothing is wrong
	}{
		"what is needed":      {WebhookConfig{URL: "http://127.0.0.1:1/x?y=z", Secrets: []string{good}}, ""},
		"secrets of any size": {WebhookConfig{URL: "https://app.example", Secrets: []string{bytesOf(24), bytesOf(64)}}, ""},
		"no address":          {WebhookConfig{Secrets: []string{good}}, "not an address"},
		"another scheme":      {WebhookConfig{URL: "ftp://app.example", Secrets: []string{good}}, "write https://"},
		"no scheme":           {WebhookConfig{URL: "app.example/x", Secrets: []string{good}}, "write https://"},
		"no host":             {WebhookConfig{URL: "https:///x", Secrets: []string{good}}, "write https://"},
		"not a URL":           {WebhookConfig{URL: "https://app.example/%zz?key=hushhush", Secrets: []string{good}}, "not an address"},
		"a user":              {WebhookConfig{URL: "https://u:hushhush@app.example", Secrets: []string{good}}, "has a user in it"},
		"no secret":           {WebhookConfig{URL: "https://app.example"}, "no secret"},
		"an empty secret":     {WebhookConfig{URL: "https://app.example", Secrets: []string{""}}, "secret 1 of 1"},
		"no prefix":           {WebhookConfig{URL: "https://app.example", Secrets: []string{good, good[len(secretPrefix):]}}, "secret 2 of 2"},
		"a short secret":      {WebhookConfig{URL: "https://app.example", Secrets: []string{bytesOf(23)}}, "24 to 64"},
		"a long secret":       {WebhookConfig{URL: "https://app.example", Secrets: []string{bytesOf(65)}}, "24 to 64"},
		"not base64":          {WebhookConfig{URL: "https://app.example", Secrets: []string{"whsec_hushhush_hushhush_hushhush_hushhush"}}, "in base64"},
		"another header":      {WebhookConfig{URL: "https://app.example", Secrets: []string{good}, Headers: []string{"cookie", "x-forwarded-for"}}, `"X-Forwarded-For"`},
	} {
		w, err := NewWebhook(test.cfg)
		if err == nil {
			w.Close()
		}
		if (err == nil) != (test.says == "") || err != nil && (!strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v; want it to say %q, and no secret", name, err, test.says)
		}
	}
}

func TestWebhookThatIsToldNothingHasLimits(t *testing.T) {
	began := time.Now()
	w := newWebhook(t, func(*WebhookConfig) {})
	if w.MaxStale() != 15*time.Minute || w.config.Timeout != 3*time.Second || w.config.DataBytes != 4096 || w.config.Concurrency != 128 {
		t.Errorf("%+v", w.config)
	}
	if at := w.Answered(); at.Before(began) || at.After(time.Now()) {
		t.Errorf("began to ask at %v", at)
	}
	if got := newWebhook(t, func(c *WebhookConfig) { c.MaxStale = time.Hour }).MaxStale(); got != time.Hour {
		t.Errorf("%v", got)
	}
	if h := w.Headers(); len(h) != 0 {
		t.Errorf("shows %v", h)
	}
}

func TestQuestionsGoOverTheConnectionOfTheLast(t *testing.T) {
	var remotes []string
	w := asksServer(t, func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr) // one after the other
		if len(remotes) == 2 {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "{}")
	}, nil)
	for range 3 {
		_, _ = w.Admit(t.Context(), refreshes())
	}
	if diff := cmp.Diff([]string{remotes[0], remotes[0], remotes[0]}, remotes); diff != "" {
		t.Error(diff)
	}
}

// CWE-918: what the app says doesn't choose where credentials go.
func TestWebhookFollowsNoRedirect(t *testing.T) {
	var called atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called.Store(true)
		_, _ = io.WriteString(w, `{"kick_users":true}`)
	}))
	defer other.Close()
	for _, code := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, to := range []string{other.URL + "/hush", "/", "", "http://[hush", "//hush:99999999/"} {
			var asked atomic.Int32
			w := asksServer(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", to)
				w.Header().Set("Set-Cookie", "hush=1")
				w.WriteHeader(code)
			}, nil)
			_, err := w.Admit(t.Context(), refreshes())
			if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "redirects") || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), other.URL) {
				t.Errorf("%d to %q: %v", code, to, err)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("%d to %q: asked %d times", code, to, n)
			}
		}
	}
	if called.Load() {
		t.Error("the other address was called")
	}
}

func TestWebhookKeepsNoCookies(t *testing.T) {
	w := asksServer(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 {
			t.Errorf("%v", r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1"})
		_, _ = io.WriteString(w, "{}")
	}, nil)
	for range 2 {
		if _, err := w.Admit(t.Context(), refreshes()); err != nil {
			t.Error(err)
		}
	}
}

// drips writes a byte now and then until the peer has gone.
func drips(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			w.(http.Flusher).Flush()
		}
	}
}

// The app is the operator's, and may be broken, or another's since yesterday.
func TestAHostileServerIsNoAnswer(t *testing.T) {
	large := bytes.Repeat([]byte("{"), 10<<20)
	for name, test := range map[string]struct {
		serve http.HandlerFunc
		asked int32
		says  string
	}{
		"a page":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!doctype html>") }, 1, "not a JSON object"},
		"nothing":       {func(http.ResponseWriter, *http.Request) {}, 1, "not a JSON object"},
		"no content":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 1, "status 204"},
		"10 MB":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, 1, "longer than 65536 bytes"},
		"a slow body":   {drips, attempts, "takes too long"},
		"slow to begin": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, attempts, "takes too long"},
		"a slow refusal": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			drips(w, r)
		}, attempts, "status 503"},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 64 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 8<<10))
			}
			_, _ = io.WriteString(w, "{}")
		}, attempts, "the connection broke, or"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{}")
		}, attempts, "the connection broke, or"},
		"it panics": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, attempts, "the connection broke, or"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			w := asksServer(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				// A server reads on, and so sees who leaves, when it has the body.
				_, _ = io.Copy(io.Discard, r.Body)
				test.serve(w, r)
			}, func(c *WebhookConfig) {
				if strings.Contains(name, "slow") {
					c.Timeout = 300 * time.Millisecond
				}
			})
			_, err := w.Admit(t.Context(), refreshes())
			if !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v; want it to say %q", err, test.says)
			}
			if n := asked.Load(); n != test.asked {
				t.Errorf("asked %d times, want %d", n, test.asked)
			}
		})
	}
}

func TestWithoutTheServerThereIsNoAnswer(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	encrypted := httptest.NewTLSServer(nil)
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	defer encrypted.Close()
	for address, says := range map[string]string{down.URL: "refused", encrypted.URL: "certificate"} {
		w := newWebhook(t, func(c *WebhookConfig) { c.URL = address })
		if _, err := w.Admit(t.Context(), refreshes()); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want it to say %q", err, says)
		}
	}
}

// echo answers with what it was asked in place of HTTP.
func echo(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(c, r.Body)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

func TestNothingSecretGetsIntoErrorsAndLogs(t *testing.T) {
	var out bytes.Buffer // the handler's lock guards it
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secret := secretOf('a')
	r := refreshes()
	r.Credential, r.Header = "hush-credential", http.Header{"Cookie": {"sid=hush-cookie"}, "Authorization": {"Bearer hush-bearer"}}
	repeating := func(code int, format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Location", "/"+strings.ReplaceAll(string(body), `"`, ""))
			w.WriteHeader(code)
			_, _ = fmt.Fprintf(w, format, body)
		}
	}
	addresses := []string{echo(t)}
	for code, format := range map[int]string{200: "%s", 201: "%s", 302: "%s", 400: "%s", 401: "%s", 403: "%s", 503: "%s"} {
		s := httptest.NewServer(repeating(code, format))
		defer s.Close()
		addresses = append(addresses, s.URL)
	}
	for _, format := range []string{`{"user_id":%s}`, `{"user_id":"hush-user"}`, `{"claims":{"hush-claim":1,"hush-claim":%s}}`, `{"data":[%s,"` + strings.Repeat("hush", 2000) + `"]}`} {
		s := httptest.NewServer(repeating(200, format))
		defer s.Close()
		addresses = append(addresses, s.URL)
	}
	var all sync.WaitGroup
	for _, address := range addresses {
		w := newWebhook(t, func(c *WebhookConfig) {
			c.URL, c.Logger, c.Headers, c.Secrets = address+"/ask?key=hush-query", log, []string{"Cookie", "Authorization"}, []string{secret}
		})
		all.Go(func() {
			for range circuitFailures + 1 {
				_, err := w.Admit(t.Context(), r)
				log.Info("asked", "request", r, "error", err)
				if why := DenialReason(err); why != "" {
					log.Info("denied", "why", why)
				}
			}
		})
	}
	all.Wait()
	text := out.String()
	for _, hidden := range []string{"hush", secret, secret[len(secretPrefix):], strings.Repeat("a", 32), "v1,", "msg_"} {
		if i := strings.Index(text, hidden); i >= 0 {
			t.Errorf("%q is in the log: …%s", hidden, text[max(0, i-200):min(len(text), i+50)])
		}
	}
	if !strings.Contains(text, "isn't asked for some seconds") || !strings.Contains(text, "/ask") {
		t.Errorf("the log doesn't say that the app isn't asked, or which: %s", text)
	}
}
