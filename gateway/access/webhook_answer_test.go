package access

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/tokens"
)

func TestTheAppSaysWhoSomebodyIs(t *testing.T) {
	for body, want := range map[string]Person{
		`{}`:                 {JoinHub: true},
		`{"user_id":null}`:   {JoinHub: true},
		`{"user_id":"ann"}`:  {User: "ann", JoinHub: true},
		`{"user_id":7}`:      {User: "7", JoinHub: true},
		`{"user_id":"7"}`:    {User: "7", JoinHub: true},
		`{"user_id":-1}`:     {User: "-1", JoinHub: true},
		` {"user_id" : 0 } `: {User: "0", JoinHub: true},
		`{"user_id":9007199254740991,"join_hub":false,"kick_users":true}`:           {User: "9007199254740991", KickUsers: true},
		`{"user_id":"ann","data":{"name": "Ann <3"}}`:                               {User: "ann", JoinHub: true, Data: json.RawMessage(`{"name":"Ann <3"}`)},
		`{"user_id":"ann","data":null,"claims":{"sub":"x"}}`:                        {User: "ann", JoinHub: true}, // of a token that isn't made
		`{"user_id":"ann","USER_ID":"eve","Kick_Users":true,"expires":{"in":[{}]}}`: {User: "ann", JoinHub: true},
		`{"data":0}`: {JoinHub: true, Data: json.RawMessage(`0`)},
	} {
		got, err := asks(t, says(200, body), nil).Authenticate(t.Context(), Request{Reason: Connect, Credential: "ticket"})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", body, err, diff)
		}
	}
}

func TestTheAppSaysWhatSomebodyMay(t *testing.T) {
	grant := tokens.Grant{User: "ann", Room: "lobby", JoinHub: true}
	with := func(change func(*Admission)) Admission {
		a := Admission{Grant: grant}
		change(&a)
		return a
	}
	for body, want := range map[string]Admission{
		`{}`:                                     {Grant: grant},
		`{"user_id":null}`:                       {Grant: grant},
		`{"user_id":"ann","later":1}`:            {Grant: grant},
		`{"join_hub":false}`:                     with(func(a *Admission) { a.Grant.JoinHub = false }),
		`{"join_hub":true,"kick_users":true}`:    with(func(a *Admission) { a.Grant.KickUsers = true }),
		`{"data":["a"],"claims":{}}`:             with(func(a *Admission) { a.Data = json.RawMessage(`["a"]`) }),
		`{"claims":{"tier":"gold","n":1e400}}`:   with(func(a *Admission) { a.Grant.Extra = claimsOf("tier", `"gold"`, "n", `1e400`) }),
		`{"claims":{"a":{"sub":1},"A":null}}`:    with(func(a *Admission) { a.Grant.Extra = claimsOf("a", `{"sub":1}`, "A", `null`) }),
		`{"claims":{"user":"x","data":{"a":1}}}`: with(func(a *Admission) { a.Grant.Extra = claimsOf("user", `"x"`, "data", `{"a":1}`) }),
	} {
		for _, why := range []Reason{Join, Resume, Refresh, Token} {
			r := refreshes()
			r.Reason = why
			// What they were found to be when they came doesn't count any more.
			r.Person.KickUsers = true
			got, err := asks(t, says(200, body), nil).Admit(t.Context(), r)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %s: %v\n%s", why, body, err, diff)
			}
		}
	}
}

func claimsOf(pairs ...string) map[string]any {
	claims := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return claims
}

// Somebody who isn't known stays so until they come in again.
func TestAnAnonymousPersonStaysAnonymous(t *testing.T) {
	r := Request{Reason: Join, Room: "lobby"}
	got, err := asks(t, says(200, "{}"), nil).Admit(t.Context(), r)
	if diff := cmp.Diff(tokens.Grant{Room: "lobby", JoinHub: true}, got.Grant); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := asks(t, says(200, `{"user_id":"ann"}`), nil).Admit(t.Context(), r); err != ErrOtherUser {
		t.Errorf("as ann: %v", err)
	}
}

