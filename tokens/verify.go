package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	// ErrAlgorithm says that a token's header names another algorithm than the key has.
	ErrAlgorithm = errors.New("token's algorithm is not the key's")

	// ErrUnknownKey says that a token names a key that isn't in the ring.
	ErrUnknownKey = errors.New("token names a key that is not ours")

	// ErrSignature says that a token was signed with no key of the ring, or
	// changed since.
	ErrSignature = errors.New("token's signature does not hold")

	// ErrExpired says that a token's exp has come.
	ErrExpired = errors.New("token has expired")

	// ErrNotYetValid says that a token's nbf is still to come.
	ErrNotYetValid = errors.New("token is not valid yet")
)

// Claims are what a verified token says.
type Claims struct {
	KeyID     string // kid of the header; "" where there is none
	Algorithm string // alg of the header, which is the key's

	ID        string    // jti
	Issuer    string    // iss
	Subject   string    // sub
	Audience  string    // aud. Compare it: the ring doesn't know which one is meant
	Type      string    // typ
	IssuedAt  time.Time // iat; zero where there is none
	NotBefore time.Time // nbf; zero where there is none
	ExpiresAt time.Time // exp

	User      string   // user_id, an integer too as a string; "" is anonymous
	Rooms     []string // room_ids: at least one
	JoinHub   bool
	KickUsers bool

	Extra map[string]json.RawMessage // all other claims; nil where there are none
}

// Verify says what the token claims, if it holds at the time now: signed with a
// key of the ring by that key's own algorithm, nbf <= now < exp, and its claims
// of the types that an [Issuer] writes. exp and at least one room are required.
//
// It returns [ErrMalformed], [ErrAlgorithm], [ErrUnknownKey], [ErrSignature],
// [ErrExpired] or [ErrNotYetValid], wrapped. Nothing that the token claims is
// looked at, and no error tells of it, before the signature holds.
func (r *KeyRing) Verify(text string, now time.Time) (Claims, error) {
	c, err := r.verify(text, now)
	if err != nil {
		return Claims{}, err
	}
	return c, nil
}

// VerifyPast is Verify for a token that may have run out: it says whether it has.
// Such a token tells who somebody was, and opens nothing.
func (r *KeyRing) VerifyPast(text string, now time.Time) (_ Claims, expired bool, _ error) {
	c, err := r.verify(text, now)
	if expired = errors.Is(err, ErrExpired); err != nil && !expired {
		return Claims{}, false, err
	}
	return c, expired, nil
}

