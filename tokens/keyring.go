package tokens

import (
	"cmp"
	"crypto"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// ErrNoPublicKey says that the signing key has no public half in that form:
// HMAC has none, and PKCS#1 is RSA's alone.
var ErrNoPublicKey = errors.New("the signing key has no public key in this form")

// KeyOptions say how keys are used.
type KeyOptions struct {
	Alg     string       // RS512, RS256, ES256, EdDSA, HS256; "" is the usual one for the key
	NoKeyID bool         // tokens without kid, as the old backend made them
	Logger  *slog.Logger // says what a reload did; nil: slog.Default()
}

// A KeyRing is the keys as they were last loaded: the newest signs, all of them
// verify. It is safe for concurrent use.
type KeyRing struct {
	path string // "" where the keys came from memory
	opts KeyOptions
	keys atomic.Pointer[[]*key] // newest first, at least one
}

// LoadKeys reads the key at path: a PEM file, a directory of *.pem files of which
// the latest modified one signs, or with [KeyOptions.Alg] HS256 a secret. An
// error names the file and says what to do.
func LoadKeys(path string, opts KeyOptions) (*KeyRing, error) {
	r := &KeyRing{path: path, opts: opts}
	if r.opts.Logger == nil {
		r.opts.Logger = slog.Default()
	}
	keys, err := r.load()
	if err != nil {
		return nil, err
	}
	r.keys.Store(&keys)
	return r, nil
}

// NewKeyRing holds keys that are in memory, or in hardware, the signing one first.
func NewKeyRing(opts KeyOptions, signers ...crypto.Signer) (*KeyRing, error) {
	if len(signers) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrKey)
	}
	r := &KeyRing{opts: opts}
	var keys []*key
	for _, signer := range signers {
		k, err := newKey(signer, opts.Alg)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	r.keys.Store(&keys)
	return r, nil
}

// GenerateRSA makes a key of 2048 to 8192 bits, the sizes that the SFU takes.
func GenerateRSA(bits int) (*rsa.PrivateKey, error) {
	if bits < leastRSABits || bits > 8192 {
		return nil, fmt.Errorf("%w: RSA of %d bits; choose 2048 to 8192", ErrKey, bits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// Reload reads the keys again. On an error the keys before stay.
func (r *KeyRing) Reload() error {
	if r.path == "" {
		return nil
	}
	keys, err := r.load()
	if err != nil {
		return err
	}
	before := r.signing()
	r.keys.Store(&keys)
	if now := keys[0]; now.id != before.id {
		r.opts.Logger.Info("tokens are signed by a new key", "kid", now.id, "keys", len(keys))
	}
	return nil
}

func (r *KeyRing) load() ([]*key, error) {
	about, err := os.Stat(r.path)
	if err != nil {
		return nil, err
	}
	if !about.IsDir() {
		k, err := r.loadFile(r.path)
		if err != nil {
			return nil, err
		}
		return []*key{k}, nil
	}
	paths, err := filepath.Glob(filepath.Join(r.path, "*.pem"))
	if err != nil {
		return nil, err
	}
	type dated struct {
		*key
		path string
		at   int64
	}
	var found []dated
	for _, path := range paths {
		about, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if isPublic(path) {
			continue // keygen puts it beside the private one
		}
		k, err := r.loadFile(path)
		if err != nil {
			return nil, err
		}
		found = append(found, dated{k, path, about.ModTime().UnixNano()})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no private key in *.pem; make one with roompass keygen --out %s", r.path, r.path)
	}
	slices.SortFunc(found, func(a, b dated) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.path, a.path))
	})
	keys := make([]*key, len(found))
	for i, f := range found {
		keys[i] = f.key
	}
	return keys, nil
}

func isPublic(path string) bool {
	content, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(content)
	return block != nil && (block.Type == "PUBLIC KEY" || block.Type == "RSA PUBLIC KEY")
}

func (r *KeyRing) loadFile(path string) (*key, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := r.parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// parse never puts a piece of content into its error.
func (r *KeyRing) parse(content []byte) (*key, error) {
	if r.opts.Alg == "HS256" {
		if block, _ := pem.Decode(content); block != nil {
			return nil, fmt.Errorf("%w: a PEM file as the secret of HS256; give a file of random bytes", ErrKey)
		}
		return newSecretKey(trimNewline(content))
	}
	signer, err := parsePEM(content)
	if err != nil {
		return nil, err
	}
	return newKey(signer, r.opts.Alg)
}

func trimNewline(content []byte) []byte {
	for len(content) > 0 && (content[len(content)-1] == '\n' || content[len(content)-1] == '\r') {
		content = content[:len(content)-1]
	}
	return content
}

func (r *KeyRing) signing() *key { return (*r.keys.Load())[0] }

// JWKS is the set of public keys as JSON (RFC 7517). It is empty for HMAC.
func (r *KeyRing) JWKS() ([]byte, error) {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{[]json.RawMessage{}}
	for _, k := range *r.keys.Load() {
		if k.jwk != nil {
			set.Keys = append(set.Keys, k.jwk)
		}
	}
	return json.Marshal(set)
}

// PublicPEM is the signing key's public half, SPKI in PEM (RFC 7468).
func (r *KeyRing) PublicPEM() ([]byte, error) {
	k := r.signing()
	if k.public == nil {
		return nil, ErrNoPublicKey
	}
	return publicPEM(k.public)
}

func publicPEM(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// PublicDER is the signing key's public half as PKCS#1 (RFC 8017, appendix
// A.1.1): what janus-plugin-sfu reads as auth_key.
func (r *KeyRing) PublicDER() ([]byte, error) {
	public, ok := r.signing().public.(*rsa.PublicKey)
	if !ok {
		return nil, ErrNoPublicKey
	}
	return x509.MarshalPKCS1PublicKey(public), nil
}

// DeriveSecret derives keys of 32 bytes for another use than signing tokens, one
// from each key (HKDF, RFC 5869): the same wherever the same keys are loaded.
// Seal by newest, open by any of all.
func (r *KeyRing) DeriveSecret(label string) (newest []byte, all [][]byte) {
	for _, k := range *r.keys.Load() {
		secret, err := hkdf.Key(sha256.New, k.seed, nil, label, 32)
		if err != nil {
			panic("tokens: " + err.Error()) // 32 bytes are never too long for it
		}
		all = append(all, secret)
	}
	return all[0], all
}
