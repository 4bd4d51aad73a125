package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// An asked app says who may enter: whose credential is login-NAME is NAME. It trusts
// none but the gateway.
type askedApp struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	kick   map[string]bool
	banned map[string]bool
	down   bool
	hangs  chan struct{} // the next question about a resume is answered when it is closed; nil: at once
	asked  []question
}

// A question is what the app is asked.
type question struct {
	Type string
	Data struct {
		Reason, Room, User, Session, Credential, Address string
		Headers                                          map[string]string
	}
}

func startApp(t *testing.T) *askedApp {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	a := &askedApp{t: t, kick: map[string]bool{}, banned: map[string]bool{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("a question that isn't the gateway's: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var q question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked = append(a.asked, q)
		if hangs := a.hangs; hangs != nil && q.Data.Reason == "resume" {
			a.hangs = nil
			a.mu.Unlock()
			<-hangs
			a.mu.Lock()
		}
		user, known := strings.CutPrefix(q.Data.Credential, "login-")
		if q.Data.Credential == "" {
			user, known = q.Data.User, q.Data.User != ""
		}
		switch {
		case a.down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case !known:
			w.WriteHeader(http.StatusUnauthorized)
		case a.banned[user]:
			w.WriteHeader(http.StatusForbidden)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{
				"user_id": user, "kick_users": a.kick[user], "claims": map[string]any{"plan": "gold"}, "data": map[string]any{"name": user},
			})
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *askedApp) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// reasons counts the questions by reason, of those asked since the last call.
func (a *askedApp) reasons() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]int{}
	for _, q := range a.asked {
		all[q.Data.Reason]++
	}
	a.asked = nil
	return all
}

func (a *askedApp) flags(t *testing.T) []string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--access", "webhook", "--access-webhook", a.URL + "/roompass", "--access-webhook-secret", "@" + secret, "--admin-key", operatorKey}
}

func TestTheAppDecides(t *testing.T) {
	t.Parallel()
	app := startApp(t)
	app.set(func() { app.kick["ann"] = true })
	c := startCluster(t, 1, append(app.flags(t), "--token-ttl", "4s", "--token-refresh", "2s")...)

	stranger := visit(t, c.pods[0])
	stranger.ask(map[string]any{"type": "auth", "credential": "nobody"})
	eventually(t, "a stranger is out", func() bool { return stranger.code() == 4401 })
	ann, joined := enter(t, c.pods[0], "login-ann", "r")
	bob, _ := enter(t, c.pods[1], "login-bob", "r")
	if got := ann.all("welcome")[0]["user"]; got != "ann" {
		t.Errorf("she is %v", got)
	}
	if kick, _ := rights(t, joined["token"].(map[string]any)["token"]); !kick {
		t.Error("she may not kick")
	}
	if got := list(joined["members"])[0]["data"].(map[string]any)["name"]; got != "ann" {
		t.Errorf("others see %v", got)
	}
	eventually(t, "the app is asked before a token", func() bool { return app.reasons()["refresh"] > 0 })

	// What the app takes is gone by the next token, and what it forbids is over.
	app.set(func() { app.kick["ann"] = false })
	eventually(t, "the right is gone", func() bool {
		tokens := ann.all("token")
		if len(tokens) == 0 {
			return false
		}
		kick, _ := rights(t, tokens[len(tokens)-1]["token"])
		return !kick
	})
	app.set(func() { app.banned["bob"] = true })
	eventually(t, "Bob is out", func() bool { return bob.code() == 4403 })
	if got := bob.all("removed"); len(got) != 1 || got[0]["reason"] != "revoked" {
		t.Errorf("Bob is told %v", got)
	}
	if code, _ := tokenOf(t, c.pods[0], "login-bob", "r"); code != 403 {
		t.Errorf("Bob gets a token: %d", code)
	}

	// The operator is above an app that says yes.
	if code, answer := c.pods[1].operate(t, operatorKey, "POST", "/v1/revocations", `{"user":"ann","for":"1h"}`); code != 200 {
		t.Fatalf("%d %v", code, answer)
	}
	eventually(t, "Ann is out", func() bool { return ann.code() == 4403 })
	if code, _ := tokenOf(t, c.pods[0], "login-ann", "r"); code != 403 {
		t.Errorf("Ann gets a token: %d", code)
	}
}

