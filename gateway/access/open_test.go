package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/tokens"
)

func TestOpenTakesTheCredentialForTheUser(t *testing.T) {
	for _, test := range []struct {
		credential string
		want       tokens.Grant
	}{
		{"ann", tokens.Grant{User: "ann", Room: "lobby", JoinHub: true, KickUsers: true}},
		{"", tokens.Grant{Room: "lobby", JoinHub: true}},
		{strings.Repeat("ü", 128), tokens.Grant{User: strings.Repeat("ü", 128), Room: "lobby", JoinHub: true, KickUsers: true}},
	} {
		person, err := Open{}.Authenticate(t.Context(), Request{Credential: test.credential})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open{}.Admit(t.Context(), Request{Person: person, Room: "lobby"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got.Grant); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOpenDeniesWhatCannotBeAUser(t *testing.T) {
	for name, credential := range map[string]string{
		"too long": strings.Repeat("u", 257), "not UTF-8": "\xff", "control character": "a\nb",
	} {
		if _, err := (Open{}).Authenticate(t.Context(), Request{Credential: credential}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
