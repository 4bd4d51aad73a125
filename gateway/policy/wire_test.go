package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// encoded is a rule as lua/put.lua writes it.
func encoded(t testing.TB, e entry) string {
	t.Helper()
	rest, err := e.rest()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"version":7,"set":%d,"until":%d,"keep":%d,"value":%t,%s`,
		e.Set.UnixMilli(), e.Until.UnixMilli(), e.keep.UnixMilli(), e.Value, rest)
}

func TestRulesAreReadAsTheyWereWritten(t *testing.T) {
	at := time.UnixMilli(1767225600000)
	for _, r := range []Rule{
		{Kind: Revoked, User: "eve", Value: true, Set: at, Until: at.Add(time.Hour)},
		{Kind: JoinHub, Member: "m", Room: "lobby", Set: at, Until: at.Add(time.Hour)},
		{Kind: Drained, Target: "p", Value: true, Set: at, Until: at.Add(time.Hour)},
		{Kind: KickUsers, User: "\"}{ü\n\x00 <&>\u2028", Room: `\u0000","set":1`, Set: at, Until: at.Add(time.Hour)},
	} {
		want := entry{r, r.Until.Add(time.Minute)}
		got, err := decode(encoded(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMessagesAreRead(t *testing.T) {
	got, err := parseMessage(`= 0 = =EPOCH 2 =c2 [{"a":" "},{}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := step{before: place{}, after: place{"EPOCH", 2, "c2"}, rules: []string{`{"a":" "}`, `{}`}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{}, place{})); diff != "" {
		t.Error(diff)
	}
}

// Whatever is in Redis is a rule, or refused.
func FuzzDecode(f *testing.F) {
	f.Add(`{"version":1,"set":1,"until":2,"keep":3,"value":true,"kind":"revoked","user":"eve"}`)
	f.Add(`{"version":1,"set":1,"until":2,"keep":1,"kind":"join_hub","member":"m","room":"r"}`)
	f.Add(`{"version":-1}`)
	f.Add(`{"version":1,"set":1e400,"until":2,"keep":3,"kind":"revoked","user":"` + strings.Repeat("x", 1025) + `"}`)
	f.Add(`[]`)
	f.Add(`null`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decode(text)
		if err != nil {
			return
		}
		if why := e.flaw(); why != "" {
			t.Errorf("%q is a rule, and %s", text, why)
		}
		if e.keep.Before(e.Until) {
			t.Error("it is forgotten before it is over")
		}
		again, err := decode(encoded(t, e))
		if err != nil || again != e {
			t.Errorf("%q is %+v, and then %+v, %v", text, e, again, err)
		}
		b := newBook(func() time.Time { return time.UnixMilli(1) })
		b.learn([]entry{e}, true, true)
		b.On(e.User, e.Member, e.Room)
		b.List()
	})
}

// Whatever is on the channel is a message, or refused.
func FuzzParseMessage(f *testing.F) {
	f.Add(`= 0 = =E 1 =c [{"version":1}]`)
	f.Add(`=E 1 =c =E 2 =d []`)
	f.Add(`=E x = = 2 = [`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		is, err := parseMessage(text)
		if err == nil && is.all {
			t.Error("a message is about all there is")
		}
	})
}

func TestEntriesJoinInAnyOrder(t *testing.T) {
	var all []entry
	for i := range 16 {
		all = append(all, entry{Rule{Kind: Revoked, User: "eve", Value: i&1 > 0,
			Set: time.UnixMilli(int64(1 + i>>1&1)), Until: time.UnixMilli(int64(5 + i>>2&1))}, time.UnixMilli(int64(8 + i>>3&1))})
	}
	for _, a := range all {
		if join(a, a) != a {
			t.Errorf("%+v with itself is another", a)
		}
		for _, b := range all {
			if join(a, b) != join(b, a) {
				t.Errorf("%+v and %+v join to what hangs on the order", a, b)
			}
			for _, c := range all {
				if join(join(a, b), c) != join(a, join(b, c)) {
					t.Errorf("%+v, %+v and %+v join to what hangs on the order", a, b, c)
				}
			}
		}
	}
}
