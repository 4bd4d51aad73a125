package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrMalformed says that a JWT isn't one, or has a header or claims of a shape
// that two readers could read in two ways.
var ErrMalformed = errors.New("malformed token")

// maxJWT is the longest JWT that is looked at, in bytes. HTTP servers take
// headers of 8 to 64 KB: a longer token would be of no use anywhere.
const maxJWT = 64 << 10

// A jose is a JWT in its three parts, decoded but not verified.
type jose struct {
	headerJSON, claimsJSON []byte
	header, claims         object
}

// parseJWT takes a JWT apart, strictly: no padding, no line breaks, no bits left
// over in the base64url (RFC 7515, section 2), both parts one JSON object in
// UTF-8, without duplicate names (RFC 7519, section 4, leaves those to the
// parser: two parsers then see two tokens). It returns [ErrMalformed], wrapped.
func parseJWT(text string) (*jose, error) {
	if len(text) > maxJWT {
		return nil, fmt.Errorf("%w: over %d bytes", ErrMalformed, maxJWT)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: a JWT has three parts, with dots between; here the number is %d", ErrMalformed, len(parts))
	}
	j := &jose{}
	var err error
	if j.headerJSON, err = decodePart(parts[0]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if j.claimsJSON, err = decodePart(parts[1]); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if _, err = decodePart(parts[2]); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if j.header, err = parseObject(j.headerJSON); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if j.claims, err = parseObject(j.claimsJSON); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return j, nil
}

func decodePart(part string) ([]byte, error) {
	// The decoder skips line breaks even when it is strict.
	if strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: a line break", ErrMalformed)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64url", ErrMalformed)
	}
	return b, nil
}

// An object is a JSON object by its names.
type object map[string]json.RawMessage

// maxDepth is how deep a JSON value may nest: far deeper than any claim, and
// far from what a stack bears.
const maxDepth = 64

// parseObject reads exactly one JSON object whose names, at every depth, are
// unique. It returns [ErrMalformed], wrapped.
func parseObject(text []byte) (object, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := walkValue(dec, 0, true); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something after the JSON object", ErrMalformed)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	return o, nil
}

// walkValue reads one JSON value and refuses duplicate names in it.
func walkValue(dec *json.Decoder, depth int, wantObject bool) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrMalformed, maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	delim, _ := token.(json.Delim)
	if wantObject && delim != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	if delim == 0 {
		return nil
	}
	names := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			token, err := dec.Token()
			if err != nil {
				return fmt.Errorf("%w: not JSON", ErrMalformed)
			}
			name, ok := token.(string)
			if !ok || names[name] {
				return fmt.Errorf("%w: a name occurs twice in one object", ErrMalformed)
			}
			names[name] = true
		}
		if err := walkValue(dec, depth+1, false); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	return nil
}

// text returns a string, "" where there is none.
func (o object) text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	return textOf(raw, name)
}

func textOf(raw json.RawMessage, name string) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", fmt.Errorf("%w: %s is not a string", ErrMalformed, name)
	}
	return *s, nil
}

// flag returns a boolean, false where there is none.
func (o object) flag(name string) (bool, error) {
	switch string(o[name]) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, fmt.Errorf("%w: %s is neither true nor false", ErrMalformed, name)
}

// integerText is an integer as our own tokens write it. The SFU takes neither a
// fraction nor an exponent, so 1.7e9 is not a time.
var integerText = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// integer returns an integer within ±(2^53-1), and whether there is one.
func (o object) integer(name string) (n int64, ok bool, err error) {
	raw, ok := o[name]
	if !ok {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(string(raw), 10, 64)
	if err != nil || !integerText.Match(raw) || n > maxSafeInteger || n < -maxSafeInteger {
		return 0, false, fmt.Errorf("%w: %s is not an integer", ErrMalformed, name)
	}
	return n, true, nil
}
