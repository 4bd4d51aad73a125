package tokens

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerifiedTokenSaysWhatWasGranted(t *testing.T) {
	ring := newRing(t, KeyOptions{})
	token := must(newIssuer(t, ring).Mint(Grant{
		User: "7", Room: "lobby", JoinHub: true, KickUsers: true, Extra: map[string]any{"roles": []string{"a"}}}))
	got, err := ring.Verify(token.JWT, issuedAt)
	if err != nil {
		t.Fatal(err)
	}
	want := Claims{
		KeyID: ring.keys.Load().all[0].id, Algorithm: "RS512",
		ID: got.ID, Subject: "7", Audience: "webrtc_auth", Type: "access",
		IssuedAt: issuedAt, NotBefore: issuedAt.Add(-time.Second), ExpiresAt: issuedAt.Add(5 * time.Minute),
		User: "7", Rooms: []string{"lobby"}, JoinHub: true, KickUsers: true,
		Extra: map[string]json.RawMessage{"roles": json.RawMessage(`["a"]`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A forgery is a token in the making: what an attacker, or a careless issuer, would
// write, signed with whatever they have.
type forgery struct {
	header, claims map[string]any
	sign           func(input string) []byte
}

func goodForgery(kid string) forgery {
	return forgery{
		header: map[string]any{"alg": "RS512", "typ": "JWT", "kid": kid},
		claims: map[string]any{
			"aud": "webrtc_auth", "exp": issuedAt.Unix() + 300, "iat": issuedAt.Unix(), "iss": "", "join_hub": true, "jti": "1",
			"kick_users": false, "nbf": issuedAt.Unix() - 1, "room_ids": []string{"lobby"}, "sub": "anon", "typ": "access",
		},
		sign: rs512(rsaKey()),
	}
}

func rs512(private *rsa.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		sum := sha512.Sum512([]byte(input))
		return must(rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA512, sum[:]))
	}
}

func hs256(secret []byte) func(string) []byte {
	return func(input string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

func (f forgery) String() string {
	return compact(must(json.Marshal(f.header)), must(json.Marshal(f.claims)), f.sign)
}

func compact(header, claims []byte, sign func(string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64(header) + "." + b64(claims)
	return input + "." + b64(sign(input))
}

func TestTokenThatDoesNotHoldIsRefused(t *testing.T) {
	ring := newRing(t, KeyOptions{})
	kid := ring.keys.Load().all[0].id
	publicPEM := must(ring.PublicPEM())
	publicDER := must(ring.PublicDER())
	rs256 := func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		return must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:]))
	}
	pss := func(input string) []byte {
		sum := sha512.Sum512([]byte(input))
		return must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA512, sum[:], nil))
	}
	set := func(name string, value any) func(*forgery) { return func(f *forgery) { f.claims[name] = value } }
	without := func(name string) func(*forgery) { return func(f *forgery) { delete(f.claims, name) } }
	head := func(name string, value any) func(*forgery) { return func(f *forgery) { f.header[name] = value } }

	if _, err := ring.Verify(goodForgery(kid).String(), issuedAt); err != nil {
		t.Fatalf("the one that the others are made of: %v", err)
	}
	for _, test := range []struct {
		name  string
		spoil func(*forgery)
		want  error
	}{
		{"alg none, unsigned", func(f *forgery) { f.header["alg"] = "none"; f.sign = func(string) []byte { return nil } }, ErrAlgorithm},
		{"alg none, signed", head("alg", "none"), ErrAlgorithm},
		{"alg NONE", head("alg", "NONE"), ErrAlgorithm},
		{"HMAC by public.pem", func(f *forgery) { f.header["alg"] = "HS256"; f.sign = hs256(publicPEM) }, ErrAlgorithm},
		{"HMAC by public.der", func(f *forgery) { f.header["alg"] = "HS256"; f.sign = hs256(publicDER) }, ErrAlgorithm},
		{"HMAC by public.pem, without kid", func(f *forgery) { f.header["alg"] = "HS256"; delete(f.header, "kid"); f.sign = hs256(publicPEM) }, ErrAlgorithm},
		{"HMAC that calls itself RS512", func(f *forgery) { f.sign = hs256(publicPEM) }, ErrSignature},
		{"RS256 by our key", func(f *forgery) { f.header["alg"] = "RS256"; f.sign = rs256 }, ErrAlgorithm},
		{"PS512 by our key", func(f *forgery) { f.header["alg"] = "PS512"; f.sign = pss }, ErrAlgorithm},
		{"PSS that calls itself RS512", func(f *forgery) { f.sign = pss }, ErrSignature},
		{"no alg", func(f *forgery) { delete(f.header, "alg") }, ErrAlgorithm},
		{"alg a number", head("alg", 5), ErrMalformed},
		{"foreign kid, our signature", head("kid", "foreign"), ErrUnknownKey},
		{"empty kid", head("kid", ""), ErrUnknownKey},
		{"kid a number", head("kid", 1), ErrMalformed},
		{"our kid, foreign signature", func(f *forgery) { f.sign = rs512(otherRSAKey()) }, ErrSignature},
		{"no kid, foreign signature", func(f *forgery) { delete(f.header, "kid"); f.sign = rs512(otherRSAKey()) }, ErrSignature},
		{"critical extension", head("crit", []string{"exp"}), ErrMalformed},
		{"typ of the header", head("typ", "dpop+jwt"), ErrMalformed},

		{"no exp", without("exp"), ErrMalformed},
		{"exp null", set("exp", nil), ErrMalformed},
		{"exp a string", set("exp", "1767225900"), ErrMalformed},
		{"exp a fraction", set("exp", 1767225900.5), ErrMalformed},
		{"exp a whole float", set("exp", json.RawMessage("1767225900.0")), ErrMalformed},
		{"exp with an exponent", set("exp", json.RawMessage("1.7672259e9")), ErrMalformed},
		{"exp past 2^53", set("exp", json.RawMessage("99999999999999999")), ErrMalformed},
		{"exp past 2^63", set("exp", json.RawMessage("99999999999999999999")), ErrMalformed},
		{"exp negative", set("exp", -1), ErrExpired},
		{"expired by a second", set("exp", issuedAt.Unix()-1), ErrExpired},
		{"expires now", set("exp", issuedAt.Unix()), ErrExpired},
		{"from a second on", set("nbf", issuedAt.Unix()+1), ErrNotYetValid},
		{"nbf a float", set("nbf", 1.5), ErrMalformed},
		{"iat a string", set("iat", "now"), ErrMalformed},
		{"no rooms", without("room_ids"), ErrMalformed},
		{"rooms null", set("room_ids", nil), ErrMalformed},
		{"rooms empty", set("room_ids", []string{}), ErrMalformed},
		{"a room that is empty", set("room_ids", []string{"a", ""}), ErrMalformed},
		{"a room that is null", set("room_ids", []any{"a", nil}), ErrMalformed},
		{"a room that is a number", set("room_ids", []any{1}), ErrMalformed},
		{"rooms a string", set("room_ids", "lobby"), ErrMalformed},
		{"join_hub a string", set("join_hub", "true"), ErrMalformed},
		{"kick_users a number", set("kick_users", 1), ErrMalformed},
		{"aud a list", set("aud", []string{"webrtc_auth"}), ErrMalformed},
		{"user_id null", set("user_id", nil), ErrMalformed},
		{"user_id empty", set("user_id", ""), ErrMalformed},
		{"user_id a float", set("user_id", 1.5), ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := goodForgery(kid)
			test.spoil(&f)
			claims, err := ring.Verify(f.String(), issuedAt)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v; want %v", err, test.want)
			}
			if diff := cmp.Diff(Claims{}, claims); diff != "" {
				t.Errorf("a refused token's claims came back: %s", diff)
			}
		})
	}
}

