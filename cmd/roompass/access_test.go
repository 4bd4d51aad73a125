package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// An app has users, and signs for them.
type app struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	file string // the public key in PEM
	jwks string // and the address of its JWK Set
}

func newApp(t *testing.T) app {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	a := app{t: t, key: key, file: filepath.Join(t.TempDir(), "app.pem")}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "one"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{k.Marshal()}})
	}))
	t.Cleanup(server.Close)
	a.jwks = server.URL
	return a
}

func (a app) sign(changes jwt.MapClaims) string {
	a.t.Helper()
	claims := jwt.MapClaims{"iss": "https://app.example", "aud": "rooms", "sub": "ann", "exp": time.Now().Add(time.Minute).Unix(), "room_ids": []string{"lobby"}}
	maps.Copy(claims, changes)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "one"
	text, err := token.SignedString(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func TestServeLetsInWhomTheAppNames(t *testing.T) {
	a := newApp(t)
	pinned := []string{"--access", "jwt", "--access-issuer", "https://app.example", "--access-audience", "rooms"}
	for name, args := range map[string][]string{
		"by a pinned key": append([]string{"--access-key", a.file}, pinned...),
		"by a key set":    append([]string{"--access-jwks", a.jwks, "--access-alg", "ES256", "--access-alg", "EdDSA"}, pinned...),
		"in any room":     append([]string{"--access-key", a.file, "--access-any-room"}, pinned...),
	} {
		t.Run(name, func(t *testing.T) {
			gateway := serveDev(t, append(args, "--log-level", "debug", "--session-max", "1h")...)
			ann, joined := enter(t, gateway, a.sign(jwt.MapClaims{"name": "Ann"}), "lobby")
			if joined["type"] != "joined" {
				t.Fatalf("Ann joins: %v", joined)
			}
			if me := list(joined["members"])[0]; me["user"] != "ann" || me["data"].(map[string]any)["name"] != "Ann" {
				t.Errorf("Ann is %v", me)
			}
			if got, hour := ann.all("welcome")[0]["session_expires_in"].(float64), float64(time.Hour.Milliseconds()); got > hour || got < 0.9*hour {
				t.Errorf("her session lasts for %v ms", got)
			}
			if got := ann.ask(map[string]any{"type": "join", "room": "cellar"}); got["code"] != "not_allowed" {
				t.Errorf("a room that isn't named: %v", got)
			}
			bob, joined := enter(t, gateway, a.sign(jwt.MapClaims{"sub": "bob", "room_ids": []string{}}), "cellar")
			if anywhere := joined["type"] == "joined"; anywhere != (name == "in any room") {
				t.Errorf("Bob, who has no room_ids: %v", joined)
			}
			again, back := ann.comeBack(gateway, nil)
			if back["resumed"] != true || len(list(back["rooms"])) != 1 {
				t.Errorf("Ann comes back: %v", back)
			}
			for name, credential := range map[string]string{
				"nobody": "", "a user id": "ann", "for another service": a.sign(jwt.MapClaims{"aud": "mail"}),
				"expired": a.sign(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), "by another app": newApp(t).sign(nil),
			} {
				g := visit(t, gateway)
				if got := g.ask(map[string]any{"type": "auth", "credential": credential}); got != nil || g.code() != 4401 {
					t.Errorf("%s: %v, close code %d", name, got, g.code())
				}
			}
			for _, g := range []*guest{ann, bob, again} {
				_ = g.ws.CloseNow()
			}
			got := gateway.stop()
			if got.code != exitDone || strings.Contains(got.stderr, "eyJ") || !strings.Contains(got.stderr, "it is for another audience") {
				t.Errorf("exit code %d; the log:\n%s", got.code, got.stderr)
			}
		})
	}
}

func TestServeRefusesAccessThatCannotBeMeant(t *testing.T) {
	a := newApp(t)
	none := filepath.Join(t.TempDir(), "none.pem")
	const issuer, audience = " --access-issuer i", " --access-audience a"
	good := "--access jwt --access-key " + a.file + issuer + audience
	for args, says := range map[string]string{
		"--access jwt" + issuer + audience:                                                     "--access-key FILE or --access-jwks URL",
		"--access jwt --access-key " + a.file + audience:                                       "--access-issuer is missing",
		"--access jwt --access-key " + a.file + issuer:                                         "--access-audience is missing",
		"--access jwt --access-key " + a.file + " --access-jwks " + a.jwks + issuer + audience: "give one",
		"--access jwt --access-key " + none + issuer + audience:                                "--access-key",
		"--access jwt --access-jwks app.example" + issuer + audience:                           "--access-jwks",
		"--access jwt --access-key " + a.file + " --access-alg HS256" + issuer + audience:      "--access-alg HS256: choose from RS256",
		"--access jwt --access-key " + a.file + " --access-alg none" + issuer + audience:       "--access-alg none",
		"--access-key " + a.file:                                                               "--access-key is for --access jwt",
		"--access-jwks " + a.jwks:                                                              "--access-jwks is for --access jwt",
		"--access-issuer i":                                                                    "--access-issuer is for --access jwt",
		"--access-audience a":                                                                  "--access-audience is for --access jwt",
		"--access-alg RS256":                                                                   "--access-alg is for --access jwt",
		"--access-any-room":                                                                    "--access-any-room is for --access jwt",
		"--access-cookie login --origin https://app.example":                                   "--access-cookie is for --access jwt",
		good + " --access-cookie login":                                                        "--access-cookie needs --origin",
		good + " --access-cookie a=b --origin https://app.example":                             "--access-cookie \"a=b\" is not the name of a cookie",
		"--session-max 0s":                                                                     "--session-max 0",
		"--session-max=-1s":                                                                    "--session-max must be above zero",
	} {
		t.Run(args, func(t *testing.T) {
			roompass(t, "", strings.Fields("serve --dev "+args)...).wantsOneSentence(t, exitUsage, says)
		})
	}
}

func TestServeNeedsTheKeySetToStart(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	got := roompass(t, "", "serve", "--dev", "--access", "jwt", "--access-jwks", gone.URL, "--access-issuer", "i", "--access-audience", "a")
	got.wantsOneSentence(t, exitFailed, "--access-jwks", "the app's keys can't be read from "+gone.URL, "to start")
}

func TestServeByJWTMayBeReachedByOthers(t *testing.T) {
	a := newApp(t)
	gateway := serveDev(t, "--listen", "0.0.0.0:0", "--access", "jwt", "--access-key", a.file, "--access-issuer", "i", "--access-audience", "a")
	if got := gateway.stop(); got.code != exitDone || strings.Contains(got.stderr, "open access") || strings.Contains(got.out, "open access") {
		t.Errorf("exit code %d\n%s%s", got.code, got.out, got.stderr)
	}
}

func TestServeReadsTheAppsKeysAgainAtSIGHUP(t *testing.T) {
	a, b := newApp(t), newApp(t)
	listen, operator := loopback(t), loopback(t)
	p := serveProcess(t, "--dev", "--listen", listen, "--admin-listen", operator,
		"--access", "jwt", "--access-key", a.file, "--access-issuer", "https://app.example", "--access-audience", "rooms")
	p.served = served{url: "http://" + listen, operator: "http://" + operator}
	eventually(t, "the process is ready", func() bool {
		response, err := http.Get(p.operator + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	enters := func(credential string) bool {
		g := visit(t, p.served)
		defer func() { _ = g.ws.CloseNow() }()
		return g.ask(map[string]any{"type": "auth", "credential": credential}) != nil
	}
	if !enters(a.sign(nil)) || enters(b.sign(nil)) {
		t.Fatal("before: the first app enters, and the second doesn't")
	}
	key, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the second app enters", func() bool { return enters(b.sign(nil)) })
	if enters(a.sign(nil)) {
		t.Error("the first app still enters")
	}
}