// The app goes away, and then the pod. Whoever was in stays in, with the rights that
// they had, on another pod too; nobody new comes in.
func TestAnAppThatIsAwayCutsNobodyOff(t *testing.T) {
	t.Parallel()
	app := startApp(t)
	app.set(func() { app.kick["ann"] = true })
	c := startCluster(t, 1, app.flags(t)...)
	ann, _ := enter(t, c.pods[0], "login-ann", "r")
	bob, _ := enter(t, c.pods[1], "login-bob", "r")
	app.set(func() { app.down = true })
	ann.ws.CloseNow()
	again, welcome := ann.comeBack(c.pods[1], nil)
	rooms := list(welcome["rooms"])
	if len(rooms) != 1 {
		t.Fatalf("she comes back to %v", welcome)
	}
	kick, hub := rights(t, rooms[0]["token"].(map[string]any)["token"])
	if !kick || !hub {
		t.Errorf("her token says kick %v, hub %v", kick, hub)
	}
	if got := again.ask(map[string]any{"type": "join", "room": "another"}); got["code"] != "unavailable" {
		t.Errorf("she enters another room: %v", got)
	}
	newcomer := visit(t, c.pods[1])
	newcomer.ask(map[string]any{"type": "auth", "credential": "login-carl"})
	eventually(t, "a newcomer is asked to come later", func() bool { return newcomer.code() == 1013 })

	// When the app is back it is asked by itself, and what it says now counts.
	app.set(func() { app.down, app.kick["ann"] = false, false })
	eventually(t, "the right is gone", func() bool {
		tokens := again.all("token")
		if len(tokens) == 0 {
			return false
		}
		kick, _ := rights(t, tokens[len(tokens)-1]["token"])
		return !kick
	})
	if len(bob.all("member_left"))+len(bob.all("member_joined")) > 0 {
		t.Errorf("Bob saw %v", bob.all(""))
	}
}

