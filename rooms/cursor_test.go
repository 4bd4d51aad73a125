package rooms_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/roompass/roompass/rooms"
)

func TestCursorsText(t *testing.T) {
	for _, c := range []struct {
		cursor rooms.Cursor
		text   string
	}{
		{rooms.Cursor{}, ""},
		{rooms.Cursor{Epoch: "E"}, "E.0"},
		{rooms.Cursor{Epoch: "a-Z_9", N: 35}, "a-Z_9.z"},
		{rooms.Cursor{Epoch: "e", N: 36}, "e.10"},
		{rooms.Cursor{Epoch: strings.Repeat("e", 32), N: math.MaxUint64}, strings.Repeat("e", 32) + ".3w5e11264sgsf"},
	} {
		if got := c.cursor.String(); got != c.text {
			t.Errorf("%+v is written %q, want %q", c.cursor, got, c.text)
		}
		if got, err := rooms.ParseCursor(c.text); err != nil || got != c.cursor {
			t.Errorf("%q is read as %+v, %v; want %+v", c.text, got, err, c.cursor)
		}
	}
}

func TestBadCursors(t *testing.T) {
	for _, text := range []string{
		".", ".1", "e", "e.", "e.-1", "e.+1", "e.A", "e.01", "e.1_0", "e.1.1", "e.1 ", " e.1", "é.1", "e\n.1",
		"e.3w5e11264sgsg",               // one more than fits
		strings.Repeat("e", 33) + ".1",  // too long an epoch
		"e." + strings.Repeat("0", 999), // too long a number
	} {
		got, err := rooms.ParseCursor(text)
		if !errors.Is(err, rooms.ErrBadCursor) || got != (rooms.Cursor{}) {
			t.Errorf("%q is read as %+v, %v; want %v", text, got, err, rooms.ErrBadCursor)
		}
	}
}

// FuzzParseCursor: each cursor has one text, and what isn't one is refused
// without being repeated.
func FuzzParseCursor(f *testing.F) {
	for _, text := range []string{"", "e.1", "a-Z_9.z", "e.01", "e.1.1", "..", "e.3w5e11264sgsg"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := rooms.ParseCursor(text)
		switch {
		case err == nil && c.String() != text:
			t.Errorf("%q is read as %+v, which is written %q", text, c, c)
		case err != nil && c != (rooms.Cursor{}):
			t.Errorf("%q is read as %+v beside the error %v", text, c, err)
		case err != nil && err.Error() != "parse cursor: "+rooms.ErrBadCursor.Error():
			t.Errorf("%q: error %q", text, err)
		}
	})
}
