package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Keys for all tests: making one takes long.
var (
	rsaKey      = sync.OnceValue(func() *rsa.PrivateKey { return must(GenerateRSA(2048)) })
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { return must(GenerateRSA(2048)) })
	ecKey       = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey       = sync.OnceValue(func() ed25519.PrivateKey {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(private any) []byte {
	return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
}

func spki(public any) []byte {
	return pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(public)))
}

// file writes content to a file of the test's own.
func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryKindOfKeyIsReadAndSigns(t *testing.T) {
	for _, test := range []struct {
		name string
		body []byte
		give string // KeyOptions.Alg
		want string // the token's
	}{
		{"RSA, PKCS#1", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), "", "RS512"},
		{"RSA, PKCS#8", pkcs8(rsaKey()), "", "RS512"},
		{"RSA, RS256", pkcs8(rsaKey()), "RS256", "RS256"},
		{"EC, SEC 1", pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey()))), "", "ES256"},
		{"EC, after its parameters", append(pemOf("EC PARAMETERS", []byte{6, 8}), pkcs8(ecKey())...), "", "ES256"},
		{"EC, PKCS#8", pkcs8(ecKey()), "ES256", "ES256"},
		{"Ed25519, PKCS#8", pkcs8(edKey()), "", "EdDSA"},
		{"private key before its public one", append(pkcs8(rsaKey()), spki(&rsaKey().PublicKey)...), "", "RS512"},
		{"public key before its private one", append(spki(&rsaKey().PublicKey), pkcs8(rsaKey())...), "", "RS512"},
		{"HMAC secret", []byte(strings.Repeat("s", 32) + "\n"), "HS256", "HS256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ring, err := LoadKeys(file(t, "key.pem", test.body), KeyOptions{Alg: test.give})
			if err != nil {
				t.Fatal(err)
			}
			token, err := newIssuer(t, ring).Mint(Grant{Room: "a"})
			if err != nil {
				t.Fatal(err)
			}
			claims, err := ring.Verify(token.JWT, token.IssuedAt)
			if err != nil {
				t.Fatal(err)
			}
			if claims.Algorithm != test.want {
				t.Errorf("signed with %s; want %s", claims.Algorithm, test.want)
			}
		})
	}
}

func TestUnusableKeyIsRefusedWithWhatToDo(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x"),
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}})
	for _, test := range []struct {
		name string
		body []byte
		alg  string
		want error
		says string
	}{
		{"1024 bits", pkcs8(weak), "", ErrWeakKey, "2048"},
		{"P-384", pkcs8(p384), "", ErrInvalidKey, "P-256"},
		{"public only", spki(&rsaKey().PublicKey), "", ErrNoPrivateKey, "private"},
		{"public only, PKCS#1", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), "", ErrNoPrivateKey, "private"},
		{"encrypted, PKCS#1", encrypted, "", ErrInvalidKey, "decrypt"},
		{"encrypted, PKCS#8", pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "", ErrInvalidKey, "decrypt"},
		{"OpenSSH", pemOf("OPENSSH PRIVATE KEY", []byte("x")), "", ErrInvalidKey, "ssh-keygen"},
		{"certificate", pemOf("CERTIFICATE", []byte("x")), "", ErrInvalidKey, "CERTIFICATE"},
		{"damaged", pemOf("RSA PRIVATE KEY", []byte("x")), "", ErrInvalidKey, "parsed"},
		{"two keys", append(pkcs8(rsaKey()), pkcs8(otherRSAKey())...), "", ErrInvalidKey, "directory"},
		{"no PEM", []byte("hello"), "", ErrInvalidKey, "PEM"},
		{"empty", nil, "", ErrInvalidKey, "PEM"},
		{"too long", make([]byte, maxKeyFile+1), "", ErrInvalidKey, "bytes"},
		{"RSA as ES256", pkcs8(rsaKey()), "ES256", ErrInvalidKey, "RS512"},
		{"Ed25519 as RS512", pkcs8(edKey()), "RS512", ErrInvalidKey, "EdDSA"},
		{"algorithm none", pkcs8(rsaKey()), "none", ErrInvalidKey, "RS512"},
		{"short secret", []byte(strings.Repeat("s", 31) + "\n"), "HS256", ErrWeakKey, "32"},
		{"PEM as the secret", spki(&rsaKey().PublicKey), "HS256", ErrInvalidKey, "PEM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := file(t, "key.pem", test.body)
			_, err := LoadKeys(path, KeyOptions{Alg: test.alg})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want a %v that says %q", err, test.want, test.says)
			}
			if err != nil && test.alg != "none" && !strings.Contains(err.Error(), path) {
				t.Errorf("%v doesn't name the file", err)
			}
		})
	}
	if _, err := LoadKeys(filepath.Join(t.TempDir(), "none.pem"), KeyOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := LoadKeys(t.TempDir(), KeyOptions{}); !errors.Is(err, ErrNoPrivateKey) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := LoadKeys(t.TempDir(), KeyOptions{Alg: "HS256"}); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("directory for HS256: %v", err)
	}
}

func TestSecretOfRandomBytesKeepsItsLastNewline(t *testing.T) {
	random := append(make([]byte, 31), '\n') // would be 31 without it
	if _, err := LoadKeys(file(t, "secret", random), KeyOptions{Alg: "HS256"}); err != nil {
		t.Error(err)
	}
}

func TestRingOfKeysInMemory(t *testing.T) {
	if _, err := NewKeyRing(KeyOptions{}); !errors.Is(err, ErrNoPrivateKey) {
		t.Errorf("no key: %v", err)
	}
	if _, err := NewKeyRing(KeyOptions{}, hiddenKey{rsaKey()}); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("a signer that hides its key: %v", err)
	}
	if _, err := NewKeyRing(KeyOptions{Alg: "RS1"}, rsaKey()); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("an algorithm that isn't: %v", err)
	}
	ring, err := NewKeyRing(KeyOptions{}, rsaKey(), ecKey(), rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Errorf("reload: %v", err)
	}
	if n := len(ring.keys.Load().all); n != 2 {
		t.Errorf("%d keys; the one that was given twice counts once", n)
	}
}

// A hiddenKey is what a hardware module gives: it signs, and can't be exported.
type hiddenKey struct{ crypto.Signer }

func TestDerivedSecretsDifferByKeyAndLabel(t *testing.T) {
	both := must(NewKeyRing(KeyOptions{}, rsaKey(), ecKey()))
	newest, all := both.DeriveSecret("resume")
	if len(all) != 2 || string(all[0]) != string(newest) || string(all[0]) == string(all[1]) || len(newest) != 32 {
		t.Errorf("%d secrets of %d bytes, which should be two different ones of 32", len(all), len(newest))
	}
	if again, _ := must(NewKeyRing(KeyOptions{}, rsaKey())).DeriveSecret("resume"); string(again) != string(newest) {
		t.Error("another pod with the same key derives another secret")
	}
	if other, _ := both.DeriveSecret("member"); string(other) == string(newest) {
		t.Error("two labels give the same secret")
	}
}
