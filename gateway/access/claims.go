package access

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// claims are what the app's token says of a person.
type claims struct {
	issuer    string
	audience  []string
	subject   string
	expires   time.Time
	notBefore time.Time // zero where there is none
	rooms     []string
	joinHub   bool
	kickUsers bool
	data      json.RawMessage // of at most so many bytes as the gateway takes; nil where there is none
}

// parseClaims reads a JWT's claims. Names are matched exactly, which encoding/json
// doesn't do in a struct, and each claim has its one type: null is no list of no rooms.
func parseClaims(payload []byte, dataBytes int) (c claims, _ error) {
	var all map[string]json.RawMessage
	if !utf8.Valid(payload) || json.Unmarshal(payload, &all) != nil || all == nil {
		return c, Denial{"its claims are not a JSON object"}
	}
	if countNames(payload) != len(all) {
		return c, errTwice
	}
	c.joinHub = true
	var name string
	for _, claim := range []struct {
		name     string
		required bool
		read     func(json.RawMessage) bool
		is       string
	}{
		{"iss", true, as(&c.issuer), "a string"},
		{"aud", true, func(raw json.RawMessage) bool { return readAudience(raw, &c.audience) }, "a string or a list of strings"},
		{"exp", true, func(raw json.RawMessage) bool { return readTime(raw, &c.expires) }, "a time in seconds"},
		{"nbf", false, func(raw json.RawMessage) bool { return readTime(raw, &c.notBefore) }, "a time in seconds"},
		{"sub", true, as(&c.subject), "a string"},
		{"room_ids", false, func(raw json.RawMessage) bool { return readStrings(raw, &c.rooms) }, "a list of strings"},
		{"join_hub", false, as(&c.joinHub), "true or false"},
		{"kick_users", false, as(&c.kickUsers), "true or false"},
		{"name", false, as(&name), "a string"},
	} {
		raw, ok := all[claim.name]
		switch {
		case !ok && claim.required:
			return claims{}, Denial{claim.name + " is missing"}
		case ok && !claim.read(raw):
			return claims{}, Denial{claim.name + " is not " + claim.is}
		}
	}
	if c.subject == "" {
		return claims{}, Denial{"sub is empty"}
	}
	if wrong := checkUser(c.subject); wrong != "" {
		return claims{}, Denial{"sub is the user id, and this one " + wrong}
	}
	var err error
	c.data, err = presence(all["data"], name, dataBytes)
	return c, err
}

// errTwice says that a claim is there more than once. RFC 7519, section 4, would
// let the last one count; another reader of the same token may take the first.
var errTwice = Denial{"a claim is in it twice"}

// countNames counts the names in a JSON object, which must be valid JSON already.
func countNames(object []byte) (n int) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, _ = decoder.Token() // the brace
	for decoder.More() {
		_, _ = decoder.Token() // a name
		_ = decoder.Decode(new(json.RawMessage))
		n++
	}
	return n
}

// presence is what the claims data and name say that others see: data, or else
// an object with the name.
func presence(data json.RawMessage, name string, most int) (json.RawMessage, error) {
	what := "data"
	if (data == nil || string(data) == "null") && name != "" {
		what = "name"
		data, _ = json.Marshal(map[string]string{"name": name}) // a string can't fail
	}
	if data == nil || string(data) == "null" {
		return nil, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, Denial{what + " is not JSON"}
	}
	if compact.Len() > most {
		return nil, Denial{what + " is longer than the gateway's limit of " + strconv.Itoa(most) + " bytes"}
	}
	return compact.Bytes(), nil
}

// as reads a value of to's type; null is none.
func as[T any](to *T) func(json.RawMessage) bool {
	return func(raw json.RawMessage) bool {
		var value *T
		if json.Unmarshal(raw, &value) != nil || value == nil {
			return false
		}
		*to = *value
		return true
	}
}

func readStrings(raw json.RawMessage, to *[]string) bool {
	var list []*string
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return false
	}
	strings := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return false
		}
		strings[i] = *s
	}
	if len(strings) > 0 {
		*to = strings
	}
	return true
}

// readAudience reads the one string or the list that aud may be (RFC 7519, section 4.1.3).
func readAudience(raw json.RawMessage, to *[]string) bool {
	var one string
	if as(&one)(raw) {
		*to = []string{one}
		return true
	}
	return readStrings(raw, to)
}

// latest is the last second that a time may have: that of the year 9999.
const latest = 253_402_300_799

// readTime reads a NumericDate, which may have a fraction (RFC 7519, section 2).
func readTime(raw json.RawMessage, to *time.Time) bool {
	var seconds float64
	if !as(&seconds)(raw) || seconds < 0 || seconds > latest {
		return false
	}
	whole, part := math.Modf(seconds)
	*to = time.Unix(int64(whole), int64(part*1e9))
	return true
}
