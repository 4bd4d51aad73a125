package access

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// A keySource is where the app's public keys come from.
type keySource interface {
	// keyfunc returns the key that a token's header names, or a
	// [jwt.VerificationKeySet]. The errors are jwkset.ErrKeyNotFound, errKeysAway,
	// or that the key isn't for such tokens.
	keyfunc(context.Context, *jwt.Token) (any, error)
	reload() error
	close()
}

// signing are the values of a JWK's use that signatures may be verified with
// (RFC 7517, section 4.2).
var signing = []jwkset.USE{jwkset.UseSig, ""}

// pinnedKeys are in a file.
type pinnedKeys struct {
	path string
	now  atomic.Pointer[func(context.Context, *jwt.Token) (any, error)]
}

func newPinnedKeys(path string) (*pinnedKeys, error) {
	p := &pinnedKeys{path: path}
	return p, p.reload()
}

func (p *pinnedKeys) keyfunc(ctx context.Context, t *jwt.Token) (any, error) {
	return (*p.now.Load())(ctx, t)
}

func (p *pinnedKeys) close() {}

// longestKeySet is more than any set of public keys takes, in bytes.
const longestKeySet = 1 << 20

func (p *pinnedKeys) reload() error {
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, longestKeySet))
	if err != nil {
		return err
	}
	read := parsePEMKeys
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		read = parseKeySet
	}
	keyfunc, err := read(text)
	if err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	p.now.Store(&keyfunc)
	return nil
}

// parsePEMKeys reads one or several public keys. They have no names, so any of
// them may have signed.
func parsePEMKeys(text []byte) (func(context.Context, *jwt.Token) (any, error), error) {
	var set jwt.VerificationKeySet
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		key, err := parsePublicKey(block)
		if err != nil {
			return nil, err
		}
		if !fitsAny(key) {
			return nil, fmt.Errorf("a key of another kind: RSA of at least %d bits, P-256, P-384, P-521 and Ed25519 are taken", weakestRSA)
		}
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("neither a public key in PEM nor a JWK Set")
	}
	return func(context.Context, *jwt.Token) (any, error) { return set, nil }, nil
}

func parsePublicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	// A type such as "RSA PRIVATE KEY", but never the bytes.
	return nil, fmt.Errorf("has a block of type %q: only the app's public key belongs here", block.Type)
}

// parseKeySet reads a JWK Set (RFC 7517, section 5).
func parseKeySet(text []byte) (func(context.Context, *jwt.Token) (any, error), error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("not a JWK Set")
	}
	store, err := set.ToStorage()
	if err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	keys, err := store.KeyReadAll(context.Background())
	if err != nil {
		return nil, err
	}
	if !anyUsable(keys) {
		return nil, errNoKeys
	}
	known, err := keyfunc.New(keyfunc.Options{Storage: store, UseWhitelist: signing})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, t *jwt.Token) (any, error) { return known.KeyfuncCtx(ctx)(t) }, nil
}

var errNoKeys = errors.New("a JWK Set without a public key for signatures")

// anyUsable says whether one of the keys verifies anything.
func anyUsable(keys []jwkset.JWK) bool {
	for _, k := range keys {
		key := k.Key()
		if private, ok := key.(interface{ Public() crypto.PublicKey }); ok {
			key = private.Public()
		}
		if fitsAny(key) && k.Marshal().USE != jwkset.UseEnc {
			return true
		}
	}
	return false
}
