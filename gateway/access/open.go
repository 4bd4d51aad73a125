package access

import (
	"context"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/roompass/roompass/tokens"
)

// longestUser is the longest user id, in bytes, that Open takes.
const longestUser = 256

// Open lets everybody in, everywhere: it is for development. The credential is
// the user id, and such a user may kick; without one the person is anonymous,
// and may not.
type Open struct{}

// Authenticate implements [Control]. It denies only what can't be a user id:
// over 256 bytes, not UTF-8, or with control characters.
func (Open) Authenticate(_ context.Context, credential string) (Person, error) {
	if len(credential) > longestUser {
		return Person{}, fmt.Errorf("%w: with open access the credential is the user id, of at most %d bytes", ErrDenied, longestUser)
	}
	if !utf8.ValidString(credential) {
		return Person{}, fmt.Errorf("%w: the user id is not UTF-8", ErrDenied)
	}
	for _, r := range credential {
		if unicode.IsControl(r) {
			return Person{}, fmt.Errorf("%w: the user id contains a control character", ErrDenied)
		}
	}
	return Person{User: credential, KickUsers: credential != ""}, nil
}

// Admit implements [Control].
func (Open) Admit(_ context.Context, p Person, room string) (tokens.Grant, error) {
	return tokens.Grant{User: p.User, Room: room, JoinHub: true, KickUsers: p.KickUsers}, nil
}
