package tokens

import (
	"encoding/json"
	"time"
)

// An Inspection is what a JWT says of itself. Nothing in it is proven.
type Inspection struct {
	Header json.RawMessage // the JSON object as it stands in the token
	Claims json.RawMessage // the JSON object as it stands in the token

	Algorithm string // alg; "" where it isn't a string
	KeyID     string // kid; "" where it isn't a string

	// The times are zero where the claim is absent or, as a fraction would be, no
	// integer.
	IssuedAt, NotBefore, ExpiresAt time.Time
}

// Inspect takes a JWT apart for a person to read, without looking at the
// signature: for whether it holds ask [KeyRing.Verify]. It returns
// [ErrMalformed], wrapped, where header or claims aren't one JSON object each
// that can be read in one way only.
func Inspect(text string) (Inspection, error) {
	j, err := parseJWT(text)
	if err != nil {
		return Inspection{}, err
	}
	seen := Inspection{Header: j.headerJSON, Claims: j.claimsJSON}
	// Of the wrong type is as good as absent: the raw JSON shows what is there.
	seen.Algorithm, _ = j.header.text("alg")
	seen.KeyID, _ = j.header.text("kid")
	for name, to := range map[string]*time.Time{"iat": &seen.IssuedAt, "nbf": &seen.NotBefore, "exp": &seen.ExpiresAt} {
		if seconds, ok, err := j.claims.integer(name); ok && err == nil {
			*to = time.Unix(seconds, 0)
		}
	}
	return seen, nil
}
