package tokens

import (
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJWKSHasEachKeyAndNothingPrivate(t *testing.T) {
	ring := must(NewKeyRing(KeyOptions{}, rsaKey(), ecKey(), edKey()))
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(must(ring.JWKS()), &set); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	point := must(ecKey().PublicKey.Bytes())
	keys := ring.keys.Load().all
	want := []map[string]string{
		{"kty": "RSA", "use": "sig", "alg": "RS512", "kid": keys[0].id, "n": b64(rsaKey().N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "use": "sig", "alg": "ES256", "kid": keys[1].id, "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "OKP", "use": "sig", "alg": "EdDSA", "kid": keys[2].id, "crv": "Ed25519", "x": b64(edKey().Public().(ed25519.PublicKey))},
	}
	if diff := cmp.Diff(want, set.Keys); diff != "" {
		t.Error(diff)
	}
}

// The key and its thumbprint are those of RFC 7638, section 3.1.
func TestThumbprintIsTheRFCs(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst" +
		"n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	modulus := must(base64.RawURLEncoding.DecodeString(n))
	k := must(newPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, ""))
	if want := "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; k.id != want {
		t.Errorf("thumbprint %s; want %s", k.id, want)
	}
}
