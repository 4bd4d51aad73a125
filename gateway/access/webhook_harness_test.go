package access

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// secretOf is a webhook's secret of 32 equal bytes.
func secretOf(b byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

// A fakeApp answers in place of the network, so that a bubble's clock runs. It
// records what it is asked.
type fakeApp struct {
	answer func(n int, r *http.Request) (*http.Response, error) // n is from 1

	mu    sync.Mutex // guards asked
	asked []sent
}

// A sent is a request as it came.
type sent struct {
	at     time.Time
	header http.Header
	body   []byte
}

// says is an app that answers so every time.
func says(code int, body string, header ...string) *fakeApp {
	return &fakeApp{answer: func(int, *http.Request) (*http.Response, error) { return reply(code, body, header...), nil }}
}

// saysInTurn is an app that answers with one status after the other, and then
// with the last of them.
func saysInTurn(codes ...int) *fakeApp {
	return &fakeApp{answer: func(n int, _ *http.Request) (*http.Response, error) {
		return reply(codes[min(n, len(codes))-1], "{}"), nil
	}}
}

// busy is an app that wants to be left alone for longer than anybody waits.
func busy() *fakeApp { return says(503, "", "Retry-After", "60") }

// hangs is an app that doesn't answer.
func hangs() *fakeApp {
	return &fakeApp{answer: func(_ int, r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}}
}

func reply(code int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// RoundTrip implements [http.RoundTripper].
func (f *fakeApp) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.asked = append(f.asked, sent{time.Now(), r.Header, body})
	n := len(f.asked)
	f.mu.Unlock()
	return f.answer(n, r)
}

func (f *fakeApp) requests() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]sent(nil), f.asked...)
}

// asks is a webhook to f.
func asks(t testing.TB, f *fakeApp, change func(*WebhookConfig)) *Webhook {
	t.Helper()
	return newWebhook(t, func(c *WebhookConfig) {
		c.Transport = f
		if change != nil {
			change(c)
		}
	})
}

// asksServer is a webhook to a server that answers over a socket.
func asksServer(t testing.TB, h http.HandlerFunc, change func(*WebhookConfig)) *Webhook {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newWebhook(t, func(c *WebhookConfig) {
		c.URL = s.URL
		if change != nil {
			change(c)
		}
	})
}

func newWebhook(t testing.TB, change func(*WebhookConfig)) *Webhook {
	t.Helper()
	cfg := WebhookConfig{URL: "https://app.example/roompass", Secrets: []string{secretOf('a')}}
	change(&cfg)
	w, err := NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// refreshes is the question whether ann may stay in the lobby.
func refreshes() Request {
	return Request{Reason: Refresh, Person: Person{User: "ann"}, Room: "lobby", Session: "s1", Credential: "ticket"}
}

// anotherRoom is refreshes for other rooms, so that none shares the other's answer.
func anotherRoom(n int) Request {
	r := refreshes()
	r.Room = strings.Repeat("x", n+1)
	return r
}

// told is the data of a request's body.
func (s sent) told(t testing.TB) map[string]any {
	t.Helper()
	var body struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}
	if err := json.Unmarshal(s.body, &body); err != nil {
		t.Fatalf("%v: %s", err, s.body)
	}
	if body.Type != "roompass.access" || body.Timestamp.IsZero() || body.Timestamp.Location() != time.UTC {
		t.Errorf("a message of type %q at %v", body.Type, body.Timestamp)
	}
	return body.Data
}