// verify returns the claims of an expired token too, with [ErrExpired].
func (r *KeyRing) verify(text string, now time.Time) (Claims, error) {
	j, err := parseJWT(text)
	if err != nil {
		return Claims{}, err
	}
	k, err := r.checkSignature(text, j.header)
	if err != nil {
		return Claims{}, err
	}
	c, err := readClaims(j.claims)
	if err != nil {
		return Claims{}, err
	}
	c.Algorithm = k.alg
	c.KeyID, _ = j.header.text("kid") // it was read before
	// RFC 7519, section 4.1.4: on or after exp it must not be accepted.
	if !now.Before(c.ExpiresAt) {
		return c, fmt.Errorf("%w: at %s", ErrExpired, c.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if now.Before(c.NotBefore) {
		return Claims{}, fmt.Errorf("%w: only from %s on", ErrNotYetValid, c.NotBefore.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// checkSignature returns the key that text was signed with.
func (r *KeyRing) checkSignature(text string, header object) (*key, error) {
	alg, err := header.text("alg")
	if err != nil {
		return nil, err
	}
	if _, ok := header["crit"]; ok {
		// RFC 7515, section 4.1.11: whoever doesn't understand an extension refuses.
		return nil, fmt.Errorf("%w: critical header extensions", ErrMalformed)
	}
	if typ, err := header.text("typ"); err != nil || typ != "" && typ != "JWT" {
		return nil, fmt.Errorf("%w: the header's typ is not JWT", ErrMalformed)
	}
	kid, err := header.text("kid")
	if err != nil {
		return nil, err
	}
	_, named := header["kid"]
	keys := r.keys.Load().all
	if named {
		i := slices.IndexFunc(keys, func(k *key) bool { return k.id != "" && k.id == kid })
		if i < 0 {
			return nil, ErrUnknownKey
		}
		keys = keys[i : i+1]
	}

	// The key says which algorithm; the header may only agree (RFC 8725, section
	// 3.1). That leaves none, and HS256 by a public key, with no key at all.
	failure := ErrAlgorithm
	for _, k := range keys {
		if k.alg != alg {
			continue
		}
		parser := jwt.NewParser(jwt.WithValidMethods([]string{k.alg}), jwt.WithStrictDecoding(),
			jwt.WithJSONNumber(), jwt.WithoutClaimsValidation()) // the claims are read by readClaims
		if _, err := parser.Parse(text, func(*jwt.Token) (any, error) { return k.verifier(), nil }); err == nil {
			return k, nil
		}
		failure = ErrSignature
	}
	return nil, failure
}

// readClaims wants each claim of ours to be of the type that an Issuer writes.
func readClaims(o object) (c Claims, err error) {
	for _, t := range []struct {
		name string
		to   *string
	}{{"jti", &c.ID}, {"iss", &c.Issuer}, {"sub", &c.Subject}, {"aud", &c.Audience}, {"typ", &c.Type}} {
		if *t.to, err = o.text(t.name); err != nil {
			return Claims{}, err
		}
	}
	for _, t := range []struct {
		name string
		to   *time.Time
	}{{"iat", &c.IssuedAt}, {"nbf", &c.NotBefore}, {"exp", &c.ExpiresAt}} {
		seconds, ok, err := o.integer(t.name)
		if err != nil {
			return Claims{}, err
		}
		if ok {
			*t.to = time.Unix(seconds, 0)
		}
	}
	if _, ok := o["exp"]; !ok {
		return Claims{}, fmt.Errorf("%w: no exp", ErrMalformed)
	}
	if c.JoinHub, err = o.flag("join_hub"); err != nil {
		return Claims{}, err
	}
	if c.KickUsers, err = o.flag("kick_users"); err != nil {
		return Claims{}, err
	}
	if c.User, err = readUser(o); err != nil {
		return Claims{}, err
	}
	if c.Rooms, err = readRooms(o["room_ids"]); err != nil {
		return Claims{}, err
	}
	for name, raw := range o {
		if !slices.Contains(reserved, name) {
			if c.Extra == nil {
				c.Extra = map[string]json.RawMessage{}
			}
			c.Extra[name] = raw
		}
	}
	return c, nil
}

// readUser returns user_id, a string or an integer, as a string.
func readUser(o object) (string, error) {
	raw, ok := o["user_id"]
	if !ok {
		return "", nil
	}
	if _, _, err := o.integer("user_id"); err == nil {
		return string(raw), nil
	}
	user, err := textOf(raw, "user_id")
	if err != nil || user == "" {
		return "", fmt.Errorf("%w: user_id is neither a string with something in it nor an integer", ErrMalformed)
	}
	return user, nil
}

// readRooms refuses what the SFU would take for every room (absent, null), and
// what names none.
func readRooms(raw json.RawMessage) ([]string, error) {
	var rooms []*string
	if raw == nil || json.Unmarshal(raw, &rooms) != nil || len(rooms) == 0 {
		return nil, fmt.Errorf("%w: room_ids is not a list of rooms", ErrMalformed)
	}
	names := make([]string, len(rooms))
	for i, room := range rooms {
		if room == nil || *room == "" {
			return nil, fmt.Errorf("%w: room_ids has something in it that is no room's id", ErrMalformed)
		}
		names[i] = *room
	}
	return names, nil
}
