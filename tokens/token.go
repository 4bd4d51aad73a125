package tokens

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// A Token is a signed JWT and its times. The JWT is a secret: whoever has it
// may join. No verb of package fmt and no slog handler prints it, as long as the Token
// is passed itself, or in an exported field.
type Token struct {
	JWT       string    // compact serialization (RFC 7515, section 7.1)
	KeyID     string    // of the key that signed it, whether the header names it or not; "" is a secret
	IssuedAt  time.Time // iat, in whole seconds
	ExpiresAt time.Time // exp, in whole seconds; not good from then on
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.JWT == "" && t.ExpiresAt.IsZero() }

// String says when the token expires, and nothing of the JWT.
func (t Token) String() string {
	if t.IsZero() {
		return "no token"
	}
	return "token until " + t.ExpiresAt.UTC().Format(time.RFC3339)
}

// GoString is String: %#v is no way to the JWT either.
func (t Token) GoString() string { return t.String() }

// Format writes String for every verb: without it %x and %d would go past
// String, to the fields.
func (t Token) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.String()) }

// LogValue gives the times to a log, and leaves the JWT out.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.Time("issued_at", t.IssuedAt), slog.Time("expires_at", t.ExpiresAt))
}
