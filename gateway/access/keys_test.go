package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestPinnedKeysOfOneFileAllVerify(t *testing.T) {
	a, b, stranger := newApp(t, "RS256", ""), newApp(t, "ES256", ""), newApp(t, "ES256", "")
	j := pinned(t, append(a.pem(t), b.pem(t)...), nil)
	for _, credential := range []string{
		a.sign(t, honest(nil)), b.sign(t, honest(nil)),
		signed(t, a.method, a.key, "whatever", honest(nil)), // keys in PEM have no names
	} {
		if _, err := j.Authenticate(t.Context(), Request{Credential: credential}); err != nil {
			t.Error(err)
		}
	}
	if _, err := j.Authenticate(t.Context(), Request{Credential: stranger.sign(t, honest(nil))}); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

func TestPinnedKeysAreReadAgain(t *testing.T) {
	a, b := newApp(t, "EdDSA", ""), newApp(t, "EdDSA", "")
	j := pinned(t, a.pem(t), nil)
	rewrite := func(text []byte) {
		if err := os.WriteFile(j.config.KeyFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(b.pem(t))
	if err := j.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Authenticate(t.Context(), Request{Credential: b.sign(t, honest(nil))}); err != nil {
		t.Error(err)
	}
	if _, err := j.Authenticate(t.Context(), Request{Credential: a.sign(t, honest(nil))}); !errors.Is(err, ErrSignature) {
		t.Errorf("the key of before: %v", err)
	}
	rewrite([]byte("half a file"))
	if err := j.Reload(); err == nil {
		t.Error("half a file was read")
	}
	if _, err := j.Authenticate(t.Context(), Request{Credential: b.sign(t, honest(nil))}); err != nil {
		t.Errorf("after a file that can't be read: %v", err)
	}
}

func TestFilesThatPinNothingAreRefused(t *testing.T) {
	a := newApp(t, "ES256", "one")
	private, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text []byte
		says string
	}{
		"empty":                {nil, "neither a public key in PEM nor a JWK Set"},
		"a word":               {[]byte("secret"), "neither a public key in PEM nor a JWK Set"},
		"a private key":        {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "only the app's public key belongs here"},
		"a key of other kind":  {app{key: small}.pem(t), "P-256"},
		"no keys in the set":   {[]byte(`{"keys":[]}`), "without a public key"},
		"no set":               {[]byte(`{"a":1}`), "without a public key"},
		"not JSON":             {[]byte(`{"keys":`), "not a JWK Set"},
		"a shared secret only": {[]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}`), "without a public key"},
		"a key to encrypt to":  {[]byte(strings.Replace(string(keySet(t, a)), `"sig"`, `"enc"`, 1)), "without a public key"},
	} {
		_, err := NewJWT(t.Context(), JWTConfig{KeyFile: writeFile(t, test.text), Issuer: testIssuer, Audience: testAudience})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want it to say %q", name, err, test.says)
		}
	}
}

// remote runs a test with keys at an address, by a clock that runs when all wait.
// The server is outside of it, as an app's is.
func remote(t *testing.T, s *keyServer, test func(t *testing.T, j *JWT)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		j, err := NewJWT(t.Context(), JWTConfig{JWKS: s.URL + "/jwks.json", Issuer: testIssuer, Audience: testAudience})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		test(t, j)
	})
}

// today is a token that holds now, in a bubble too.
func (a app) today(t testing.TB) string {
	t.Helper()
	return a.sign(t, honest(jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}))
}

func authenticates(t *testing.T, j *JWT, a app) error {
	t.Helper()
	_, err := j.Authenticate(t.Context(), Request{Credential: a.today(t)})
	return err
}

func TestANewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	a, b := newApp(t, "RS256", "a"), newApp(t, "RS256", "b")
	s := serveKeys(t, keySet(t, a))
	remote(t, s, func(t *testing.T, j *JWT) {
		if err := authenticates(t, j, a); err != nil {
			t.Error(err)
		}
		s.answer(http.StatusOK, keySet(t, b))
		var all sync.WaitGroup
		for range 20 { // who come back together after a rotation
			all.Go(func() {
				if err := authenticates(t, j, b); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := s.requests(); n > 3 {
			t.Errorf("the address was asked %d times", n)
		}
		if err := authenticates(t, j, a); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the key that was taken out: %v", err)
		}
	})
}

func TestStrangersDoNotMakeTheGatewayAskAllTheTime(t *testing.T) {
	a, stranger := newApp(t, "RS256", "a"), newApp(t, "ES256", "stranger")
	s := serveKeys(t, keySet(t, a))
	remote(t, s, func(t *testing.T, j *JWT) {
		began, before := time.Now(), s.requests()
		for range 30 {
			if err := authenticates(t, j, stranger); !errors.Is(err, ErrUnknownKey) {
				t.Fatal(err)
			}
		}
		most := int(time.Since(began)/keySetRest) + 1
		if n := s.requests() - before; n > most {
			t.Errorf("asked %d times in %v, want %d at most", n, time.Since(began), most)
		}
		from := time.Now()
		if err := authenticates(t, j, a); err != nil || time.Since(from) > 0 {
			t.Errorf("a key that is known, after %v: %v", time.Since(from), err)
		}
	})
}

func TestKeysAreReadAgainInTheBackground(t *testing.T) {
	a, b := newApp(t, "RS256", "a"), newApp(t, "RS256", "b")
	s := serveKeys(t, keySet(t, a, b))
	remote(t, s, func(t *testing.T, j *JWT) {
		s.answer(http.StatusOK, keySet(t, b))
		time.Sleep(keySetAge + time.Second)
		if err := authenticates(t, j, a); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a key that was withdrawn: %v", err)
		}
	})
}

func TestTheLastGoodKeysStayWhileTheAddressIsDown(t *testing.T) {
	a, b := newApp(t, "RS256", "a"), newApp(t, "RS256", "b")
	for name, breakIt := range map[string]func(*keyServer){
		"it fails":          func(s *keyServer) { s.answer(http.StatusInternalServerError, nil) },
		"it serves a page":  func(s *keyServer) { s.answer(http.StatusOK, []byte("<html>")) },
		"it serves no keys": func(s *keyServer) { s.answer(http.StatusOK, []byte(`{"keys":[]}`)) },
		"it redirects":      func(s *keyServer) { s.answer(http.StatusFound, nil) },
		"it serves too much": func(s *keyServer) {
			s.answer(http.StatusOK, append([]byte(`{"keys":[],"x":"`), make([]byte, 2<<20)...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveKeys(t, keySet(t, a))
			remote(t, s, func(t *testing.T, j *JWT) {
				breakIt(s)
				for range 5 {
					time.Sleep(keySetAge + time.Second)
					if err := authenticates(t, j, a); err != nil {
						t.Error(err)
					}
				}
				if err := authenticates(t, j, b); err == nil || errors.Is(err, ErrDenied) {
					t.Errorf("a key that may be new: %v, want that nobody can tell", err)
				}
				s.answer(http.StatusOK, keySet(t, a, b))
				time.Sleep(keySetRest)
				if err := authenticates(t, j, b); err != nil {
					t.Errorf("when it is back: %v", err)
				}
			})
		})
	}
}

func TestWithoutTheAddressThereIsNoStart(t *testing.T) {
	down := serveKeys(t, nil)
	down.Close()
	s := serveKeys(t, nil)
	for name, test := range map[string]struct {
		address string
		code    int
		body    string
		says    string
	}{
		"nobody listens": {down.URL, 0, "", "refused"},
		"not found":      {s.URL, http.StatusNotFound, "", "404"},
		"a page":         {s.URL, http.StatusOK, "<html>", "JWK Set"},
		"no keys":        {s.URL, http.StatusOK, "{}", "without a public key"},
		"a redirect":     {s.URL, http.StatusFound, "", "redirects"},
	} {
		s.answer(max(test.code, 200), []byte(test.body))
		_, err := NewJWT(t.Context(), JWTConfig{JWKS: test.address, Issuer: testIssuer, Audience: testAudience})
		if !errors.Is(err, ErrKeySet) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), test.address) {
			t.Errorf("%s: %v; want it to say %q and the address", name, err, test.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewJWT(ctx, JWTConfig{JWKS: s.URL, Issuer: testIssuer, Audience: testAudience}); !errors.Is(err, ErrKeySet) {
		t.Errorf("given up: %v", err)
	}
}

// FuzzParseClaims checks that whatever is taken is within the limits, and that
// the claims mean what encoding/json reads in a map, which matches names exactly.
func FuzzParseClaims(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"i","aud":"a","sub":"ann","exp":1767225600,"room_ids":["a","b"],"join_hub":false,"kick_users":true,"name":"Ann"}`,
		`{"iss":"i","aud":["a","b"],"sub":"ann","exp":1.5e9,"nbf":0.5,"data":{"a":[1,"<"]}}`,
		`{"iss":"i","aud":"a","sub":"ann","exp":1e400}`, `{"iss":"i","aud":[null],"sub":"ann","exp":1}`, `{"exp":"1"}`,
		`{"iss":"i","aud":"a","sub":"\ud800","exp":1,"room_ids":null}`, `{"ISS":"i"}`, `null`, `[]`, ``, `{} {}`,
		`{"iss":"i","aud":"a","sub":"ann","exp":1,"kick_users":false,"kick_users":true}`,
		`{"iss":"i","aud":"a","sub":"ann","exp":1,"kick_users":false,"Kick_Users":true,"data":{"a":1,"a":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		const most = 64
		c, err := parseClaims(payload, most)
		if err != nil {
			if !errors.Is(err, ErrDenied) || DenialReason(err) == "" {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if c.issuer == "" && c.subject == "" || c.expires.IsZero() || c.subject == "" || checkUser(c.subject) != "" || len(c.data) > most {
			t.Fatalf("taken: %+v", c)
		}
		if c.data != nil && !json.Valid(c.data) {
			t.Fatalf("data is %q", c.data)
		}
		var reference map[string]any
		if err := json.Unmarshal(payload, &reference); err != nil {
			t.Fatalf("taken, though encoding/json says %v", err)
		}
		kick, _ := reference["kick_users"].(bool)
		hub, given := reference["join_hub"].(bool)
		rooms, _ := reference["room_ids"].([]any)
		if c.kickUsers != kick || c.joinHub != (hub || !given) || len(c.rooms) != len(rooms) || c.subject != reference["sub"] {
			t.Fatalf("%+v, encoding/json reads %v", c, reference)
		}
	})
}