func TestTheAppIsShownTheCookie(t *testing.T) {
	t.Parallel()
	app := startApp(t)
	const origin = "https://app.example"
	pod := serveDev(t, append(app.flags(t), "--access-webhook-header", "cookie", "--access-cookie", "login", "--origin", origin)...)
	open := func(from string) (*websocket.Conn, error) {
		header := http.Header{"Cookie": {"theme=dark; login=login-ann"}}
		if from != "" {
			header.Set("Origin", from)
		}
		ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(pod.url, "http")+"/ws", &websocket.DialOptions{
			Subprotocols: []string{"roompass.v1"}, HTTPHeader: header,
		})
		return ws, err
	}
	for _, from := range []string{"", "https://evil.example", "http://app.example", pod.url, "https://app.example:8443", "null"} {
		if ws, err := open(from); err == nil {
			_ = ws.CloseNow()
			t.Errorf("a page of %q may connect", from)
		}
	}
	ws, err := open(origin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"auth","id":1}`)); err != nil {
		t.Fatal(err)
	}
	_, text, err := ws.Read(t.Context())
	if err != nil || !strings.Contains(string(text), `"user":"ann"`) {
		t.Errorf("%s, %v", text, err)
	}
	app.mu.Lock()
	if len(app.asked) != 1 || app.asked[0].Data.Headers["cookie"] != "theme=dark; login=login-ann" || app.asked[0].Data.Address != "127.0.0.1" {
		t.Errorf("the app was asked %+v", app.asked)
	}
	app.mu.Unlock()
	address := "ws" + strings.TrimPrefix(pod.url, "http") + "/ws"
	got := roompass(t, "", "watch", "--url", address, "--room", "r", "--credential", "nobody")
	got.wantsOneSentence(t, exitFailed, "the gateway refused: 403", "--origin")
	got = roompass(t, "", "watch", "--url", address, "--room", "r", "--credential", "nobody", "--origin", origin)
	got.wantsOneSentence(t, exitFailed, "4401")
	if got = pod.stop(); strings.Contains(got.stderr, "login-ann") || strings.Contains(got.stderr, webhookSecret) {
		t.Errorf("the log has a secret in it:\n%s", got.stderr)
	}
}

func TestWebhookFlagsThatCannotBeMeant(t *testing.T) {
	const url, secret = " --access-webhook http://127.0.0.1:1/x", " --access-webhook-secret " + webhookSecret
	for flags, says := range map[string]string{
		"--access webhook" + secret:                                           "--access-webhook URL",
		"--access webhook" + url:                                              "--access-webhook-secret is missing",
		"--access webhook" + url + " --access-webhook-secret short":           "--access webhook",
		"--access webhook" + secret + " --access-webhook ftp://app.example":   "--access webhook",
		"--access webhook" + url + secret + " --access-max-stale 1m":          "--access-max-stale 1m0s must not be less than --token-refresh 4m0s",
		"--access webhook" + url + secret + " --access-webhook-header Accept": "Cookie",
		"--access webhook" + url + secret + " --access-webhook-header Cookie": "--origin is missing",
		"--access webhook" + url + secret + " --access-cookie login":          "--access-cookie needs --origin",
		"--access webhook" + url + secret + " --access-issuer i":              "--access-issuer is for --access jwt, and --access is webhook",
		"--access-webhook http://127.0.0.1:1/x":                               "--access-webhook is for --access webhook",
		"--access-webhook-secret " + webhookSecret:                            "--access-webhook-secret is for --access webhook",
	} {
		got := roompass(t, "", append([]string{"serve", "--dev"}, strings.Fields(flags)...)...)
		got.wantsOneSentence(t, exitUsage, says)
		if strings.Contains(got.stderr, "MfKQ9r8") {
			t.Errorf("%s: the secret is in the error: %s", flags, got.stderr)
		}
	}
}

// Who gives up on a pod that waits for the app, and comes back to another one, stays there when the app
// has answered.
func TestWhoGaveUpOnASlowAppIsNotTakenOver(t *testing.T) {
	t.Parallel()
	app := startApp(t)
	c := startCluster(t, 1, app.flags(t)...)
	bob, _ := enter(t, c.pods[1], "login-bob", "r")
	ann, joined := enter(t, c.pods[0], "login-ann", "r")
	_ = ann.ws.CloseNow()
	for _, credential := range []string{"", "login-ann"} {
		hangs := make(chan struct{})
		app.set(func() { app.hangs = hangs })
		given := visit(t, c.pods[0])
		welcome := ann.all("welcome")[0]
		auth := map[string]any{"type": "auth", "resume": map[string]any{
			"session": welcome["session"], "secret": welcome["secret"], "rooms": ann.cursors(),
		}}
		if credential != "" {
			auth["credential"] = credential
		}
		text, err := json.Marshal(auth)
		if err != nil {
			t.Fatal(err)
		}
		if err := given.ws.Write(t.Context(), websocket.MessageText, text); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the app is asked", func() bool {
			app.mu.Lock()
			defer app.mu.Unlock()
			return app.hangs == nil
		})
		_ = given.ws.CloseNow()
		back, _ := ann.comeBack(c.pods[1], nil)
		close(hangs)
		time.Sleep(time.Second)
		member := joined["member"]
		bob.ask(map[string]any{"type": "signal", "room": "r", "to": member, "data": credential})
		eventually(t, "it hears Bob", func() bool { return len(back.all("signal")) == 1 || back.ended() != nil })
		if back.ended() != nil {
			t.Errorf("with the credential %q, the newest socket is closed: %v", credential, back.ended())
		}
		_ = back.ws.CloseNow()
	}
}
