package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// issuedAt is when the tests' issuers sign.
var issuedAt = time.Unix(1_767_225_600, 0)

func newIssuer(t testing.TB, ring *KeyRing) *Issuer {
	t.Helper()
	i, err := NewIssuer(IssuerConfig{Keys: ring, TimeNow: func() time.Time { return issuedAt.Add(700 * time.Millisecond) }})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newRing(t testing.TB, opts KeyOptions) *KeyRing {
	t.Helper()
	ring, err := NewKeyRing(opts, rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// The claims are those that the SFU's first backend made, one by one: Guardian 2.1.1
// with the options of the note that roompass grew from.
func TestClaimsAreTheFirstBackendsOnes(t *testing.T) {
	for _, test := range []struct {
		name  string
		grant Grant
		want  string
	}{
		{"owner", Grant{User: "1", Room: "123", JoinHub: true, KickUsers: true},
			`{"aud":"webrtc_auth","exp":1767225900,"iat":1767225600,"iss":"","join_hub":true,"jti":"<uuid v4>",
			  "kick_users":true,"nbf":1767225599,"room_ids":["123"],"sub":"1","typ":"access","user_id":1}`},
		{"participant", Grant{User: "2", Room: "123", JoinHub: true},
			`{"aud":"webrtc_auth","exp":1767225900,"iat":1767225600,"iss":"","join_hub":true,"jti":"<uuid v4>",
			  "kick_users":false,"nbf":1767225599,"room_ids":["123"],"sub":"2","typ":"access","user_id":2}`},
		{"anonymous", Grant{Room: "123", JoinHub: true},
			`{"aud":"webrtc_auth","exp":1767225900,"iat":1767225600,"iss":"","join_hub":true,"jti":"<uuid v4>",
			  "kick_users":false,"nbf":1767225599,"room_ids":["123"],"sub":"anon","typ":"access"}`},
		{"user id that is no integer", Grant{User: "ann <ü>", Room: "a/b", JoinHub: true},
			`{"aud":"webrtc_auth","exp":1767225900,"iat":1767225600,"iss":"","join_hub":true,"jti":"<uuid v4>",
			  "kick_users":false,"nbf":1767225599,"room_ids":["a/b"],"sub":"ann <ü>","typ":"access","user_id":"ann <ü>"}`},
		{"extra claims", Grant{User: "1", Room: "123", Extra: map[string]any{
			"name": "Ann", "context": map[string]any{"roles": []string{"a", "b"}, "level": 3, "none": nil}}},
			`{"aud":"webrtc_auth","exp":1767225900,"iat":1767225600,"iss":"","join_hub":false,"jti":"<uuid v4>",
			  "kick_users":false,"nbf":1767225599,"room_ids":["123"],"sub":"1","typ":"access","user_id":1,
			  "name":"Ann","context":{"roles":["a","b"],"level":3,"none":null}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := newIssuer(t, newRing(t, KeyOptions{NoKeyID: true})).Mint(test.grant)
			if err != nil {
				t.Fatal(err)
			}
			if !token.IssuedAt.Equal(issuedAt) || !token.ExpiresAt.Equal(issuedAt.Add(5*time.Minute)) {
				t.Errorf("issued %v, expires %v", token.IssuedAt, token.ExpiresAt)
			}
			seen, err := Inspect(token.JWT)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(seen.Header); got != `{"alg":"RS512","typ":"JWT"}` {
				t.Errorf("header %s", got)
			}
			got := values(t, seen.Claims)
			if id, _ := got["jti"].(string); !uuid4.MatchString(id) {
				t.Errorf("jti %v", got["jti"])
			}
			got["jti"] = "<uuid v4>"
			if diff := cmp.Diff(values(t, []byte(test.want)), got); diff != "" {
				t.Error(diff)
			}
			// 1.767e9 would be the same number, and no integer to the SFU.
			for _, name := range []string{`"exp":1767225900`, `"iat":1767225600`, `"nbf":1767225599`} {
				if !strings.Contains(string(seen.Claims), name) {
					t.Errorf("no %s in the claims", name)
				}
			}
		})
	}
}

func values(t *testing.T, object []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(object, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUserIDIsAnIntegerWhereTheUsersIDIsOne(t *testing.T) {
	for user, want := range map[string]string{
		"0": `0`, "7": `7`, "-7": `-7`, "9007199254740991": `9007199254740991`,
		"07": `"07"`, "+7": `"+7"`, "7.0": `"7.0"`, "7e3": `"7e3"`, " 7": `" 7"`, "-0": `"-0"`,
		"9007199254740992": `"9007199254740992"`, "99999999999999999999": `"99999999999999999999"`, "anon": `"anon"`,
	} {
		token, err := newIssuer(t, newRing(t, KeyOptions{})).Mint(Grant{User: user, Room: "a"})
		if err != nil {
			t.Fatal(err)
		}
		seen := must(Inspect(token.JWT))
		var claims struct {
			UserID json.RawMessage `json:"user_id"`
		}
		if err := json.Unmarshal(seen.Claims, &claims); err != nil || string(claims.UserID) != want {
			t.Errorf("user %q: user_id %s, %v; want %s", user, claims.UserID, err, want)
		}
		verified, err := newRing(t, KeyOptions{}).Verify(token.JWT, issuedAt)
		if err != nil || verified.User != user {
			t.Errorf("user %q verified as %q, %v", user, verified.User, err)
		}
	}
}

func TestKeyIDIsTheThumbprintUnlessTurnedOff(t *testing.T) {
	with := must(newIssuer(t, newRing(t, KeyOptions{})).Mint(Grant{Room: "a"}))
	if got, want := must(Inspect(with.JWT)).KeyID, newRing(t, KeyOptions{}).keys.Load().all[0].thumbprint(); got != want {
		t.Errorf("kid %q; want %q", got, want)
	}
	without := must(newIssuer(t, newRing(t, KeyOptions{NoKeyID: true})).Mint(Grant{Room: "a"}))
	if header := string(must(Inspect(without.JWT)).Header); strings.Contains(header, "kid") {
		t.Errorf("header %s", header)
	}
	// Who turned it off still takes those from before.
	if _, err := newRing(t, KeyOptions{NoKeyID: true}).Verify(with.JWT, issuedAt); err != nil {
		t.Error(err)
	}
}

func TestGrantThatCannotBeSignedIsRefused(t *testing.T) {
	issuer := newIssuer(t, newRing(t, KeyOptions{}))
	for name, test := range map[string]struct {
		grant Grant
		want  error
	}{
		"no room":               {Grant{User: "1"}, ErrInvalidGrant},
		"room not UTF-8":        {Grant{Room: "a\xff"}, ErrInvalidGrant},
		"user not UTF-8":        {Grant{User: "\xc0", Room: "a"}, ErrInvalidGrant},
		"claim name not UTF-8":  {Grant{Room: "a", Extra: map[string]any{"\xff": 1}}, ErrInvalidGrant},
		"claim that isn't JSON": {Grant{Room: "a", Extra: map[string]any{"x": math.Inf(1)}}, ErrInvalidGrant},
		"extra exp":             {Grant{Room: "a", Extra: map[string]any{"exp": 1}}, ErrReservedClaim},
		"extra Room_IDs":        {Grant{Room: "a", Extra: map[string]any{"Room_IDs": nil}}, ErrReservedClaim},
		"extra user_id":         {Grant{Room: "a", Extra: map[string]any{"user_id": 1}}, ErrReservedClaim},
	} {
		if token, err := issuer.Mint(test.grant); !errors.Is(err, test.want) || !token.IsZero() {
			t.Errorf("%s: %v, %v; want %v", name, token, err, test.want)
		}
	}
}

func TestIssuerThatCannotWorkIsRefused(t *testing.T) {
	if _, err := NewIssuer(IssuerConfig{}); err == nil {
		t.Error("no keys: accepted")
	}
	for _, ttl := range []time.Duration{-1, time.Second - 1} {
		if _, err := NewIssuer(IssuerConfig{Keys: newRing(t, KeyOptions{}), TTL: ttl}); err == nil || !strings.Contains(err.Error(), "1s") {
			t.Errorf("a TTL of %v: %v", ttl, err)
		}
	}
	i := must(NewIssuer(IssuerConfig{Keys: newRing(t, KeyOptions{}), TTL: 2500 * time.Millisecond, Audience: "other", IssuerName: "us"}))
	token := must(i.Mint(Grant{Room: "a"}))
	if life := token.ExpiresAt.Sub(token.IssuedAt); life != 2*time.Second {
		t.Errorf("a TTL of 2.5s became %v; exp counts whole seconds", life)
	}
	claims, err := i.config.Keys.Verify(token.JWT, token.IssuedAt)
	if err != nil || claims.Audience != "other" || claims.Issuer != "us" {
		t.Errorf("%+v, %v", claims, err)
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	token := Token{JWT: "secret.secret.secret", IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(time.Minute)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if text := fmt.Sprintf(verb, token); strings.Contains(text, "secret") || strings.Contains(text, fmt.Sprintf("%x", "secret")) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if text := token.LogValue().String(); strings.Contains(text, "secret") {
		t.Errorf("slog prints %s", text)
	}
}
