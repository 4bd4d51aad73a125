package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testIssuer   = "https://app.example"
	testAudience = "rooms"
)

// testTime is when tokens are shown in tests that have no clock.
var testTime = time.Unix(1_767_225_600, 0)

// An app signs tokens.
type app struct {
	method jwt.SigningMethod
	key    crypto.Signer
	kid    string // "" is none
}

func newApp(t testing.TB, alg, kid string) app {
	t.Helper()
	a := app{method: jwt.GetSigningMethod(alg), kid: kid}
	var err error
	switch alg[:2] {
	case "RS", "PS":
		a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES":
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
		a.key, err = ecdsa.GenerateKey(curve, rand.Reader)
	default:
		_, a.key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a token with exactly these claims.
func (a app) sign(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	return signed(t, a.method, a.key, a.kid, claims)
}

func signed(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// honest are the claims of a token that holds at testTime, with changes; a
// change to nothing leaves the claim out.
func honest(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": testIssuer, "aud": testAudience, "sub": "ann", "exp": testTime.Add(time.Minute).Unix(), "room_ids": []string{"lobby"},
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == absent })
	return c
}

// absent in place of a claim leaves it out.
var absent = new(int)

func (a app) pem(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// keySet is the JWK Set with the public keys of apps.
func keySet(t testing.TB, apps ...app) []byte {
	t.Helper()
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, a := range apps {
		k, err := jwkset.NewJWKFromKey(a.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: a.kid, USE: jwkset.UseSig, ALG: jwkset.ALG(a.method.Alg())}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, k.Marshal())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t testing.TB, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pinned is a control with keys in a file, whose clock stands at testTime.
func pinned(t testing.TB, keys []byte, change func(*JWTConfig)) *JWT {
	t.Helper()
	cfg := JWTConfig{
		KeyFile: writeFile(t, keys), Issuer: testIssuer, Audience: testAudience,
		TimeNow: func() time.Time { return testTime },
	}
	if change != nil {
		change(&cfg)
	}
	j, err := NewJWT(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// A keyServer serves a JWK Set, and can be broken.
type keyServer struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	code  int
	body  []byte
	asked int
}

func serveKeys(t testing.TB, body []byte) *keyServer {
	s := &keyServer{code: http.StatusOK, body: body}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.code == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(s.code)
		_, _ = w.Write(s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) answer(code int, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.body = code, body
}

func (s *keyServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}
