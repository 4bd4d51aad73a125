package rooms

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor marks a place in a room's log. Clients get it as an opaque string. The
// zero value means "saw nothing".
type Cursor struct {
	Epoch string // the life of the log that N counts in: 1 to 32 of A-Z a-z 0-9 _ -
	N     uint64 // the number of the newest entry that was seen
}

const maxEpoch = 32 // bytes

// String returns "epoch.n", the number in base 36, or "" for the zero value.
func (c Cursor) String() string {
	if c.Epoch == "" {
		return ""
	}
	return c.Epoch + "." + strconv.FormatUint(c.N, 36)
}

// ParseCursor reads what String wrote, and nothing else: each cursor has exactly
// one text. It returns [ErrBadCursor], without the text, which is a stranger's.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	epoch, number, found := strings.Cut(s, ".")
	if !found || !isEpoch(epoch) {
		return Cursor{}, fmt.Errorf("parse cursor: %w", ErrBadCursor)
	}
	n, err := strconv.ParseUint(number, 36, 64)
	if err != nil || strconv.FormatUint(n, 36) != number {
		return Cursor{}, fmt.Errorf("parse cursor: %w", ErrBadCursor)
	}
	return Cursor{Epoch: epoch, N: n}, nil
}

func isEpoch(s string) bool {
	if s == "" || len(s) > maxEpoch {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
