package gateway

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

func TestResumeSecretHoldsForItsSessionItsTimeAndItsKeysOnly(t *testing.T) {
	ring := func() *tokens.KeyRing {
		key, err := tokens.GenerateRSA(2048)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := tokens.NewKeyRing(tokens.KeyOptions{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	ours := sealer{ring()}
	person := access.Person{
		User: "ann", KickUsers: true, Rooms: []string{"lobby", "b"}, AnyRoom: true, JoinHub: true, Data: json.RawMessage(`{"name":"Ann"}`),
	}
	now := time.Unix(1_767_225_600, 0)
	ends := now.Add(time.Hour)
	secret := ours.seal("s1", person, ends)

	got, until, err := ours.open("s1", secret, ends.Add(-time.Second))
	if err != nil || !until.Equal(ends) {
		t.Fatalf("%v, %v", until, err)
	}
	if diff := cmp.Diff(person, got); diff != "" {
		t.Error(diff)
	}
	if len(secret) > 256 {
		t.Errorf("a secret of %d bytes", len(secret))
	}
	another := []byte(secret)
	another[50] ^= 1
	for name, open := range map[string]func() (access.Person, time.Time, error){
		"another session": func() (access.Person, time.Time, error) { return ours.open("s2", secret, now) },
		"too late":        func() (access.Person, time.Time, error) { return ours.open("s1", secret, ends) },
		"another key":     func() (access.Person, time.Time, error) { return sealer{ring()}.open("s1", secret, now) },
		"changed":         func() (access.Person, time.Time, error) { return ours.open("s1", string(another), now) },
		"cut":             func() (access.Person, time.Time, error) { return ours.open("s1", secret[:20], now) },
		"nothing":         func() (access.Person, time.Time, error) { return ours.open("s1", "", now) },
		"no base64":       func() (access.Person, time.Time, error) { return ours.open("s1", "!", now) },
	} {
		got, until, err := open()
		if err == nil || !until.IsZero() || !cmp.Equal(got, access.Person{}) {
			t.Errorf("%s: opened as %+v, %v", name, got, err)
		}
	}
}
