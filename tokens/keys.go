package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	// ErrInvalidKey says that a key can't be used: it can't be parsed, is
	// encrypted, or doesn't fit the algorithm.
	ErrInvalidKey = errors.New("invalid key")

	// ErrWeakKey says that a key is too short to be safe, or that an RSA key is too
	// long for the SFU. It is also an [ErrInvalidKey].
	ErrWeakKey = fmt.Errorf("%w: size", ErrInvalidKey)

	// ErrNoPrivateKey says that there is nothing to sign with.
	ErrNoPrivateKey = errors.New("no private key")

	// ErrNoPublicKey says that an HMAC secret has no public half, or that a key
	// has none in the form that was asked for.
	ErrNoPublicKey = errors.New("no public key")
)

// The sizes of RSA keys, in bits: RFC 7518, section 3.3, asks for at least 2048, and
// the SFU reads no more than 8192.
const minRSABits, maxRSABits = 2048, 8192

// minSecret is the least length of an HS256 secret, in bytes: RFC 7518, section 3.2.
const minSecret = 32

// A key is one key of a ring. It is not changed once made.
type key struct {
	name     string        // of its file, for messages
	modTime  time.Time     // of its file
	alg      string        // the one algorithm that it signs and verifies with
	id       string        // RFC 7638 thumbprint; "" for a secret
	private  crypto.Signer // nil for a secret and for a key that only verifies
	public   crypto.PublicKey
	secret   []byte // HS256
	material []byte // what other secrets are derived from: the private key's one encoding
}

// signs says whether k is more than a public key.
func (k *key) signs() bool { return k.private != nil || k.secret != nil }

// method is the algorithm as golang-jwt has it.
func (k *key) method() jwt.SigningMethod { return jwt.GetSigningMethod(k.alg) }

// verifier is the key as golang-jwt's Verify wants it.
func (k *key) verifier() any {
	if k.secret != nil {
		return k.secret
	}
	return k.public
}

// sign returns the JWS signature of the signing input (RFC 7515, section 5.1). It goes
// through [crypto.Signer], where golang-jwt would insist on *rsa.PrivateKey.
func (k *key) sign(input string) ([]byte, error) {
	switch k.alg {
	case "HS256":
		return k.method().Sign(input, k.secret)
	case "EdDSA":
		return k.private.Sign(rand.Reader, []byte(input), crypto.Hash(0))
	}
	hash := crypto.SHA256
	if k.alg == "RS512" {
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(input))
	sig, err := k.private.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil || k.alg != "ES256" {
		return sig, err
	}
	return rawECDSA(sig)
}

// rawECDSA turns the ASN.1 signature of a [crypto.Signer] into r and s of 32
// bytes each, as RFC 7518, section 3.4, wants them.
func rawECDSA(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 {
		return nil, errors.New("the signer's ECDSA signature is not ASN.1")
	}
	if sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return nil, errors.New("the signer's ECDSA signature is out of P-256's range")
	}
	raw := make([]byte, 64)
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return raw, nil
}

// newPrivateKey makes a key that signs by alg, or by its kind's default.
func newPrivateKey(private crypto.Signer, alg string) (*key, error) {
	var material []byte
	var err error
	switch p := private.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		material, err = x509.MarshalPKCS8PrivateKey(p)
	default:
		// One that hides its key (an HSM) has nothing to derive secrets from.
		return nil, fmt.Errorf("%w: a signer of type %T; give an RSA, P-256 or Ed25519 private key", ErrInvalidKey, private)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %T", ErrInvalidKey, private)
	}
	k, err := newPublicKey(private.Public(), alg)
	if err != nil {
		return nil, err
	}
	k.private, k.material = private, material
	return k, nil
}

// newPublicKey makes a key that verifies by alg, or by its kind's default.
func newPublicKey(public crypto.PublicKey, alg string) (*key, error) {
	var fits []string
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("%w: an RSA key of %d bits; make one of %d to %d", ErrWeakKey, bits, minRSABits, maxRSABits)
		}
		fits = []string{"RS512", "RS256"}
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: an elliptic curve key on %s; ES256 wants P-256", ErrInvalidKey, p.Curve.Params().Name)
		}
		fits = []string{"ES256"}
	case ed25519.PublicKey:
		fits = []string{"EdDSA"}
	default:
		return nil, fmt.Errorf("%w: %T; give an RSA, P-256 or Ed25519 key", ErrInvalidKey, public)
	}
	if alg == "" {
		alg = fits[0]
	}
	for _, f := range fits {
		if f == alg {
			k := &key{alg: alg, public: public}
			k.id = k.thumbprint()
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: this kind of key goes with %s, not with %s", ErrInvalidKey, fits[0], alg)
}

// newSecret makes an HS256 key of a file's bytes.
func newSecret(file []byte) (*key, error) {
	// A PEM file as the secret is the classic confusion: its public half would
	// then be enough to forge.
	if bytes.Contains(file, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: a PEM file; HS256 wants random bytes that nobody else knows", ErrInvalidKey)
	}
	secret := trimTextNewline(file)
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%w: a secret of %d bytes; HS256 wants at least %d", ErrWeakKey, len(secret), minSecret)
	}
	return &key{alg: "HS256", secret: secret, material: secret}, nil
}

// trimTextNewline takes the final newline off a secret that is text, where an
// editor left it, and leaves random bytes that happen to end in one alone.
func trimTextNewline(file []byte) []byte {
	text := bytes.TrimSuffix(bytes.TrimSuffix(file, []byte("\n")), []byte("\r"))
	for _, c := range text {
		if c < ' ' || c > '~' {
			return file
		}
	}
	return text
}

// parsePEM reads the one key of a PEM file: the private one, where there is one.
func parsePEM(file []byte, alg string) (*key, error) {
	var found *key
	for len(file) > 0 {
		block, rest := pem.Decode(file)
		if block == nil {
			break
		}
		file = rest
		k, err := parseBlock(block, alg)
		if err != nil {
			return nil, err
		}
		switch {
		case k == nil:
		case found == nil || !found.signs() && k.signs() && found.id == k.id:
			found = k
		case found.id != k.id:
			return nil, fmt.Errorf("%w: more than one key; give each a file of its own in a directory", ErrInvalidKey)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no key in PEM form here; for an HMAC secret set the algorithm HS256", ErrInvalidKey)
	}
	return found, nil
}

// parseBlock returns nil where block holds no key but something that goes along with one.
func parseBlock(block *pem.Block, alg string) (*key, error) {
	_, encrypted := block.Headers["DEK-Info"]
	if encrypted || block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, fmt.Errorf("%w: encrypted with a passphrase; decrypt it first: openssl pkey -in FILE -out key.pem", ErrInvalidKey)
	}
	var parsed any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "EC PARAMETERS": // openssl ecparam writes it ahead of the key
		return nil, nil
	case "OPENSSH PRIVATE KEY":
		return nil, fmt.Errorf("%w: in OpenSSH's own form; convert it: ssh-keygen -p -m pem -f FILE", ErrInvalidKey)
	default:
		return nil, fmt.Errorf("%w: a PEM block %q; give a private key", ErrInvalidKey, block.Type)
	}
	if err != nil {
		// A parser's text may quote what it read: the block's name has to do.
		return nil, fmt.Errorf("%w: the PEM block %q can't be parsed", ErrInvalidKey, block.Type)
	}
	if private, ok := parsed.(crypto.Signer); ok {
		return newPrivateKey(private, alg)
	}
	return newPublicKey(parsed, alg)
}
