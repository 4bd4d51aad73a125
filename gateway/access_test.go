package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

// appKey signs the app's tokens.
var appKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))

// byApp lets people in by the app's own tokens; change may be nil.
func byApp(t *testing.T, change func(*Config)) func(*Config) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(appKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	control, err := access.NewJWT(t.Context(), access.JWTConfig{KeyFile: file, Issuer: "app", Audience: "rooms"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(control.Close)
	return func(c *Config) {
		c.Access = control
		if change != nil {
			change(c)
		}
	}
}

// login is a token of the app for ann and the lobby, good for five minutes, with changes.
func login(t *testing.T, changes jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "app", "aud": "rooms", "sub": "ann", "exp": time.Now().Add(5 * time.Minute).Unix(), "room_ids": []string{"lobby"},
	}
	maps.Copy(claims, changes)
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(appKey)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims verifies a token of ours.
func (p *pod) claims(token message) tokens.Claims {
	p.t.Helper()
	c, err := p.keys.Verify(token.str("token"), time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// closed waits for the socket's end, and returns its code and reason.
func (c *peer) closed() (CloseCode, string) {
	c.t.Helper()
	for range c.inbox {
	}
	var closed websocket.CloseError
	if err := <-c.ended; !errors.As(err, &closed) {
		c.t.Fatalf("the socket ended with %v", err)
	}
	return CloseCode(closed.Code), closed.Reason
}

func TestTheAppsTokenOpensTheRoomsThatItNames(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, welcome := p.enter(login(t, jwt.MapClaims{"name": "Ann", "kick_users": true, "room_ids": []string{"lobby", "stage"}}))
		if welcome["user"] != "ann" || welcome["session_expires_in"] != float64((12*time.Hour).Milliseconds()) {
			t.Fatalf("welcome is %v", welcome)
		}
		bob, _ := p.enter(login(t, jwt.MapClaims{"sub": "bob", "join_hub": false}))
		for room, data := range map[string]any{"lobby": nil, "stage": message{"role": "singer"}} {
			fields := message{"room": room}
			want := any(map[string]any{"name": "Ann"}) // what the app says of her
			if data != nil {
				fields["data"], want = data, map[string]any{"role": "singer"}
			}
			joined := ann.ask("join", fields)
			if diff := cmp.Diff(want, joined.list("members")[0].(map[string]any)["data"]); diff != "" {
				t.Errorf("%s: %s", room, diff)
			}
			if got := p.claims(joined.object("token")); got.User != "ann" || !got.KickUsers || !got.JoinHub || !slices.Equal(got.Rooms, []string{room}) {
				t.Errorf("the token says %+v", got)
			}
		}
		got := ann.ask("join", message{"room": "cellar"})
		if got["code"] != codeNotAllowed || !strings.Contains(got.str("message"), "room_ids") {
			t.Errorf("a room that isn't named: %v", got)
		}
		theirs := bob.ask("join", message{"room": "lobby", "data": nil})
		if got := p.claims(theirs.object("token")); got.JoinHub || got.KickUsers {
			t.Errorf("Bob's token says %+v", got)
		}
		ann.bye()
		bob.bye()
	})
}

func TestCredentialThatDoesNotHoldClosesAndSaysWhy(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	debug := func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	inBubble(t, byApp(t, debug), func(t *testing.T, p *pod) {
		good, others := login(t, nil), login(t, jwt.MapClaims{"sub": "bob"})
		mixed := others[:strings.LastIndexByte(others, '.')] + good[strings.LastIndexByte(good, '.'):]
		for name, test := range map[string]struct {
			credential string
			says       string
		}{
			"none":               {"", "there is none"},
			"no JWT":             {"ann", "it is not a JWT"},
			"expired":            {login(t, jwt.MapClaims{"exp": 1}), "it has expired"},
			"another issuer":     {login(t, jwt.MapClaims{"iss": "other"}), "another issuer"},
			"another audience":   {login(t, jwt.MapClaims{"aud": "mail"}), "another audience"},
			"a wrong type":       {login(t, jwt.MapClaims{"kick_users": "yes"}), "kick_users is not true or false"},
			"a broken signature": {mixed, "its signature doesn't hold"},
		} {
			c := p.connect()
			c.send(message{"type": "auth", "credential": test.credential})
			code, reason := c.closed()
			if code != CloseUnauthenticated || !strings.Contains(reason, "the credential doesn't hold: ") || !strings.Contains(reason, test.says) {
				t.Errorf("%s: %d %q, want 4401 and %q", name, code, reason, test.says)
			}
			synctest.Wait()
			mu.Lock()
			if text := log.String(); !strings.Contains(text, test.says) || strings.Contains(text, "eyJ") {
				t.Errorf("%s: the log says\n%s", name, text)
			}
			log.Reset()
			mu.Unlock()
		}
	})
}

// locked is a log that is read while it is written.
type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

func TestResumeOnAnotherPodKeepsTheRightsAndNoMore(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ctx, stop := context.WithCancel(t.Context())
		another, wait := startPod(t, ctx, byApp(t, nil)) // with the same keys, and rooms of its own
		defer func() { stop(); wait() }()

		credential := login(t, jwt.MapClaims{"name": "Ann", "kick_users": true, "room_ids": []string{"lobby", "stage"}})
		ann, welcome := p.enter(credential)
		joined := ann.ask("join", message{"room": "lobby"})
		ann.drop()
		time.Sleep(time.Hour) // the app's token has long expired: it isn't what the session lives by

		again, back := another.resume(welcome, message{"lobby": joined["cursor"], "cellar": ""}, nil)
		if back["resumed"] != true || back["user"] != "ann" || len(back.list("rooms")) != 1 {
			t.Fatalf("welcome is %v", back)
		}
		if got := back["session_expires_in"]; got != float64((11 * time.Hour).Milliseconds()) {
			t.Errorf("a resume lets the session last for %v ms more", got)
		}
		room := message(back.list("rooms")[0].(map[string]any))
		if got := p.claims(room.object("token")); !got.KickUsers || !got.JoinHub || got.User != "ann" {
			t.Errorf("the token says %+v", got)
		}
		if diff := cmp.Diff(any(map[string]any{"name": "Ann"}), room.list("members")[0].(map[string]any)["data"]); diff != "" {
			t.Error(diff)
		}
		if got := again.want("removed"); got["room"] != "cellar" || got["reason"] != "revoked" {
			t.Errorf("a room that isn't hers: %v", got)
		}
		if got := again.ask("join", message{"room": "stage"}); got["type"] != "joined" {
			t.Errorf("another room of hers: %v", got)
		}
		if got := again.ask("join", message{"room": "cellar"}); got["code"] != codeNotAllowed {
			t.Errorf("a room that isn't hers: %v", got)
		}
		again.drop()

		// A page may still have the token that it came with.
		stale := another.connect()
		got := stale.ask("auth", message{"credential": credential, "resume": message{"session": back["session"], "secret": back["secret"]}})
		if got["resumed"] != true || got["session_expires_in"] != back["session_expires_in"] {
			t.Errorf("with an expired credential beside: %v", got)
		}
		stale.drop()
		// But nothing else that doesn't hold.
		wrong := another.connect()
		wrong.send(message{"type": "auth", "credential": login(t, jwt.MapClaims{"aud": "mail"}), "resume": message{"session": back["session"], "secret": back["secret"]}})
		wrong.wantClose(CloseUnauthenticated)
	})
}

func TestResumeTakesTheRightsOfANewCredential(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		ann, welcome := p.enter(login(t, jwt.MapClaims{"kick_users": true}))
		joined := ann.ask("join", message{"room": "lobby"})
		ann.drop()
		time.Sleep(time.Second)
		again := p.connect()
		back := again.ask("auth", message{"credential": login(t, nil), "resume": message{
			"session": welcome["session"], "secret": welcome["secret"], "rooms": message{"lobby": joined["cursor"]},
		}})
		if back["resumed"] != true || back["session_expires_in"] != float64((12*time.Hour).Milliseconds()) {
			t.Fatalf("welcome is %v", back)
		}
		room := message(back.list("rooms")[0].(map[string]any))
		if got := p.claims(room.object("token")); got.KickUsers {
			t.Errorf("the token says %+v", got)
		}
		again.bye()
	})
}
