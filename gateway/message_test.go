package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/rooms"
)

// A signal's frame is made by hand: it says what encoding/json would, whatever is in it.
func TestASignalsFrameIsTheMessage(t *testing.T) {
	for _, room := range []string{"r", `qu"ote\back`, "tab\tand\u2028 é", "<&>", "bad \xff"} {
		for _, data := range []string{"", "null", `{"a": [1, "<>"]}`, `"` + strings.Repeat("x", 200) + `"`, `"` + strings.Repeat("x", 70000) + `"`} {
			e := &rooms.Entry{Kind: rooms.KindSignal, Room: room, From: "m" + room, Cursor: rooms.Cursor{Epoch: "e", N: 7}, Data: json.RawMessage(data)}
			if data == "" {
				e.Data = nil
			}
			f := preparedFrame(&rooms.Entry{Prepared: Prepare(e)})
			if diff := cmp.Diff(textFrame(f.payload()), f); diff != "" {
				t.Errorf("the frame: %s", diff)
			}
			want, err := json.Marshal(map[string]any{"type": "signal", "room": room, "cursor": e.Cursor.String(), "from": e.From, "data": e.Data})
			if err != nil {
				t.Fatal(err)
			}
			var gotFields, wantFields map[string]any
			if err := json.Unmarshal(f.payload(), &gotFields); err != nil {
				t.Fatalf("%s: %v", f.payload(), err)
			}
			if err := json.Unmarshal(want, &wantFields); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantFields, gotFields); diff != "" {
				t.Error(diff)
			}
		}
	}
}