func TestTheAppSaysNo(t *testing.T) {
	for name, test := range map[string]struct {
		app  *fakeApp
		want Denial
	}{
		"401":                {says(401, ""), ErrAppRefuses},
		"403":                {says(403, `{"user_id":"ann"}`), ErrAppForbids},
		"another user":       {says(200, `{"user_id":"eve"}`), ErrOtherUser},
		"the user's case":    {says(200, `{"user_id":"Ann"}`), ErrOtherUser},
		"an integer":         {says(200, `{"user_id":7}`), ErrOtherUser},
		"in the third place": {saysInTurn(500, 502, 403), ErrAppForbids},
	} {
		_, err := asks(t, test.app, nil).Admit(t.Context(), refreshes())
		if !errors.Is(err, test.want) || !errors.Is(err, ErrDenied) || errors.Is(err, ErrNoAnswer) || DenialReason(err) != test.want.Reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := asks(t, says(401, ""), nil).Authenticate(t.Context(), Request{Reason: Connect}); err != ErrAppRefuses {
		t.Errorf("at first: %v", err)
	}
}

// An app that makes a mistake has said nothing: neither no, nor what is left of
// its yes without the mistake. It would make it again.
func TestAnAnswerWithAMistakeIsNone(t *testing.T) {
	for body, complaint := range map[string]string{
		"":                                 "not a JSON object",
		"OK":                               "not a JSON object",
		"null":                             "not a JSON object",
		"[]":                               "not a JSON object",
		`"ann"`:                            "not a JSON object",
		"{}{}":                             "not a JSON object",
		`{"user_id":"ann"`:                 "not a JSON object",
		"{\"user_id\":\"\xff\"}":           "not a JSON object",
		strings.Repeat("[", 60_000):        "not a JSON object",
		`{"user_id":true}`:                 "user_id is not a string or an integer",
		`{"user_id":1.0}`:                  "user_id is not",
		`{"user_id":1e3}`:                  "user_id is not",
		`{"user_id":-0}`:                   "user_id is not",
		`{"user_id":9007199254740992}`:     "user_id is not",
		`{"user_id":99999999999999999999}`: "user_id is not",
		`{"user_id":["ann"]}`:              "user_id is not",
		`{"user_id":""}`:                   "user_id is empty",
		`{"user_id":"a\nb"}`:               "control character",
		`{"user_id":"` + strings.Repeat("u", 257) + `"}`: "longer than 256 bytes",
		`{"join_hub":null}`:                              "join_hub is not true or false",
		`{"join_hub":"false"}`:                           "join_hub is not true or false",
		`{"kick_users":0}`:                               "kick_users is not true or false",
		`{"claims":null}`:                                "claims is not an object",
		`{"claims":["a"]}`:                               "claims is not an object",
		`{"data":"` + strings.Repeat("d", 4095) + `"}`:   "data is longer than the gateway's limit of 4096 bytes",
		`{"kick_users":false,"kick_users":true}`:         "a name twice",
		`{"kick_users":false,"kick_\u0075sers":true}`:    "a name twice",
		`{"later":1,"later":1e999}`:                      "a name twice",
		`{"claims":{"a":1e999,"a":2}}`:                   "a name twice",
		`{"data":[{"x":{"n":[1],"n":1}}]}`:               "a name twice",
		`{"claims":{"sub":"eve"}}`:                       "reserved claim",
		`{"claims":{"Room_IDs":["*"]}}`:                  "reserved claim",
		`{"data":"` + strings.Repeat(" ", longestAnswer): "longer than 65536 bytes",
	} {
		for _, why := range []Reason{Connect, Refresh} {
			if why == Connect && complaint == "reserved claim" {
				continue
			}
			app := says(200, body)
			r := refreshes()
			r.Reason = why
			w := asks(t, app, nil)
			_, err := w.ask(t.Context(), r)
			if !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), complaint) {
				t.Errorf("%s: %.50q: %v; want it to say %q", why, body, err, complaint)
			}
			if n := len(app.requests()); n != 1 {
				t.Errorf("%.50q: asked %d times", body, n)
			}
		}
	}
	_, err := asks(t, says(200, `{"claims":{"exp":1}}`), nil).Admit(t.Context(), refreshes())
	if !errors.Is(err, tokens.ErrReservedClaim) {
		t.Errorf("%v", err)
	}
}

func TestTheSameNameInDifferentObjectsIsNoMistake(t *testing.T) {
	for _, body := range []string{
		`{"a":{"a":{"a":"a"}},"b":[{"a":1},{"a":2}],"c":"a"}`, `{"a":["a","a",{"b":"a"}],"b":"b"}`, `{"a":"b","b":"a"}`, `{"a":{},"b":[]}`,
	} {
		if repeats([]byte(body)) {
			t.Error(body)
		}
	}
}

func TestOneLimitOfDataHoldsForWhatIsKept(t *testing.T) {
	limit := func(c *WebhookConfig) { c.DataBytes = 7 }
	got, err := asks(t, says(200, `{"data": { "a" : 1 } }`), limit).Admit(t.Context(), refreshes())
	if err != nil || string(got.Data) != `{"a":1}` {
		t.Errorf("%s, %v", got.Data, err)
	}
	if _, err := asks(t, says(200, `{"data":{"a":12}}`), limit).Admit(t.Context(), refreshes()); !errors.Is(err, ErrNoAnswer) {
		t.Error(err)
	}
}

// FuzzParseAnswer checks that whatever is taken is within the limits, and means
// what encoding/json reads in a map, which matches names exactly.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"user_id":"ann","join_hub":false,"kick_users":true,"claims":{"tier":"gold"},"data":{"name":"Ann"}}`,
		`{"user_id":7}`, `{"user_id":1.5}`, `{"user_id":null,"data":null}`, `{"User_id":1,"KICK_USERS":true}`, `{"a":{"b":1,"b":2}}`,
		`{"claims":{"sub":1,"x":1e400}}`, `{"user_id":"\ud800"}`, `{}{}`, `[]`, `null`, ``, `{"kick_users":false,"kick_users":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const most = 64
		a, err := parseAnswer(body, most)
		if err != nil {
			if errors.Is(err, ErrDenied) {
				t.Fatalf("a mistake became a no: %v", err)
			}
			return
		}
		if a.user != nil && (*a.user == "" || checkUser(*a.user) != "") || len(a.data) > most || a.data != nil && !json.Valid(a.data) {
			t.Fatalf("taken: %+v", a)
		}
		var reference map[string]any
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		if err := d.Decode(&reference); err != nil {
			t.Fatalf("taken, though encoding/json says %v", err)
		}
		kick, _ := reference["kick_users"].(bool)
		hub, given := reference["join_hub"].(bool)
		extra, _ := reference["claims"].(map[string]any)
		var user any
		switch u := reference["user_id"].(type) {
		case string:
			user = u
		case json.Number:
			user = u.String()
		}
		if a.kickUsers != kick || a.joinHub != (hub || !given) || len(a.claims) != len(extra) || (a.user == nil) != (user == nil) || a.user != nil && *a.user != user {
			t.Fatalf("%+v, encoding/json reads %v", a, reference)
		}
	})
}