func TestTokenThatTwoReadersCouldReadInTwoWaysIsRefused(t *testing.T) {
	ring := newRing(t, KeyOptions{NoKeyID: true})
	header, claims := `{"alg":"RS512","typ":"JWT"}`, `{"exp":1767225900,"room_ids":["a"]}`
	sign := rs512(rsaKey())
	good := compact([]byte(header), []byte(claims), sign)
	if _, err := ring.Verify(good, issuedAt); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, text := range map[string]string{
		"a claim twice":         compact([]byte(header), []byte(`{"exp":1,"exp":1767225900,"room_ids":["a"]}`), sign),
		"a claim twice, escape": compact([]byte(header), []byte(`{"exp":1,"\u0065xp":1767225900,"room_ids":["a"]}`), sign),
		"twice, deep inside":    compact([]byte(header), []byte(`{"exp":1767225900,"room_ids":["a"],"x":[{"y":1,"y":2}]}`), sign),
		"alg twice":             compact([]byte(`{"alg":"none","alg":"RS512"}`), []byte(claims), sign),
		"two objects":           compact([]byte(header), []byte(claims+claims), sign),
		"claims a list":         compact([]byte(header), []byte(`[1]`), sign),
		"claims null":           compact([]byte(header), []byte(`null`), sign),
		"claims cut short":      compact([]byte(header), []byte(claims[:20]), sign),
		"not UTF-8":             compact([]byte(header), []byte("{\"exp\":1767225900,\"room_ids\":[\"a\xff\"]}"), sign),
		"nested too deep":       compact([]byte(header), []byte(`{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`), sign),
		"nothing":               "",
		"one part":              parts[0],
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            good + ".",
		"five parts, as JWE":    good + "..",
		"padded":                good + "==",
		"line break":            good[:10] + "\n" + good[10:],
		"a space before":        " " + good,
		"standard alphabet":     parts[0] + "." + parts[1] + ".+/" + parts[2][2:],
		"too long":              good + strings.Repeat("A", maxJWT),
	} {
		if _, err := ring.Verify(text, issuedAt); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v; want %v", name, err, ErrMalformed)
		}
	}
	for i := len(good) - 300; i < len(good)-1; i++ { // each way to lose its end
		if _, err := ring.Verify(good[:i], issuedAt); err == nil {
			t.Errorf("cut to %d of %d characters: accepted", i, len(good))
		}
	}
}

