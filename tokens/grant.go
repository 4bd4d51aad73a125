package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	// ErrInvalidGrant says that a grant can't be signed: it has no room, or an
	// id that isn't UTF-8, or an extra claim that isn't JSON.
	ErrInvalidGrant = errors.New("invalid grant")

	// ErrReservedClaim says that a grant's extra claims name one of ours.
	ErrReservedClaim = errors.New("reserved claim")
)

// anonymous is the subject of a token for somebody without a user id.
const anonymous = "anon"

// reserved are the claims that only an [Issuer] writes.
var reserved = []string{
	"aud", "exp", "iat", "iss", "join_hub", "jti", "kick_users", "nbf", "room_ids", "sub", "typ", "user_id",
}

// A Grant is what one person may do in one room. It is signed as it stands.
//
// The zero Grant is not valid: to the SFU a token without a room holds for none,
// or, written as null, for every one of the server's.
type Grant struct {
	User      string // the app's user id; "" is anonymous: sub is "anon" and there is no user_id
	Room      string // the one room; room_ids is [Room]
	JoinHub   bool   // join_hub: may come in
	KickUsers bool   // kick_users: may remove others. To the SFU that holds for every room of the server

	// Extra are further claims, carried whole: any value that encoding/json
	// can write. None may have the name of one of ours, in any case.
	Extra map[string]any
}

// Key is a string that two grants have in common when their tokens' claims are
// identical but for times and jti. It is for comparing, not for parsing.
func (g Grant) Key() string {
	var b strings.Builder
	b.Grow(len(g.User) + len(g.Room) + 16)
	// The lengths keep ("a", "bc") apart from ("ab", "c").
	fmt.Fprintf(&b, "%d:%s%d:%s", len(g.User), g.User, len(g.Room), g.Room)
	if g.JoinHub {
		b.WriteByte('j')
	}
	if g.KickUsers {
		b.WriteByte('k')
	}
	if len(g.Extra) > 0 {
		// Map keys come out sorted, so equal maps give equal text. What can't
		// be encoded can't be signed either, and so never gets as far as a key.
		extra, _ := json.Marshal(g.Extra)
		b.Write(extra)
	}
	return b.String()
}

// Validate says what keeps g from being signed: it returns [ErrInvalidGrant] or
// [ErrReservedClaim], wrapped.
func (g Grant) Validate() error {
	if g.Room == "" {
		return fmt.Errorf("%w: no room", ErrInvalidGrant)
	}
	// encoding/json would write U+FFFD for what isn't UTF-8, and so turn two
	// rooms or users into one.
	if !utf8.ValidString(g.Room) {
		return fmt.Errorf("%w: the room's id is not UTF-8", ErrInvalidGrant)
	}
	if !utf8.ValidString(g.User) {
		return fmt.Errorf("%w: the user's id is not UTF-8", ErrInvalidGrant)
	}
	for name, value := range g.Extra {
		if !utf8.ValidString(name) {
			return fmt.Errorf("%w: an extra claim's name is not UTF-8", ErrInvalidGrant)
		}
		for _, r := range reserved {
			// In any case: some verifiers, those in Go among them, match names so.
			if strings.EqualFold(name, r) {
				return fmt.Errorf("%w: extra claim %q", ErrReservedClaim, name)
			}
		}
		if _, err := json.Marshal(value); err != nil {
			// The encoder's own text may quote the value: it stays out.
			return fmt.Errorf("%w: extra claim %q can't be written as JSON", ErrInvalidGrant, name)
		}
	}
	return nil
}

// frozen returns a copy that later changes to what Extra refers to don't reach.
// g is valid.
func (g Grant) frozen() Grant {
	if len(g.Extra) == 0 {
		g.Extra = nil
		return g
	}
	extra := make(map[string]any, len(g.Extra))
	for name, value := range g.Extra {
		raw, _ := json.Marshal(value)
		extra[name] = json.RawMessage(raw)
	}
	g.Extra = extra
	return g
}

// subject is the sub claim.
func (g Grant) subject() string {
	if g.User == "" {
		return anonymous
	}
	return g.User
}

// maxSafeInteger is the largest integer that every JSON reader takes for what
// it is (RFC 8259, section 6).
const maxSafeInteger = 1<<53 - 1

// userID is the user_id claim: an integer where the app's ids are integers, as
// the Phoenix backend wrote it, else a string. Only the one canonical way to
// write an integer counts, so that "7" and "07" stay two people.
func (g Grant) userID() any {
	n, err := strconv.ParseInt(g.User, 10, 64)
	if err != nil || n > maxSafeInteger || n < -maxSafeInteger || strconv.FormatInt(n, 10) != g.User {
		return g.User
	}
	return n
}
