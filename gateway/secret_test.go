package gateway

import (
	"testing"
	"time"

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
	ours := sealer{keys: ring(), lasts: time.Hour}
	person := access.Person{User: "ann", KickUsers: true}
	now := time.Unix(1_767_225_600, 0)
	secret := ours.seal("s1", person, now)

	if got, err := ours.open("s1", secret, now.Add(time.Hour-time.Second)); err != nil || got != person {
		t.Fatalf("%+v, %v", got, err)
	}
	another := []byte(secret)
	another[50] ^= 1
	for name, open := range map[string]func() (access.Person, error){
		"another session": func() (access.Person, error) { return ours.open("s2", secret, now) },
		"too late":        func() (access.Person, error) { return ours.open("s1", secret, now.Add(time.Hour)) },
		"another key":     func() (access.Person, error) { return sealer{keys: ring(), lasts: time.Hour}.open("s1", secret, now) },
		"changed":         func() (access.Person, error) { return ours.open("s1", string(another), now) },
		"cut":             func() (access.Person, error) { return ours.open("s1", secret[:20], now) },
		"nothing":         func() (access.Person, error) { return ours.open("s1", "", now) },
		"no base64":       func() (access.Person, error) { return ours.open("s1", "!", now) },
	} {
		if got, err := open(); err == nil || got != (access.Person{}) {
			t.Errorf("%s: opened as %+v, %v", name, got, err)
		}
	}
}
