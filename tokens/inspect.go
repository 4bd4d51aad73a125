package tokens

import (
	"encoding/json"
	"time"
)

// An Inspection is what a token says of itself, unchecked.
type Inspection struct {
	Header    json.RawMessage
	Claims    json.RawMessage
	IssuedAt  time.Time // zero where iat is absent or not an integer
	ExpiresAt time.Time // zero where exp is absent or not an integer
}

// Inspect reads a token without looking at its signature. An error wraps
// [ErrMalformed], and holds no piece of the token.
func Inspect(token string) (Inspection, error) {
	parts, err := split(token)
	if err != nil {
		return Inspection{}, err
	}
	if _, err := object(parts[0]); err != nil {
		return Inspection{}, err
	}
	claims, err := object(parts[1])
	if err != nil {
		return Inspection{}, err
	}
	is := Inspection{Header: parts[0], Claims: parts[1]}
	if iat, err := integer(claims, "iat"); err == nil {
		is.IssuedAt = time.Unix(iat, 0)
	}
	if exp, err := integer(claims, "exp"); err == nil {
		is.ExpiresAt = time.Unix(exp, 0)
	}
	return is, nil
}
