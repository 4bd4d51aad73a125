package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/roompass/roompass/tokens"
)

// What is wrong with a credential. All are [ErrDenied].
var (
	ErrNoCredential = Denial{"there is none"}
	ErrMalformed    = Denial{"it is not a JWT"}
	ErrAlgorithm    = Denial{"its algorithm isn't allowed, or isn't its key's"}
	ErrUnknownKey   = Denial{"it is signed with an unknown key"}
	ErrSignature    = Denial{"its signature doesn't hold"}
	ErrIssuer       = Denial{"it is from another issuer (iss)"}
	ErrAudience     = Denial{"it is for another audience (aud)"}
	ErrExpired      = Denial{"it has expired (exp)"}
	ErrNotYetValid  = Denial{"it isn't valid yet (nbf)"}
	ErrRoom         = Denial{"your credential doesn't name this room (room_ids)"}
)

// leeway is how far the app's clock and ours may be apart.
const leeway = 30 * time.Second

// longestCredential is the longest JWT that is looked at, in bytes. A resume
// secret repeats what it grants, and has to fit into a message.
const longestCredential = 16 << 10

// Algorithms are those that the app's tokens may be signed by. In none of them
// does the public key sign.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// JWTConfig says which tokens hold. One of KeyFile and JWKS is required, and so
// are Issuer and Audience.
type JWTConfig struct {
	KeyFile string // public keys in PEM, or a JWK Set
	JWKS    string // address of a JWK Set, http or https

	Algorithms []string // a part of [Algorithms]; nil is all of them
	Issuer     string   // iss, exactly
	Audience   string   // one of aud, exactly

	AnyRoom   bool // without room_ids a person may be in every room, rather than in none
	DataBytes int  // of the data claim; 0 is 4 KiB

	Logger  *slog.Logger     // told of keys that can't be read; nil discards
	TimeNow func() time.Time // nil: time.Now
}

// A JWT is a [Control] by the app's own tokens.
type JWT struct {
	config JWTConfig
	parser *jwt.Parser
	keys   keySource
}

