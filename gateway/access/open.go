package access

import (
	"context"

	"github.com/roompass/roompass/tokens"
)

// Open lets everybody in, everywhere: it is for development. The credential is
// the user id, and such a user may kick; without one the person is anonymous,
// and may not.
type Open struct{}

// Authenticate implements [Control]. It denies only what can't be a user id:
// over 256 bytes, not UTF-8, or with control characters.
func (Open) Authenticate(_ context.Context, r Request) (Person, error) {
	if wrong := checkUser(r.Credential); wrong != "" {
		return Person{}, Denial{"with open access it is the user id, and this one " + wrong}
	}
	return Person{User: r.Credential, KickUsers: r.Credential != ""}, nil
}

// Admit implements [Control].
func (Open) Admit(_ context.Context, r Request) (Admission, error) {
	return Admission{Grant: tokens.Grant{User: r.Person.User, Room: r.Room, JoinHub: true, KickUsers: r.Person.KickUsers}}, nil
}
