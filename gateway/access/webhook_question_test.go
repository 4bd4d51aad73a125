package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestTheAppIsToldWhatThereIs(t *testing.T) {
	type object = map[string]any
	upgrade := http.Header{
		"Cookie": {"sid=1", "theme=dark"}, "Authorization": {"Basic YTpi"}, "Origin": {"https://app.example"},
	}
	for name, test := range map[string]struct {
		request Request
		headers []string
		want    object
	}{
		"who is it":     {Request{Reason: Connect, Credential: "ticket", Address: "192.0.2.1"}, nil, object{"reason": "connect", "credential": "ticket", "address": "192.0.2.1"}},
		"without any":   {Request{Reason: Connect}, nil, object{"reason": "connect"}},
		"of a room":     {refreshes(), nil, object{"reason": "refresh", "room": "lobby", "user": "ann", "session": "s1", "credential": "ticket"}},
		"after resume":  {Request{Reason: Resume, Person: Person{User: "7"}, Room: "lobby", Session: "s1"}, nil, object{"reason": "resume", "room": "lobby", "user": "7", "session": "s1"}},
		"anonymous":     {Request{Reason: Token, Room: "lobby"}, nil, object{"reason": "token", "room": "lobby", "user": nil}},
		"no header":     {Request{Reason: Connect, Header: upgrade}, nil, object{"reason": "connect"}},
		"its cookies":   {Request{Reason: Connect, Header: upgrade}, []string{"cookie"}, object{"reason": "connect", "headers": object{"cookie": "sid=1; theme=dark"}}},
		"both headers":  {Request{Reason: Connect, Header: upgrade}, []string{"AUTHORIZATION", "Cookie", "cookie"}, object{"reason": "connect", "headers": object{"cookie": "sid=1; theme=dark", "authorization": "Basic YTpi"}}},
		"none was sent": {Request{Reason: Connect, Header: http.Header{"Origin": {"x"}}}, []string{"cookie"}, object{"reason": "connect"}},
		"odd names":     {Request{Reason: Join, Person: Person{User: `"<ü`}, Room: "a/b\u2028"}, nil, object{"reason": "join", "room": "a/b\u2028", "user": `"<ü`}},
	} {
		t.Run(name, func(t *testing.T) {
			app := says(200, "{}")
			w := asks(t, app, func(c *WebhookConfig) { c.Headers = test.headers })
			var err error
			if test.request.Reason == Connect {
				_, err = w.Authenticate(t.Context(), test.request)
			} else {
				_, err = w.Admit(t.Context(), test.request)
			}
			if err != nil {
				t.Fatal(err)
			}
			sent := app.requests()[0]
			if diff := cmp.Diff(test.want, sent.told(t)); diff != "" {
				t.Error(diff)
			}
			for header, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "roompass", "Cookie": "", "Authorization": ""} {
				if got := sent.header.Get(header); got != want {
					t.Errorf("%s: %q", header, got)
				}
			}
		})
	}
}

func TestHeadersThatAreShownHaveCanonicalNames(t *testing.T) {
	w := asks(t, says(200, "{}"), func(c *WebhookConfig) { c.Headers = []string{"cookie", "authorization", "COOKIE"} })
	if diff := cmp.Diff([]string{"Authorization", "Cookie"}, w.Headers()); diff != "" {
		t.Error(diff)
	}
}

// The library says that a signature holds, and the specification, read by hand,
// says the same.
func TestEachRequestIsSignedByEachSecret(t *testing.T) {
	app := says(200, "{}")
	w := asks(t, app, func(c *WebhookConfig) { c.Secrets = []string{secretOf('a'), secretOf('b')} })
	if _, err := w.Admit(t.Context(), refreshes()); err != nil {
		t.Fatal(err)
	}
	sent := app.requests()[0]
	id, at := sent.header.Get("webhook-id"), sent.header.Get("webhook-timestamp")
	if !regexp.MustCompile(`^msg_[A-Z2-7]{26}$`).MatchString(id) {
		t.Errorf("id %q", id)
	}
	var want []string
	for _, b := range []byte("ab") {
		verifier, err := standardwebhooks.NewWebhook(secretOf(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(sent.body, sent.header); err != nil {
			t.Errorf("by secret %c: %v", b, err)
		}
		mac := hmac.New(sha256.New, []byte(strings.Repeat(string(b), 32)))
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, sent.body)
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if got := sent.header.Get("webhook-signature"); got != strings.Join(want, " ") {
		t.Errorf("signature %q, want %q", got, want)
	}
	stranger, err := standardwebhooks.NewWebhook(secretOf('c'))
	if err != nil {
		t.Fatal(err)
	}
	if stranger.Verify(sent.body, sent.header) == nil {
		t.Error("it holds by a secret that we don't have")
	}
}

func TestARetryIsTheSameMessageAtANewTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verifier, err := standardwebhooks.NewWebhook(secretOf('a'))
		if err != nil {
			t.Fatal(err)
		}
		app := &fakeApp{}
		app.answer = func(n int, r *http.Request) (*http.Response, error) {
			if err := verifier.Verify(app.requests()[n-1].body, r.Header); err != nil {
				t.Errorf("attempt %d: %v", n, err)
			}
			if n < 3 {
				return reply(503, "", "Retry-After", "2"), nil
			}
			return reply(200, "{}"), nil
		}
		w := asks(t, app, nil)
		if _, err := w.Admit(t.Context(), refreshes()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Admit(t.Context(), refreshes()); err != nil {
			t.Fatal(err)
		}
		all := app.requests()
		if len(all) != 4 {
			t.Fatalf("asked %d times", len(all))
		}
		for i, sent := range all {
			if got, want := sent.header.Get("webhook-timestamp"), fmt.Sprint(sent.at.Unix()); got != want {
				t.Errorf("attempt %d: timestamp %s, want %s", i+1, got, want)
			}
			same := i < 3
			if (sent.header.Get("webhook-id") == all[0].header.Get("webhook-id")) != same || (string(sent.body) == string(all[0].body)) != same {
				t.Errorf("request %d: id %s, body %s", i+1, sent.header.Get("webhook-id"), sent.body)
			}
		}
		if all[2].at.Sub(all[0].at) < 4*time.Second {
			t.Errorf("the timestamps can't differ: %v", all[2].at.Sub(all[0].at))
		}
	})
}

func TestACredentialThatCannotBeShownIsNotAskedAbout(t *testing.T) {
	app := says(200, `{"user_id":"ann"}`)
	w := asks(t, app, nil)
	for credential, want := range map[string]Denial{
		"\xff": {"it is not UTF-8"}, strings.Repeat("x", longestCredential+1): {"it is longer than 16384 bytes"},
	} {
		if _, err := w.Authenticate(t.Context(), Request{Reason: Connect, Credential: credential}); err != want {
			t.Errorf("%.9q: %v", credential, err)
		}
	}
	if n := len(app.requests()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