// NewJWT reads the keys. Where they are at an address, ctx bounds that first
// reading, and they are read again in the background until [JWT.Close].
//
// It returns [ErrKeySet], wrapped, where the address doesn't give the keys, and
// other errors for what in cfg is wrong.
func NewJWT(ctx context.Context, cfg JWTConfig) (*JWT, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("an issuer and an audience are required: tokens that the app made for others don't open this gateway")
	}
	if cfg.Algorithms == nil {
		cfg.Algorithms = Algorithms
	}
	for _, alg := range cfg.Algorithms {
		if !slices.Contains(Algorithms, alg) {
			return nil, fmt.Errorf("algorithm %q: choose from %s", alg, strings.Join(Algorithms, ", "))
		}
	}
	if cfg.DataBytes == 0 {
		cfg.DataBytes = 4 << 10
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.TimeNow == nil {
		cfg.TimeNow = time.Now
	}
	j := &JWT{config: cfg, parser: jwt.NewParser(
		jwt.WithValidMethods(cfg.Algorithms), jwt.WithStrictDecoding(),
		jwt.WithoutClaimsValidation(), // parseClaims and check do that
	)}
	var err error
	switch {
	case cfg.KeyFile != "" && cfg.JWKS != "":
		return nil, errors.New("keys from a file and from an address: choose one")
	case cfg.KeyFile != "":
		j.keys, err = newPinnedKeys(cfg.KeyFile)
	case cfg.JWKS != "":
		j.keys, err = newRemoteKeys(ctx, cfg.JWKS, cfg.Logger)
	default:
		err = errors.New("no keys: give a file or the address of a JWK Set")
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Reload reads pinned keys again. On an error the old ones stay. Keys from an
// address are looked after in the background: for them it does nothing.
func (j *JWT) Reload() error { return j.keys.reload() }

// Close stops the background reading.
func (j *JWT) Close() { j.keys.close() }

// Authenticate implements [Control]. Until the signature holds nothing that the
// token claims is looked at.
func (j *JWT) Authenticate(ctx context.Context, r Request) (Person, error) {
	credential := r.Credential
	if credential == "" {
		return Person{}, ErrNoCredential
	}
	if len(credential) > longestCredential {
		return Person{}, Denial{fmt.Sprintf("it is longer than %d bytes", longestCredential)}
	}
	payload, err := j.verify(ctx, credential)
	if err != nil {
		return Person{}, err
	}
	c, err := parseClaims(payload, j.config.DataBytes)
	if err != nil {
		return Person{}, err
	}
	if err := j.check(c, j.config.TimeNow()); err != nil {
		return Person{}, err
	}
	return Person{
		User: c.subject, KickUsers: c.kickUsers, Rooms: c.rooms, JoinHub: c.joinHub, Data: c.data,
		AnyRoom: j.config.AnyRoom && len(c.rooms) == 0,
	}, nil
}

// Admit implements [Control].
func (j *JWT) Admit(_ context.Context, r Request) (Admission, error) {
	p := r.Person
	// A session may be older than the configuration, which then decides.
	everywhere := p.AnyRoom && j.config.AnyRoom
	if p.User == "" || !everywhere && !slices.Contains(p.Rooms, r.Room) {
		return Admission{}, ErrRoom
	}
	return Admission{Grant: tokens.Grant{User: p.User, Room: r.Room, JoinHub: p.JoinHub, KickUsers: p.KickUsers}}, nil
}

// verify returns the claims of a token whose signature holds.
func (j *JWT) verify(ctx context.Context, credential string) ([]byte, error) {
	var keyErr error
	token, err := j.parser.Parse(credential, func(t *jwt.Token) (any, error) {
		// RFC 7515, section 4.1.11: whoever doesn't understand an extension refuses.
		if _, ok := t.Header["crit"]; ok {
			keyErr = Denial{"its header has critical extensions (crit)"}
			return nil, keyErr
		}
		if kid, named := t.Header["kid"]; named {
			if _, ok := kid.(string); !ok {
				keyErr = Denial{"its header's kid is not a string"}
				return nil, keyErr
			}
		}
		var key any
		key, keyErr = j.keyFor(ctx, t)
		return key, keyErr
	})
	switch {
	case keyErr != nil:
		return nil, keyErr
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, ErrMalformed
	case err != nil && (token.Method == nil || !slices.Contains(j.config.Algorithms, token.Method.Alg())):
		return nil, ErrAlgorithm
	case err != nil:
		return nil, ErrSignature
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(strings.Split(credential, ".")[1])
	if err != nil {
		return nil, ErrMalformed
	}
	return payload, nil
}

// keyFor returns the keys that may have signed t: the one that its header names,
// or all where it names none.
func (j *JWT) keyFor(ctx context.Context, t *jwt.Token) (any, error) {
	found, err := j.keys.keyfunc(ctx, t)
	switch {
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return nil, ErrUnknownKey
	case errors.Is(err, errKeysAway):
		return nil, errKeysAway
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // the key is for another algorithm, or not for signatures
		return nil, ErrAlgorithm
	}
	set, many := found.(jwt.VerificationKeySet)
	if !many {
		set.Keys = []jwt.VerificationKey{found}
	}
	// The key says which algorithm, as far as it does; the header may only agree
	// (RFC 8725, section 3.1).
	set.Keys = slices.DeleteFunc(slices.Clone(set.Keys), func(k jwt.VerificationKey) bool { return !fits(t.Method.Alg(), k) })
	if len(set.Keys) == 0 {
		return nil, ErrAlgorithm
	}
	return set, nil
}

// weakestRSA is the smallest RSA key that is taken, in bits (RFC 7518, section 3.3).
const weakestRSA = 2048

// fits says whether a public key is one for an algorithm (RFC 7518, section 3.1).
func fits(alg string, key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (alg[:2] == "RS" || alg[:2] == "PS") && key.N.BitLen() >= weakestRSA
	case *ecdsa.PublicKey:
		return map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg] == key.Curve.Params().Name
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// fitsAny says whether a public key can verify anything here.
func fitsAny(key any) bool {
	return slices.ContainsFunc(Algorithms, func(alg string) bool { return fits(alg, key) })
}

// check says what in the claims of an honest token keeps it from holding here
// and now.
func (j *JWT) check(c claims, now time.Time) error {
	switch {
	case c.issuer != j.config.Issuer:
		return ErrIssuer
	case !slices.Contains(c.audience, j.config.Audience):
		return ErrAudience
	// RFC 7519, section 4.1.4: on or after exp it must not be accepted.
	case !now.Before(c.expires.Add(leeway)):
		return ErrExpired
	case now.Before(c.notBefore.Add(-leeway)):
		return ErrNotYetValid
	}
	return nil
}
