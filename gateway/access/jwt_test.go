package access

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/tokens"
)

func TestJWTSaysWhoSomebodyIsAndWhereTheyMayBe(t *testing.T) {
	a := newApp(t, "EdDSA", "")
	lobby := []string{"lobby"}
	for name, test := range map[string]struct {
		claims  jwt.MapClaims
		anyRoom bool
		want    Person
	}{
		"as it is":             {nil, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"with all rights":      {jwt.MapClaims{"kick_users": true, "room_ids": []string{"a", "b"}}, false, Person{User: "ann", Rooms: []string{"a", "b"}, JoinHub: true, KickUsers: true}},
		"without the hub":      {jwt.MapClaims{"join_hub": false}, false, Person{User: "ann", Rooms: lobby}},
		"no rooms are none":    {jwt.MapClaims{"room_ids": absent}, false, Person{User: "ann", JoinHub: true}},
		"empty rooms are none": {jwt.MapClaims{"room_ids": []string{}}, false, Person{User: "ann", JoinHub: true}},
		"no rooms are all":     {jwt.MapClaims{"room_ids": absent}, true, Person{User: "ann", JoinHub: true, AnyRoom: true}},
		"empty rooms are all":  {jwt.MapClaims{"room_ids": []string{}}, true, Person{User: "ann", JoinHub: true, AnyRoom: true}},
		"some rooms are some":  {nil, true, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"an audience of many":  {jwt.MapClaims{"aud": []string{"mail", testAudience}}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"just expired":         {jwt.MapClaims{"exp": testTime.Add(-29 * time.Second).Unix()}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"just not valid":       {jwt.MapClaims{"nbf": testTime.Add(30 * time.Second).Unix()}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"a time with fraction": {jwt.MapClaims{"exp": float64(testTime.Unix()) + 0.5}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"a name":               {jwt.MapClaims{"name": `"Ann"`}, false, Person{User: "ann", Rooms: lobby, JoinHub: true, Data: json.RawMessage(`{"name":"\"Ann\""}`)}},
		"an empty name":        {jwt.MapClaims{"name": ""}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"data":                 {jwt.MapClaims{"data": []int{1, 2}}, false, Person{User: "ann", Rooms: lobby, JoinHub: true, Data: json.RawMessage(`[1,2]`)}},
		"data before name":     {jwt.MapClaims{"data": 7, "name": "Ann"}, false, Person{User: "ann", Rooms: lobby, JoinHub: true, Data: json.RawMessage(`7`)}},
		"data of null":         {jwt.MapClaims{"data": nil, "name": "Ann"}, false, Person{User: "ann", Rooms: lobby, JoinHub: true, Data: json.RawMessage(`{"name":"Ann"}`)}},
		"claims of others":     {jwt.MapClaims{"ROOM_IDS": 7, "scope": "x", "iat": "then"}, false, Person{User: "ann", Rooms: lobby, JoinHub: true}},
		"the longest user id":  {jwt.MapClaims{"sub": strings.Repeat("ü", 128)}, false, Person{User: strings.Repeat("ü", 128), Rooms: lobby, JoinHub: true}},
	} {
		t.Run(name, func(t *testing.T) {
			j := pinned(t, a.pem(t), func(c *JWTConfig) { c.AnyRoom = test.anyRoom })
			got, err := j.Authenticate(t.Context(), Request{Credential: a.sign(t, honest(test.claims))})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJWTRefusesAndSaysWhy(t *testing.T) {
	a, other := newApp(t, "RS256", "one"), newApp(t, "RS256", "one")
	elliptic := newApp(t, "ES256", "two")
	j := pinned(t, keySet(t, a, elliptic), nil)
	with := func(changes jwt.MapClaims) string { return a.sign(t, honest(changes)) }
	header := func(name string, value any) string {
		token := jwt.NewWithClaims(a.method, honest(nil))
		token.Header["kid"] = a.kid
		token.Header[name] = value
		text, err := token.SignedString(a.key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := with(nil)
	parts := strings.Split(good, ".")
	mallory, err := json.Marshal(honest(jwt.MapClaims{"sub": "mallory"}))
	if err != nil {
		t.Fatal(err)
	}
	why := func(reason string) Denial { return Denial{reason} }
	for name, test := range map[string]struct {
		credential string
		want       Denial
	}{
		"nothing":      {"", ErrNoCredential},
		"a word":       {"ann", ErrMalformed},
		"two parts":    {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":   {good + ".x", ErrMalformed},
		"no base64url": {parts[0] + "." + parts[1] + ".!", ErrMalformed},
		"padding":      {parts[0] + "." + parts[1] + "." + parts[2] + "==", ErrMalformed},
		"no JSON":      {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("claims")) + "." + parts[2], ErrMalformed},
		"too long":     {with(jwt.MapClaims{"x": strings.Repeat("x", longestCredential)}), why("it is longer than 16384 bytes")},

		"alg none":                        {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "one", honest(nil)), ErrAlgorithm},
		"alg none in other letters":       {header("alg", "nOnE"), ErrAlgorithm},
		"HMAC by the public key":          {signed(t, jwt.SigningMethodHS256, a.pem(t), "one", honest(nil)), ErrAlgorithm},
		"HMAC by the key set":             {signed(t, jwt.SigningMethodHS512, keySet(t, a), "one", honest(nil)), ErrAlgorithm},
		"no alg":                          {header("alg", nil), ErrAlgorithm},
		"another algorithm than its JWK":  {signed(t, jwt.SigningMethodRS512, a.key, "one", honest(nil)), ErrAlgorithm},
		"an algorithm of another kind":    {signed(t, jwt.SigningMethodRS256, a.key, "two", honest(nil)), ErrAlgorithm},
		"a critical extension":            {header("crit", []string{"exp"}), why("its header has critical extensions (crit)")},
		"a wrong kid":                     {signed(t, a.method, a.key, "three", honest(nil)), ErrUnknownKey},
		"an empty kid":                    {header("kid", ""), ErrUnknownKey},
		"a kid of number":                 {header("kid", 1), why("its header's kid is not a string")},
		"another key of that kid":         {other.sign(t, honest(nil)), ErrSignature},
		"another key without a kid":       {signed(t, a.method, other.key, "", honest(nil)), ErrSignature},
		"claims that were changed":        {parts[0] + "." + base64.RawURLEncoding.EncodeToString(mallory) + "." + parts[2], ErrSignature},
		"a signature that was cut":        {parts[0] + "." + parts[1] + "." + parts[2][:336], ErrSignature},
		"no signature":                    {parts[0] + "." + parts[1] + ".", ErrSignature},
		"a key in the header":             {header("jwk", json.RawMessage(keySet(t, other))), Denial{}},
		"a wrong iss":                     {with(jwt.MapClaims{"iss": testIssuer + "/"}), ErrIssuer},
		"iss missing":                     {with(jwt.MapClaims{"iss": absent}), why("iss is missing")},
		"iss of number":                   {with(jwt.MapClaims{"iss": 7}), why("iss is not a string")},
		"a wrong aud":                     {with(jwt.MapClaims{"aud": "mail"}), ErrAudience},
		"wrong auds":                      {with(jwt.MapClaims{"aud": []string{"mail", "ROOMS"}}), ErrAudience},
		"aud missing":                     {with(jwt.MapClaims{"aud": absent}), why("aud is missing")},
		"aud of number":                   {with(jwt.MapClaims{"aud": 7}), why("aud is not a string or a list of strings")},
		"auds of number":                  {with(jwt.MapClaims{"aud": []any{testAudience, 7}}), why("aud is not a string or a list of strings")},
		"expired beyond 30 s":             {with(jwt.MapClaims{"exp": testTime.Add(-30 * time.Second).Unix()}), ErrExpired},
		"exp missing":                     {with(jwt.MapClaims{"exp": absent}), why("exp is missing")},
		"exp of string":                   {with(jwt.MapClaims{"exp": "1999999999"}), why("exp is not a time in seconds")},
		"exp of null":                     {with(jwt.MapClaims{"exp": nil}), why("exp is not a time in seconds")},
		"exp in milliseconds":             {with(jwt.MapClaims{"exp": testTime.UnixMilli()}), why("exp is not a time in seconds")},
		"nbf in the future beyond 30 s":   {with(jwt.MapClaims{"nbf": testTime.Add(31 * time.Second).Unix()}), ErrNotYetValid},
		"nbf of string":                   {with(jwt.MapClaims{"nbf": "now"}), why("nbf is not a time in seconds")},
		"sub missing":                     {with(jwt.MapClaims{"sub": absent}), why("sub is missing")},
		"sub empty":                       {with(jwt.MapClaims{"sub": ""}), why("sub is empty")},
		"sub of number":                   {with(jwt.MapClaims{"sub": 7}), why("sub is not a string")},
		"sub too long":                    {with(jwt.MapClaims{"sub": strings.Repeat("u", 257)}), why("sub is the user id, and this one is longer than 256 bytes")},
		"sub with a control character":    {with(jwt.MapClaims{"sub": "a\nb"}), why("sub is the user id, and this one has a control character in it")},
		"room_ids of string":              {with(jwt.MapClaims{"room_ids": "lobby"}), why("room_ids is not a list of strings")},
		"room_ids of numbers":             {with(jwt.MapClaims{"room_ids": []int{1}}), why("room_ids is not a list of strings")},
		"room_ids with null":              {with(jwt.MapClaims{"room_ids": []any{"lobby", nil}}), why("room_ids is not a list of strings")},
		"room_ids of null":                {with(jwt.MapClaims{"room_ids": nil}), why("room_ids is not a list of strings")},
		"join_hub of string":              {with(jwt.MapClaims{"join_hub": "true"}), why("join_hub is not true or false")},
		"join_hub of null":                {with(jwt.MapClaims{"join_hub": nil}), why("join_hub is not true or false")},
		"kick_users of float":             {with(jwt.MapClaims{"kick_users": 1.0}), why("kick_users is not true or false")},
		"kick_users of string":            {with(jwt.MapClaims{"kick_users": "yes"}), why("kick_users is not true or false")},
		"name of object":                  {with(jwt.MapClaims{"name": map[string]any{}}), why("name is not a string")},
		"name over the limit":             {with(jwt.MapClaims{"name": strings.Repeat("x", 4096)}), why("name is longer than the gateway's limit of 4096 bytes")},
		"data over the limit":             {with(jwt.MapClaims{"data": strings.Repeat("x", 4095)}), why("data is longer than the gateway's limit of 4096 bytes")},
		"an expired token of another key": {other.sign(t, honest(jwt.MapClaims{"exp": 1})), ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			person, err := j.Authenticate(t.Context(), Request{Credential: test.credential})
			if test.want == (Denial{}) {
				if err != nil {
					t.Errorf("%v: a key in the header is nobody's business", err)
				}
				return
			}
			if !errors.Is(err, test.want) || !errors.Is(err, ErrDenied) || !cmp.Equal(person, Person{}) {
				t.Errorf("%+v, %v; want %v", person, err, test.want)
			}
			for part := range strings.SplitSeq(test.credential, ".") {
				if len(part) > 3 && strings.Contains(err.Error(), part) {
					t.Errorf("the error has a part of the credential in it: %v", err)
				}
			}
		})
	}
}

// JSON in which a name is there twice can be read in two ways: what one service takes for
// Ann's token would be Bob's to another.
func TestJWTWithAClaimTwiceIsRefused(t *testing.T) {
	a := newApp(t, "EdDSA", "")
	j := pinned(t, a.pem(t), nil)
	for name, test := range map[string]struct {
		claims string // beside the honest ones
		want   error
	}{
		"once each":                 {`"name":"Ann"`, nil},
		"another case is another":   {`"SUB":"bob"`, nil},
		"two sub":                   {`"sub":"bob"`, errTwice},
		"two sub that are the same": {`"sub":"ann"`, errTwice},
		"two sub, one escaped":      {`"s\u0075b":"bob"`, errTwice},
		"two room_ids":              {`"room_ids":["cellar"]`, errTwice},
		"two room_ids, one null":    {`"room_ids":null`, errTwice},
		"two exp":                   {`"exp":9999999999`, errTwice},
		"two aud":                   {`"aud":"mail"`, errTwice},
		"two kick_users":            {`"kick_users":false,"kick_users":true`, errTwice},
		"two of nobody's":           {`"scope":"a","scope":"b"`, errTwice},
		"two in the data":           {`"data":{"a":1,"a":2}`, nil}, // which we hand on as it is
	} {
		payload, err := json.Marshal(honest(nil))
		if err != nil {
			t.Fatal(err)
		}
		payload = append(payload[:len(payload)-1], ","+test.claims+"}"...)
		signing := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
		signature, err := a.method.Sign(signing, a.key)
		if err != nil {
			t.Fatal(err)
		}
		person, err := j.Authenticate(t.Context(), Request{Credential: signing + "." + base64.RawURLEncoding.EncodeToString(signature)})
		if !errors.Is(err, test.want) || err == nil && person.User != "ann" || err != nil && !cmp.Equal(person, Person{}) {
			t.Errorf("%s: %+v, %v", name, person, err)
		}
	}
}

func TestJWTAdmitsToTheRoomsThatItNames(t *testing.T) {
	a := newApp(t, "EdDSA", "")
	named, everywhere := pinned(t, a.pem(t), nil), pinned(t, a.pem(t), func(c *JWTConfig) { c.AnyRoom = true })
	ann := Person{User: "ann", Rooms: []string{"lobby"}, JoinHub: true, KickUsers: true}
	all := Person{User: "ann", AnyRoom: true}
	for name, test := range map[string]struct {
		control *JWT
		person  Person
		room    string
		want    tokens.Grant // zero is a denial
	}{
		"a room that is named":           {named, ann, "lobby", tokens.Grant{User: "ann", Room: "lobby", JoinHub: true, KickUsers: true}},
		"a room not in room_ids":         {named, ann, "other", tokens.Grant{}},
		"a room of another case":         {named, ann, "Lobby", tokens.Grant{}},
		"no rooms":                       {named, Person{User: "ann"}, "lobby", tokens.Grant{}},
		"any room":                       {everywhere, all, "other", tokens.Grant{User: "ann", Room: "other"}},
		"any room that is no longer so":  {named, all, "other", tokens.Grant{}},
		"named rooms where any would do": {everywhere, ann, "other", tokens.Grant{}},
		"a session of open access":       {everywhere, Person{User: "ann", KickUsers: true}, "lobby", tokens.Grant{}},
		"an anonymous session":           {everywhere, Person{AnyRoom: true}, "lobby", tokens.Grant{}},
	} {
		got, err := test.control.Admit(t.Context(), Request{Person: test.person, Room: test.room})
		if diff := cmp.Diff(test.want, got.Grant); diff != "" || errors.Is(err, ErrDenied) != (test.want.Room == "") {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestJWTTakesTheAlgorithmsThatAreAllowed(t *testing.T) {
	for _, alg := range Algorithms {
		a := newApp(t, alg, "")
		credential := a.sign(t, honest(nil))
		for _, j := range []*JWT{
			pinned(t, a.pem(t), nil),
			pinned(t, keySet(t, a), nil),
			pinned(t, a.pem(t), func(c *JWTConfig) { c.Algorithms = []string{alg} }),
		} {
			if _, err := j.Authenticate(t.Context(), Request{Credential: credential}); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
		others := pinned(t, a.pem(t), func(c *JWTConfig) { c.Algorithms = []string{"ES256", "EdDSA"} })
		if alg == "ES256" || alg == "EdDSA" {
			continue
		}
		if _, err := others.Authenticate(t.Context(), Request{Credential: credential}); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s, which isn't allowed: %v", alg, err)
		}
	}
}

func TestJWTIsMadeOfWhatIsNeededOnly(t *testing.T) {
	a := newApp(t, "EdDSA", "")
	keys := writeFile(t, a.pem(t))
	for says, cfg := range map[string]JWTConfig{
		"an issuer and an audience": {KeyFile: keys, Issuer: testIssuer},
		"for others":                {KeyFile: keys, Audience: testAudience},
		"no keys":                   {Issuer: testIssuer, Audience: testAudience},
		"choose one":                {KeyFile: keys, JWKS: "https://app.example", Issuer: testIssuer, Audience: testAudience},
		`algorithm "HS256"`:         {KeyFile: keys, Issuer: testIssuer, Audience: testAudience, Algorithms: []string{"RS256", "HS256"}},
		`algorithm "none"`:          {KeyFile: keys, Issuer: testIssuer, Audience: testAudience, Algorithms: []string{"none"}},
		"no such file":              {KeyFile: keys + "x", Issuer: testIssuer, Audience: testAudience},
		"not an address":            {JWKS: "app.example/keys", Issuer: testIssuer, Audience: testAudience},
		"write https://":            {JWKS: "file:///etc/passwd", Issuer: testIssuer, Audience: testAudience},
	} {
		if _, err := NewJWT(t.Context(), cfg); err == nil || errors.Is(err, ErrKeySet) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want it to say %q", err, says)
		}
	}
}
