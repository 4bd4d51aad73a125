package tokens

import (
	"bytes"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// What is inspected is a stranger's text; what verifies was signed, and by us.
func FuzzVerify(f *testing.F) {
	ring := newRing(f, KeyOptions{})
	token := must(newIssuer(f, ring).Mint(Grant{User: "1", Room: "a"}))
	f.Add(token.JWT)
	f.Add(strings.Replace(token.JWT, ".", "..", 1))
	f.Add(goodForgery("k").String())
	f.Add("e30.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ring.Verify(text, issuedAt); err == nil && text != token.JWT {
			t.Errorf("verified what was never signed: %q", text)
		}
		seen, err := Inspect(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			return
		}
		if !bytes.HasPrefix(bytes.TrimSpace(seen.Header), []byte("{")) || !bytes.HasPrefix(bytes.TrimSpace(seen.Claims), []byte("{")) {
			t.Errorf("header %q, claims %q", seen.Header, seen.Claims)
		}
	})
}

// A file either is a key that signs and verifies, or an error with a name.
func FuzzLoadKeys(f *testing.F) {
	f.Add(pkcs8(rsaKey()), "")
	f.Add(pkcs8(ecKey()), "")
	f.Add(pkcs8(edKey()), "EdDSA")
	f.Add(pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), "RS256")
	f.Add(spki(&rsaKey().PublicKey), "RS512")
	f.Add(bytes.Repeat([]byte("s"), 32), "HS256")
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), "")
	f.Fuzz(func(t *testing.T, body []byte, alg string) {
		if (KeyOptions{Alg: alg}).validate() != nil {
			return
		}
		k, err := parseKey(body, alg)
		if err != nil {
			if !errors.Is(err, ErrInvalidKey) {
				t.Errorf("%v", err)
			}
			return
		}
		if !k.signs() {
			return
		}
		sig, err := k.sign("input")
		if err != nil {
			t.Fatalf("a key that was taken doesn't sign: %v", err)
		}
		if err := k.method().Verify("input", sig, k.verifier()); err != nil {
			t.Errorf("%s: its own signature: %v", k.alg, err)
		}
	})
}
