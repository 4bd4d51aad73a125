package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// A scope is what a key may do; a larger one includes the smaller.
type scope int

const (
	scopeRead scope = 1 + iota
	scopeWrite
)

// An AdminKey opens the operator's API. It holds the key's hash and not the key,
// so that nothing can show it.
type AdminKey struct {
	hash  [sha256.Size]byte
	scope scope
}

// shortestAdminKey is the least length of a key, in bytes.
const shortestAdminKey = 16

// ParseAdminKey reads one --admin-key: read:KEY may only look, write:KEY and KEY
// may do everything. A key is at least 16 of the characters that a bearer token
// may have (RFC 6750, section 2.1). The key is not in the error's text.
func ParseAdminKey(text string) (AdminKey, error) {
	is := scopeWrite
	key := strings.TrimPrefix(text, "write:")
	if rest, ok := strings.CutPrefix(text, "read:"); ok {
		is, key = scopeRead, rest
	}
	if len(key) < shortestAdminKey {
		return AdminKey{}, fmt.Errorf("--admin-key: the key is shorter than %d characters: make one with openssl rand -hex 32", shortestAdminKey)
	}
	if strings.ContainsFunc(strings.TrimRight(key, "="), func(r rune) bool { return !isBearer(r) }) {
		return AdminKey{}, errors.New("--admin-key: a key consists of letters, digits and - . _ ~ + /, after read: or write: if need be; make one with openssl rand -hex 32")
	}
	return AdminKey{sha256.Sum256([]byte(key)), is}, nil
}

func isBearer(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/", r)
}

// checkAdminKeys says whether one key is there twice: it would have two scopes,
// or one that was meant to be replaced wasn't.
func checkAdminKeys(keys []AdminKey) error {
	seen := map[[sha256.Size]byte]bool{}
	for _, k := range keys {
		if seen[k.hash] {
			return errors.New("--admin-key: the same key is given twice")
		}
		seen[k.hash] = true
	}
	return nil
}

// authorize says which key a request comes with, counted from 1, where it opens
// what the request wants.
func (s *Server) authorize(r *http.Request, wants scope) (int, error) {
	if len(s.admins) == 0 {
		return 0, &requestError{codeNoAdminKey, "the operator's API is off, because roompass serve was started without --admin-key"}
	}
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return 0, &requestError{codeNotAuthenticated, "send one header Authorization: Bearer KEY, with a key that was given as --admin-key"}
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	n := s.whichKey(strings.TrimLeft(key, " "))
	switch {
	case !strings.EqualFold(scheme, "Bearer") || n == 0:
		return 0, &requestError{codeNotAuthenticated, "this is none of the keys that were given as --admin-key"}
	case s.admins[n-1].scope < wants:
		return n, &requestError{codeNotAllowed, "this key may only read"}
	}
	return n, nil
}

// whichKey returns a key's number, counted from 1; 0: it is none of them. How
// long it takes says nothing of how near a guess was (CWE-208): hashes are
// compared, whole, and with all of them.
func (s *Server) whichKey(key string) (n int) {
	hash := sha256.Sum256([]byte(key))
	for i, k := range s.admins {
		n = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k.hash[:]), i+1, n)
	}
	return n
}

// challenge says in WWW-Authenticate what a refusal with a code wants to see (RFC 6750,
// section 3), where it is one for want of a key.
func challenge(w http.ResponseWriter, r *http.Request, code string) {
	text := `Bearer realm="roompass operator"`
	switch {
	case code == codeNotAllowed:
		text += `, error="insufficient_scope", scope="write"`
	case code != codeNotAuthenticated:
		return
	case r.Header.Get("Authorization") != "":
		text += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", text)
}
