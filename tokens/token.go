package tokens

import (
	"log/slog"
	"time"
)

// A Token is a signed JWT. Whoever has it has what it grants, so it doesn't
// print itself.
type Token struct {
	JWT       string // compact form
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// IsZero says that there is no token.
func (t Token) IsZero() bool { return t.JWT == "" }

// String keeps the token out of texts.
func (t Token) String() string {
	if t.IsZero() {
		return "no token"
	}
	return "token until " + t.ExpiresAt.UTC().Format(time.RFC3339)
}

// GoString keeps it out of %#v.
func (t Token) GoString() string { return t.String() }

// LogValue keeps it out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
