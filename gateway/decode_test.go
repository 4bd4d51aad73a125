package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeRequest(t *testing.T) {
	r, err := decodeRequest([]byte(" { \"\\u0074ype\" : \"signal\" ,\"id\":3,\"room\":\"r\\\"}\",\"to\":null,\"x\":[{\"type\":\"no\"}],\"data\": {\"a\":[1,\"}\"]} } "))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(request{ID: 3, Type: "signal", Room: `r"}`, Data: []byte(`{"a":[1,"}"]}`)}, r); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecodeRequest checks that the decoder sees what encoding/json sees in a
// map, which matches names exactly, and fails in the two ways that it may.
func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{
		`{"type":"auth"}`, `{"type":"join","id":1,"room":"r","data":{"a":[1,2,{}]}}`, `{"type":"a","type":"b"}`,
		`{"type":"auth","resume":{"session":"s","secret":"x","rooms":{"r":"e.1"},"tokens":{"r":1.5}}}`,
		`{}`, `[]`, `null`, `{"type":1}`, `{"type":"a","Type":"b","data":"\"}"}`, `{"data" : -1.5e3 ,"type":"x"}`, "{\"type\":\"\xff\"}",
		`{"type":"signal","data":true}`, `{"type":"auth","resume":null,"credential":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		r, err := decodeRequest(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the frame was changed")
		}
		var known *requestError
		if err != nil && !errors.Is(err, errNotMessage) && !errors.As(err, &known) {
			t.Fatalf("error of another kind: %v", err)
		}
		if err != nil {
			return
		}
		var reference map[string]json.RawMessage
		if err := json.Unmarshal(text, &reference); err != nil {
			t.Fatalf("taken, though encoding/json says %v", err)
		}
		for name, got := range map[string]string{"type": r.Type, "room": r.Room, "to": r.To, "member": r.Member, "credential": r.Credential} {
			var want string
			if raw, ok := reference[name]; ok {
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatalf("%s is %q, though encoding/json says %v", name, got, err)
				}
			}
			if got != want {
				t.Errorf("%s is %q, encoding/json reads %q", name, got, want)
			}
		}
		if !bytes.Equal(r.Data, reference["data"]) {
			t.Errorf("data is %q, encoding/json reads %q", r.Data, reference["data"])
		}
	})
}

// FuzzDecodeBody checks the operator's decoder in the same way: what it takes,
// encoding/json reads alike, and it is an object with these two fields at most.
func FuzzDecodeBody(f *testing.F) {
	for _, seed := range []string{
		`{"data":1}`, `{"to":"m","data":{"a":[1,{}]}}`, `{"data":1,"data":2}`, `{"data":1,"To":"m"}`, `{"to":"","data":null}`,
		`{}`, `[]`, `null`, `{"data":1}{}`, `{"d\u0061ta":"\ud800"}`, "{\"data\":\"\xff\"}", ` { "data" : true } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		fields, err := decodeBody(text, "a shape", "to", "data")
		if !bytes.Equal(before, text) {
			t.Fatal("the body was changed")
		}
		var known *requestError
		if err != nil {
			if !errors.As(err, &known) || known.Code != codeBadRequest {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		var reference map[string]json.RawMessage
		if err := json.Unmarshal(text, &reference); err != nil {
			t.Fatalf("taken, though encoding/json says %v", err)
		}
		if len(reference) != len(fields) {
			t.Errorf("%d fields of %d in %q", len(fields), len(reference), text)
		}
		for name, value := range fields {
			if name != "to" && name != "data" || !bytes.Equal(value, reference[name]) {
				t.Errorf("%s is %q, encoding/json reads %q", name, value, reference[name])
			}
		}
	})
}