func TestOneSecondBeforeItsExpiryATokenIsGood(t *testing.T) {
	ring := newRing(t, KeyOptions{})
	token := must(newIssuer(t, ring).Mint(Grant{Room: "a"}))
	if _, err := ring.Verify(token.JWT, token.ExpiresAt.Add(-time.Nanosecond)); err != nil {
		t.Error(err)
	}
	if _, err := ring.Verify(token.JWT, token.ExpiresAt); !errors.Is(err, ErrExpired) {
		t.Errorf("at exp: %v", err)
	}
}

func TestErrorsDoNotQuoteTheToken(t *testing.T) {
	ring := newRing(t, KeyOptions{})
	f := goodForgery("the-kid-is-secret")
	f.claims = maps.Clone(f.claims)
	f.claims["sub"] = 5
	f.claims["exp"] = "secret"
	for _, text := range []string{f.String(), "secret", "secret.secret.secret", `{"secret"}.{}.`} {
		if _, err := ring.Verify(text, issuedAt); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
		if _, err := Inspect(text); err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestInspectShowsWhatIsThereUnproven(t *testing.T) {
	f := goodForgery("k")
	f.header["alg"], f.claims["nbf"] = "none", 1.5
	f.sign = func(string) []byte { return nil }
	got, err := Inspect(f.String())
	if err != nil {
		t.Fatal(err)
	}
	want := Inspection{
		Header: must(json.Marshal(f.header)), Claims: must(json.Marshal(f.claims)),
		Algorithm: "none", KeyID: "k", IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(5 * time.Minute),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Inspect("a.b"); !errors.Is(err, ErrMalformed) {
		t.Errorf("two parts: %v", err)
	}
}
