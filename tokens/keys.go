package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// ErrKey is what every refused key wraps.
var ErrKey = errors.New("unusable key")

// Least sizes: RSA by NIST SP 800-131A and what the SFU takes; an HMAC secret as
// long as SHA-256's output, by RFC 7518, section 3.2.
const (
	leastRSABits    = 2048
	leastHMACSecret = 32
)

// A key signs and verifies by one algorithm, whatever a token's header says.
type key struct {
	id     string // RFC 7638 thumbprint; "" where tokens carry none
	method jwt.SigningMethod
	signer crypto.Signer // nil for HMAC
	public crypto.PublicKey
	secret []byte // HMAC's
	jwk    json.RawMessage
	seed   []byte // what DeriveSecret derives from
}

// newKey pins signer to an algorithm: alg, or where that is empty the usual one
// for its kind.
func newKey(signer crypto.Signer, alg string) (*key, error) {
	k := &key{signer: signer, public: signer.Public()}
	var fits []string
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < leastRSABits {
			return nil, fmt.Errorf("%w: RSA of %d bits; make one of %d or more", ErrKey, bits, leastRSABits)
		}
		fits = []string{"RS512", "RS256"}
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: ECDSA on %s; make one on P-256", ErrKey, public.Curve.Params().Name)
		}
		fits = []string{"ES256"}
	case ed25519.PublicKey:
		fits = []string{"EdDSA"}
	default:
		return nil, fmt.Errorf("%w: %T; RSA, ECDSA on P-256 and Ed25519 are known", ErrKey, public)
	}
	if alg == "" {
		alg = fits[0]
	}
	for _, fit := range fits {
		if alg == fit {
			k.method = jwt.GetSigningMethod(alg)
		}
	}
	if k.method == nil {
		return nil, fmt.Errorf("%w: %s doesn't go with it; it signs %v", ErrKey, alg, fits)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		// A key in hardware: what its public half gives is no secret, so
		// nothing can be derived from it.
		der = nil
	}
	k.seed = der
	thumbprint, err := thumbprint(k.public)
	if err != nil {
		return nil, err
	}
	k.id = thumbprint
	jwk, err := jwkset.NewJWKFromKey(k.public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
		ALG: jwkset.ALG(alg), KID: k.id, USE: jwkset.UseSig,
	}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if k.jwk, err = json.Marshal(jwk.Marshal()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return k, nil
}

// newSecretKey is a key of HMAC.
func newSecretKey(secret []byte) (*key, error) {
	if len(secret) < leastHMACSecret {
		return nil, fmt.Errorf("%w: a secret of %d bytes; HS256 needs %d or more", ErrKey, len(secret), leastHMACSecret)
	}
	// The thumbprint of a symmetric key would be a hash of the secret, given to
	// everybody (RFC 7638, section 7): name it by a hash of its own instead.
	sum := sha256.Sum256(append([]byte("roompass key id\x00"), secret...))
	return &key{
		id:     base64.RawURLEncoding.EncodeToString(sum[:12]),
		method: jwt.SigningMethodHS256, secret: secret, seed: secret,
	}, nil
}

// thumbprint is a public key's by RFC 7638 (and RFC 8037 for Ed25519): the hash
// of its required members, in order, without spaces.
func thumbprint(public crypto.PublicKey) (string, error) {
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	m := jwk.Marshal()
	var required any
	switch m.KTY {
	case jwkset.KtyRSA:
		required = struct {
			E   string `json:"e"`
			KTY string `json:"kty"`
			N   string `json:"n"`
		}{m.E, m.KTY.String(), m.N}
	case jwkset.KtyEC:
		required = struct {
			CRV string `json:"crv"`
			KTY string `json:"kty"`
			X   string `json:"x"`
			Y   string `json:"y"`
		}{m.CRV.String(), m.KTY.String(), m.X, m.Y}
	default:
		required = struct {
			CRV string `json:"crv"`
			KTY string `json:"kty"`
			X   string `json:"x"`
		}{m.CRV.String(), m.KTY.String(), m.X}
	}
	text, err := json.Marshal(required)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// sign returns the signature of a JWT's first two parts.
func (k *key) sign(text string) ([]byte, error) {
	if k.signer == nil {
		return k.method.Sign(text, k.secret)
	}
	var hash crypto.Hash
	switch method := k.method.(type) {
	case *jwt.SigningMethodRSA:
		hash = method.Hash
	case *jwt.SigningMethodECDSA:
		hash = method.Hash
	default: // Ed25519 signs the message itself
		return k.signer.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	}
	h := hash.New()
	h.Write([]byte(text))
	signature, err := k.signer.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	if _, ok := k.public.(*ecdsa.PublicKey); ok {
		return rawECDSA(signature)
	}
	return signature, nil
}

// verifier is what golang-jwt verifies with.
func (k *key) verifier() any {
	if k.signer == nil {
		return k.secret
	}
	return k.public
}

// parsePEM reads the one private key of a PEM file.
func parsePEM(content []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(content)
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes it before the key
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, fmt.Errorf("%w: not PEM; serve needs a private key that starts with -----BEGIN", ErrKey)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: more than one thing in the file; give each key a file of its own", ErrKey)
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("%w: locked by a passphrase; unlock it with openssl pkey -in FILE -out FILE.open", ErrKey)
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
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return nil, fmt.Errorf("%w: a public key; signing needs the private one", ErrKey)
	case "OPENSSH PRIVATE KEY":
		return nil, fmt.Errorf("%w: in OpenSSH's own format; convert it with ssh-keygen -p -m pem -f FILE", ErrKey)
	default:
		return nil, fmt.Errorf("%w: PEM of type %q; a private key is needed", ErrKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the PEM is damaged: %w", ErrKey, err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T can't sign", ErrKey, parsed)
	}
	return signer, nil
}
