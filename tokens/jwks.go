package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
)

// A jwk is a public key as RFC 7517 writes it. The members that RFC 7638 wants
// in a thumbprint are those without a comment.
type jwk struct {
	Alg string `json:"alg,omitempty"` // not in the thumbprint
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid,omitempty"` // not in the thumbprint
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	Use string `json:"use,omitempty"` // not in the thumbprint
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// jwk returns the required members only. k has a public key.
func (k *key) jwk() jwk {
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return jwk{Kty: "RSA", N: b64(p.N.Bytes()), E: b64(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		// An uncompressed point: 4, x, y (SEC 1, section 2.3.3). P-256 can't fail.
		point, _ := p.Bytes()
		return jwk{Kty: "EC", Crv: "P-256", X: b64(point[1:33]), Y: b64(point[33:])}
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Crv: "Ed25519", X: b64(p)}
	}
	panic(fmt.Sprintf("tokens: a key ring let a %T in", k.public))
}

// thumbprint is the key id: RFC 7638 with SHA-256. The struct's fields are in
// lexicographic order, as the RFC wants them, and base64url needs no escapes.
func (k *key) thumbprint() string {
	canonical, _ := json.Marshal(k.jwk())
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// JWKS returns the public keys that tokens of this ring can be verified with, as
// a JWK set (RFC 7517), the one that signs first. It returns [ErrNoPublicKey]
// where the key is an HMAC secret.
func (r *KeyRing) JWKS() ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, k := range r.keys.Load().all {
		if k.public == nil {
			return nil, fmt.Errorf("%w: HS256 signs with a shared secret", ErrNoPublicKey)
		}
		j := k.jwk()
		j.Alg, j.Kid, j.Use = k.alg, k.id, "sig"
		set.Keys = append(set.Keys, j)
	}
	return json.Marshal(set)
}

// PublicPEM returns the signing key's public half as SPKI in PEM. It returns
// [ErrNoPublicKey] where the key is an HMAC secret.
func (r *KeyRing) PublicPEM() ([]byte, error) {
	k := r.keys.Load().all[0]
	if k.public == nil {
		return nil, fmt.Errorf("%w: HS256 signs with a shared secret", ErrNoPublicKey)
	}
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// PublicDER returns the signing key's public half as PKCS#1 in DER: the form,
// and the only one, that the SFU's auth_key reads. It returns [ErrNoPublicKey]
// where the key is not an RSA key: PKCS#1 has no other.
func (r *KeyRing) PublicDER() ([]byte, error) {
	p, ok := r.keys.Load().all[0].public.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: PKCS#1 is for RSA keys only", ErrNoPublicKey)
	}
	return x509.MarshalPKCS1PublicKey(p), nil
}
