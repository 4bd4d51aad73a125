package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What is wrong with a grant.
var (
	// ErrNoRoom: to the SFU, a token without a room is good for every room.
	ErrNoRoom = errors.New("a grant needs a room: a token without one opens them all")
	// ErrReservedClaim: an extra claim has the name of one that the issuer sets.
	ErrReservedClaim = errors.New("extra claims can't replace the token's own")
)

// A Grant is what one person may do in one room. It is signed as it stands: a
// refreshed token differs from its predecessor in iat, nbf, exp and jti only.
type Grant struct {
	User      string // the app's id; "" is anonymous: sub "anon" and no user_id
	Room      string // room_ids is this one
	JoinHub   bool
	KickUsers bool           // to the SFU this holds for every room of a server
	Extra     map[string]any // claims carried whole; must encode as JSON
}

// reserved are the claims that the issuer sets itself.
var reserved = map[string]bool{
	"aud": true, "exp": true, "iat": true, "iss": true, "jti": true, "nbf": true, "sub": true, "typ": true,
	"user_id": true, "join_hub": true, "kick_users": true, "room_ids": true,
}

// Validate returns ErrNoRoom or ErrReservedClaim, wrapped, or says which extra
// claim can't be encoded.
func (g Grant) Validate() error {
	if strings.TrimSpace(g.Room) == "" {
		return ErrNoRoom
	}
	for name := range g.Extra {
		if reserved[name] {
			return fmt.Errorf("%w: %q", ErrReservedClaim, name)
		}
	}
	if _, err := json.Marshal(g.Extra); err != nil {
		return fmt.Errorf("extra claims: %w", err)
	}
	return nil
}

// Key is the same for grants that sign into the same claims, and only for those.
func (g Grant) Key() string {
	// encoding/json sorts the keys of maps.
	text, err := json.Marshal(g)
	if err != nil {
		return fmt.Sprintf("%#v", g) // can't be signed either: Validate says so
	}
	return string(text)
}

// subject is sub, and user_id: an integer where the app's id is one that every
// JSON reader takes exactly (RFC 8259, section 6), nil for the anonymous.
func (g Grant) subject() (sub string, userID any) {
	if g.User == "" {
		return "anon", nil
	}
	const exact = 1<<53 - 1
	if n, err := strconv.ParseInt(g.User, 10, 64); err == nil && n >= -exact && n <= exact && strconv.FormatInt(n, 10) == g.User {
		return g.User, n
	}
	return g.User, g.User
}
