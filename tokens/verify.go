package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

)

// Why a token doesn't hold.
var (
	ErrMalformed   = errors.New("not a token of ours: malformed")
	ErrAlgorithm   = errors.New("the algorithm isn't the key's")
	ErrUnknownKey  = errors.New("the key id isn't one of ours")
	ErrSignature   = errors.New("the signature doesn't match")
	ErrExpired     = errors.New("the token has expired")
	ErrNotYetValid = errors.New("the token isn't valid yet")
)

// Claims are what a verified token says.
type Claims struct {
	Subject   string
	RoomIDs   []string
	JoinHub   bool
	KickUsers bool
	IssuedAt  time.Time // zero where iat is absent
	ExpiresAt time.Time
	All       map[string]json.RawMessage
}

// longestJWT bounds what is looked at at all.
const longestJWT = 64 << 10

// Verify says whether one of our keys signed the token and it holds at now: valid
// while exp >= now, as the SFU has it, without tolerance. The algorithm is the
// key's, whatever the header says. An error wraps one of those above, and holds
// no piece of the token.
func (r *KeyRing) Verify(token string, now time.Time) (Claims, error) {
	parts, err := split(token)
	if err != nil {
		return Claims{}, err
	}
	header, err := object(parts[0])
	if err != nil {
		return Claims{}, err
	}
	k, err := r.keyFor(header)
	if err != nil {
		return Claims{}, err
	}
	if err := k.method.Verify(token[:strings.LastIndexByte(token, '.')], parts[2], k.verifier()); err != nil {
		return Claims{}, ErrSignature
	}
	all, err := object(parts[1])
	if err != nil {
		return Claims{}, err
	}
	claims, notBefore, err := readClaims(all)
	if err != nil {
		return Claims{}, err
	}
	switch {
	case now.Unix() > claims.ExpiresAt.Unix():
		return Claims{}, fmt.Errorf("%w: at %s", ErrExpired, claims.ExpiresAt.UTC().Format(time.RFC3339))
	case now.Unix() < notBefore:
		return Claims{}, fmt.Errorf("%w: from %s", ErrNotYetValid, time.Unix(notBefore, 0).UTC().Format(time.RFC3339))
	}
	return claims, nil
}

// keyFor finds the key that a header names, or the signing one where it names none.
func (r *KeyRing) keyFor(header map[string]json.RawMessage) (*key, error) {
	var alg string
	if json.Unmarshal(header["alg"], &alg) != nil {
		return nil, fmt.Errorf("%w: alg is not a string", ErrMalformed)
	}
	if header["crit"] != nil { // RFC 7515, section 4.1.11: what must be understood, and isn't
		return nil, fmt.Errorf("%w: crit", ErrMalformed)
	}
	keys := *r.keys.Load()
	found := keys[0]
	if raw := header["kid"]; raw != nil {
		var id string
		if json.Unmarshal(raw, &id) != nil {
			return nil, fmt.Errorf("%w: kid is not a string", ErrMalformed)
		}
		found = nil
		for _, k := range keys {
			if k.id == id {
				found = k
			}
		}
		if found == nil {
			return nil, ErrUnknownKey
		}
	}
	if alg != found.method.Alg() {
		return nil, ErrAlgorithm
	}
	return found, nil
}

// split decodes a token's three parts.
func split(token string) (parts [3][]byte, _ error) {
	if len(token) > longestJWT {
		return parts, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, longestJWT)
	}
	texts := strings.Split(token, ".")
	if len(texts) != 3 {
		return parts, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	for i, text := range texts {
		part, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			return parts, fmt.Errorf("%w: part %d is not base64url", ErrMalformed, i+1)
		}
		parts[i] = part
	}
	return parts, nil
}

// object reads a JSON object with no name twice: RFC 7519, section 4 lets a
// reader refuse that, and two readers could see two tokens otherwise.
func object(text []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	fields := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
		}
		if _, twice := fields[text]; twice {
			return nil, fmt.Errorf("%w: a claim is given twice", ErrMalformed)
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
		}
		fields[text] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	if len(bytes.TrimSpace(text[decoder.InputOffset():])) > 0 {
		return nil, fmt.Errorf("%w: something after the JSON object", ErrMalformed)
	}
	return fields, nil
}

// readClaims reads what counts. exp must be a JSON integer, as the SFU wants.
func readClaims(all map[string]json.RawMessage) (c Claims, notBefore int64, _ error) {
	c.All = all
	exp, err := integer(all, "exp")
	if err != nil {
		return c, 0, err
	}
	c.ExpiresAt = time.Unix(exp, 0)
	for name, to := range map[string]any{"sub": &c.Subject, "join_hub": &c.JoinHub, "kick_users": &c.KickUsers} {
		if raw := all[name]; raw != nil && json.Unmarshal(raw, to) != nil {
			return c, 0, fmt.Errorf("%w: %s is of another type", ErrMalformed, name)
		}
	}
	if all["iat"] != nil {
		iat, err := integer(all, "iat")
		if err != nil {
			return c, 0, err
		}
		c.IssuedAt = time.Unix(iat, 0)
	}
	if all["nbf"] != nil {
		if notBefore, err = integer(all, "nbf"); err != nil {
			return c, 0, err
		}
	}
	// Null or absent would open every room.
	var ids []*string
	if json.Unmarshal(all["room_ids"], &ids) != nil || len(ids) == 0 {
		return c, 0, fmt.Errorf("%w: room_ids is not a list with a room in it", ErrMalformed)
	}
	for _, id := range ids {
		if id == nil || *id == "" {
			return c, 0, fmt.Errorf("%w: room_ids has something that is not a room", ErrMalformed)
		}
		c.RoomIDs = append(c.RoomIDs, *id)
	}
	return c, notBefore, nil
}

func integer(all map[string]json.RawMessage, name string) (int64, error) {
	n, err := strconv.ParseInt(string(all[name]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is not an integer", ErrMalformed, name)
	}
	return n, nil
}

