package tokens

import (
	"crypto"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// KeyOptions say how keys are to be used.
type KeyOptions struct {
	// Alg is the algorithm of every key: RS512, RS256, ES256, EdDSA or HS256. Empty is
	// what goes with each key: RS512 for RSA, ES256 for P-256, EdDSA for Ed25519.
	Alg string

	// NoKeyID leaves the kid out of the tokens' header, for a verifier that
	// can't take one.
	NoKeyID bool

	// Logger is told of reloads by [KeyRing.Watch]. Nil discards.
	Logger *slog.Logger
}

// A KeyRing is the keys as they were last loaded: one signs, all verify. It is
// safe for concurrent use.
type KeyRing struct {
	path string // "" for keys that were never in a file
	opts KeyOptions

	reloading sync.Mutex // one Reload at a time, so that an older view can't replace a newer one
	keys      atomic.Pointer[keySet]
}

// A keySet is the keys of one load. It is not changed once made.
type keySet struct {
	all []*key // at least one; the first signs
}

// NewKeyRing makes a ring of private keys in memory: *[rsa.PrivateKey] of 2048 to 8192
// bits, *[ecdsa.PrivateKey] on P-256, or [ed25519.PrivateKey]. The first signs. It
// returns [ErrNoPrivateKey], [ErrInvalidKey] or [ErrWeakKey], wrapped.
func NewKeyRing(opts KeyOptions, signers ...crypto.Signer) (*KeyRing, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if len(signers) == 0 {
		return nil, ErrNoPrivateKey
	}
	set := &keySet{}
	for i, s := range signers {
		k, err := newPrivateKey(s, opts.Alg)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		k.modTime = time.Now()
		set.add(k)
	}
	r := &KeyRing{opts: opts}
	r.keys.Store(set)
	return r, nil
}

// LoadKeys reads the keys at path, which is one of:
//
//   - a PEM file with a private key (PKCS#1, PKCS#8 or SEC 1);
//   - a directory, for rotation: of its *.pem the private key that was modified
//     last signs, and among those of one time (a Kubernetes secret's files all have
//     the same) the one whose name sorts last. All of them verify, a public key
//     too, and all are in the JWKS;
//   - where opts.Alg is HS256, a file of at least 32 secret bytes. The newline at
//     the end of one that is text doesn't count.
//
// It returns [ErrInvalidKey], [ErrWeakKey] or [ErrNoPrivateKey], wrapped, with
// the file's name and what to do; or the file system's error.
func LoadKeys(path string, opts KeyOptions) (*KeyRing, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	r := &KeyRing{path: path, opts: opts}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

func (o KeyOptions) validate() error {
	switch o.Alg {
	case "", "RS512", "RS256", "ES256", "EdDSA", "HS256":
		return nil
	}
	return fmt.Errorf("%w: algorithm %q; choose RS512, RS256, ES256, EdDSA or HS256", ErrInvalidKey, o.Alg)
}

// Signing returns the id of the key that signs, "" for a secret, and when its file was
// modified; for a key in memory, when the ring was made.
func (r *KeyRing) Signing() (kid string, since time.Time) {
	k := r.keys.Load().all[0]
	return k.id, k.modTime
}

// Reload reads the keys again. On an error, as [LoadKeys] returns it, the old
// keys stay. For a ring in memory it does nothing.
func (r *KeyRing) Reload() error {
	_, err := r.reload()
	return err
}

// reload also says whether the keys are others than before.
func (r *KeyRing) reload() (changed bool, err error) {
	if r.path == "" {
		return false, nil
	}
	r.reloading.Lock()
	defer r.reloading.Unlock()
	set, err := r.read()
	if err != nil {
		return false, err
	}
	old := r.keys.Swap(set)
	return old == nil || !old.equal(set), nil
}

func (r *KeyRing) read() (*keySet, error) {
	stat, err := os.Stat(r.path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if stat.IsDir() {
		return r.readDir()
	}
	k, err := readKey(r.path, r.opts.Alg)
	if err != nil {
		return nil, err
	}
	if !k.signs() {
		return nil, fmt.Errorf("%w: %s: a public key; serve needs the private one", ErrNoPrivateKey, r.path)
	}
	return &keySet{all: []*key{k}}, nil
}

func (r *KeyRing) readDir() (*keySet, error) {
	if r.opts.Alg == "HS256" {
		return nil, fmt.Errorf("%w: %s: a directory; HS256 wants one file with the secret", ErrInvalidKey, r.path)
	}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var keys []*key
	for _, entry := range entries {
		// A name with a dot is an editor's, or the far side of a Kubernetes mount.
		if strings.HasPrefix(entry.Name(), ".") || filepath.Ext(entry.Name()) != ".pem" {
			continue
		}
		k, err := readKey(filepath.Join(r.path, entry.Name()), r.opts.Alg)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, newestFirst)
	set := &keySet{}
	for _, k := range keys {
		set.add(k)
	}
	if len(set.all) == 0 || !set.all[0].signs() {
		return nil, fmt.Errorf("%w: no *.pem in %s is a private key; make one with roompass keygen", ErrNoPrivateKey, r.path)
	}
	return set, nil
}

// newestFirst orders the keys that sign before those that only verify, then the
// later file before the earlier, then the later name before the earlier.
func newestFirst(a, b *key) int {
	if a.signs() != b.signs() {
		if a.signs() {
			return -1
		}
		return 1
	}
	if c := b.modTime.Compare(a.modTime); c != 0 {
		return c
	}
	return strings.Compare(b.name, a.name)
}

// maxKeyFile is more than any key takes: an RSA key of 8192 bits is 6.4 KB.
const maxKeyFile = 64 << 10

func readKey(path, alg string) (*key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	stat, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	file, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k, err := parseKey(file, alg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.name, k.modTime = filepath.Base(path), stat.ModTime()
	return k, nil
}

func parseKey(file []byte, alg string) (*key, error) {
	if len(file) > maxKeyFile {
		return nil, fmt.Errorf("%w: over %d bytes; that is no key", ErrInvalidKey, maxKeyFile)
	}
	if alg == "HS256" {
		return newSecret(file)
	}
	return parsePEM(file, alg)
}

// add appends k, unless the set has that key already: keygen puts a key and its
// public half side by side.
func (s *keySet) add(k *key) {
	for _, have := range s.all {
		if have.id == k.id {
			return
		}
	}
	s.all = append(s.all, k)
}

// equal compares what the keys are, not the files that they were in.
func (s *keySet) equal(other *keySet) bool {
	return slices.EqualFunc(s.all, other.all, func(a, b *key) bool {
		return a.id == b.id && string(a.material) == string(b.material)
	})
}

// derivationSalt keeps what is derived here apart from anything else that anyone
// derives from the same key.
const derivationSalt = "roompass/tokens: derived secret, v1"

// DeriveSecret derives a secret of 32 bytes from each private key, by HKDF with SHA-256
// (RFC 5869): for HMACs and seals that another pod with the same keys has to be
// able to check. Different labels give unrelated secrets. newest is of the key that
// signs, to make seals with; all begins with it and is there to check seals from
// before a rotation.
func (r *KeyRing) DeriveSecret(label string) (newest []byte, all [][]byte) {
	for _, k := range r.keys.Load().all {
		if !k.signs() {
			continue // anybody could derive from a public key
		}
		secret, err := hkdf.Key(sha256.New, k.material, []byte(derivationSalt), label, sha256.Size)
		if err != nil {
			// By RFC 5869 only an output of more than 255 hashes is refused.
			panic(errors.New("tokens: HKDF refused 32 bytes"))
		}
		all = append(all, secret)
	}
	return all[0], all
}
