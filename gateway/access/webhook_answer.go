package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// An answer is the app's yes.
type answer struct {
	user      *string // nil where it doesn't say
	joinHub   bool
	kickUsers bool
	claims    map[string]any  // a [json.RawMessage] each; nil where there are none. Shared: nobody changes it
	data      json.RawMessage // of at most so many bytes as the gateway takes; nil where there is none
}

// parseAnswer reads an answer as strictly as claims are read: an app that means
// to take a right away, and makes a mistake in it, is told.
func parseAnswer(body []byte, dataBytes int) (a answer, _ error) {
	if len(body) > longestAnswer {
		return a, errors.New("it is longer than " + strconv.Itoa(longestAnswer) + " bytes")
	}
	var all map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &all) != nil || all == nil {
		return a, errors.New("it is not a JSON object")
	}
	if repeats(body) {
		return a, errors.New("an object in it has a name twice")
	}
	a.joinHub = true
	var claims map[string]json.RawMessage
	for _, field := range []struct {
		name string
		read func(json.RawMessage) bool
		is   string
	}{
		{"user_id", func(raw json.RawMessage) bool { return readUser(raw, &a.user) }, "a string or an integer that all readers take exactly"},
		{"join_hub", as(&a.joinHub), "true or false"},
		{"kick_users", as(&a.kickUsers), "true or false"},
		{"claims", as(&claims), "an object"},
	} {
		if raw, ok := all[field.name]; ok && !field.read(raw) {
			return answer{}, errors.New("its " + field.name + " is not " + field.is)
		}
	}
	if a.user != nil {
		if *a.user == "" {
			return answer{}, errors.New("its user_id is empty: an anonymous person's is null")
		}
		if wrong := checkUser(*a.user); wrong != "" {
			return answer{}, errors.New("its user_id " + wrong)
		}
	}
	if len(claims) > 0 {
		a.claims = make(map[string]any, len(claims))
		for name, value := range claims {
			a.claims[name] = value
		}
	}
	var err error
	if a.data, err = presence(all["data"], "", dataBytes); err != nil {
		return answer{}, errors.New("its " + DenialReason(err))
	}
	return a, nil
}

// check says what keeps a from being an answer to r.
func (a answer) check(r Request) error {
	if r.Reason == Connect {
		return nil // no grant is made of it
	}
	if a.user != nil && *a.user != r.Person.User {
		return ErrOtherUser
	}
	return a.grant(r).Validate()
}

// readUser reads a string or an integer; null is nobody. An integer becomes the
// text that a token's user_id is that integer for.
func readUser(raw json.RawMessage, to **string) bool {
	if string(raw) == "null" {
		return true
	}
	var text string
	if as(&text)(raw) {
		*to = &text
		return true
	}
	// RFC 8259, section 6: beyond that readers differ. Neither 1.0 nor -0 is written so.
	const most = 1<<53 - 1
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if text = strconv.FormatInt(n, 10); err != nil || n > most || n < -most || text != string(raw) {
		return false
	}
	*to = &text
	return true
}

// repeats says whether an object in valid JSON has a name twice: two readers of it
// may see two objects (RFC 8259, section 4).
func repeats(text []byte) bool {
	type level struct {
		names map[string]bool // nil in a list
		named bool            // a value is next
	}
	levels := []level{{}}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // one that is too large for a float is no end
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		in := &levels[len(levels)-1]
		if name, ok := token.(string); ok && in.names != nil && !in.named {
			if in.names[name] {
				return true
			}
			in.names[name], in.named = true, true
			continue
		}
		in.named = false
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}
