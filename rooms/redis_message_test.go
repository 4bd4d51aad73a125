package rooms

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBodiesAndMessages(t *testing.T) {
	for _, m := range []Member{
		{ID: "a", JoinedAt: time.UnixMilli(1)},
		{ID: "a b\nc", User: "{ü} %", Session: " ", JoinedAt: time.UnixMilli(1767225600000), Data: []byte(`{"a": [1, " "]}`)},
		{ID: "a", JoinedAt: time.UnixMilli(1), Rights: "may kick = %20"},
	} {
		got, err := parseBody(body(m))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Error(diff)
		}
	}
	c, err := parseMessage("EPOCH 12 10 1767225600000 " + signalPayload("own", 7, "F", 3, "from me", "", []byte(`" "`)))
	if err != nil {
		t.Fatal(err)
	}
	want := change{epoch: "EPOCH", position: 12, n: 10, at: time.UnixMilli(1767225600000), kind: 'S',
		owner: "own", seq: 7, fork: "F", forkN: 3, from: "from me", data: []byte(`" "`), size: c.size}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(change{})); diff != "" {
		t.Error(diff)
	}
}

func TestForkCursors(t *testing.T) {
	for _, c := range []struct {
		cursor Cursor
		base   Cursor
		fork   string
		n      uint64
	}{
		{Cursor{"E", 5}, Cursor{"E", 5}, "", 0},
		{Cursor{"E_z_F", 5}, Cursor{"E", 35}, "F", 5},
		{Cursor{"E_?_F", 5}, Cursor{"E_?_F", 5}, "", 0},
		{Cursor{}, Cursor{}, "", 0},
	} {
		base, fork, n := unfork(c.cursor)
		if base != c.base || fork != c.fork || n != c.n {
			t.Errorf("%v means %v, %q, %d; want %v, %q, %d", c.cursor, base, fork, n, c.base, c.fork, c.n)
		}
	}
}

// FuzzParseMessage: whatever is on the channel or in the log, it is read or refused.
func FuzzParseMessage(f *testing.F) {
	for _, text := range []string{
		"E 1 1 0 J o 0 p =a = = 0 = {}", "E 1 1 0 U o 1 =a = = 0 = ", "E 1 1 0 G o 1 =a = = 0 =r 1", "E 1 1 0 L lost =a =u", "E 1 1 0 T o p - a", "E 1 1 0 R", "E 1 1 0 A o 1 - F 1",
		"E 1 1 0 S o 1 - 0 =a = 1", "", "E", "E 1 1 0 ", "E 1 1 0 X",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseMessage(text)
		if err == nil && c.isEntry() && c.kind != 'A' && c.kind != 'G' && c.entry("r").Kind == 0 {
			t.Errorf("%q is read as no kind of entry", text)
		}
	})
}
