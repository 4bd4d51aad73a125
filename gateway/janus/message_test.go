package janus

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyWhatHasOneMeaningIsRead(t *testing.T) {
	const long = 1 << 20
	for name, is := range map[string]struct {
		text string
		code int // 0: it is read
	}{
		"a keepalive":                 {`{"janus":"keepalive","transaction":"t","session_id":1}`, 0},
		"a join":                      {`{"janus":"message","transaction":"t","session_id":1,"handle_id":2,"body":{"kind":"join","room_id":"r","user_id":"u","subscribe":{"media":"x"}}}`, 0},
		"fields that nobody knows":    {`{"janus":"attach","transaction":"t","session_id":1,"plugin":"p","opaque_id":"o","force-bundle":true}`, 0},
		"a megabyte of SDP":           {`{"janus":"message","transaction":"t","body":{},"jsep":{"type":"offer","sdp":"` + strings.Repeat("a", long) + `"}}`, 0},
		"text in escapes":             {`{"jan\u0075s":"keepal\u0069ve","transaction":"\ud83d\ude00"}`, 0},
		"space around it":             {" \n{\"janus\":\"ping\",\"transaction\":\"t\"}\r\n\t", 0},
		"nothing":                     {``, codeInvalidJSON},
		"half a message":              {`{"janus":"keepalive"`, codeInvalidJSON},
		"a list":                      {`[]`, codeInvalidObject},
		"a text":                      {`"janus"`, codeInvalidObject},
		"a name twice":                {`{"janus":"keepalive","transaction":"t","janus":"message"}`, codeInvalidJSON},
		"a name twice by an escape":   {`{"janus":"keepalive","transaction":"t","j\u0061nus":"message"}`, codeInvalidJSON},
		"a name in another case":      {`{"janus":"keepalive","transaction":"t","JANUS":"message"}`, codeInvalidJSON},
		"only that":                   {`{"Janus":"keepalive","transaction":"t"}`, codeInvalidJSON},
		"a K that is none":            {"{\"janus\":\"message\",\"transaction\":\"t\",\"body\":{\"kind\":\"data\",\"to\u212Aen\":\"x\"}}", codeInvalidJSON},
		"a long s":                    {"{\"janus\":\"message\",\"transaction\":\"t\",\"janu\u017F\":\"x\"}", codeInvalidJSON},
		"one in the body twice":       {`{"janus":"message","transaction":"t","body":{"kind":"data","kind":"join"}}`, codeInvalidJSON},
		"one in the body in capitals": {`{"janus":"message","transaction":"t","body":{"kind":"data","Kind":"join"}}`, codeInvalidJSON},
		"unknown ones alike":          {`{"janus":"message","transaction":"t","body":{"a":1,"A":2}}`, codeInvalidJSON},
		"one further down":            {`{"janus":"message","transaction":"t","body":{"subscribe":{"media":null,"media":"x"}}}`, codeInvalidJSON},
		"two messages":                {`{"janus":"keepalive","transaction":"t"}{"janus":"message","transaction":"t"}`, codeInvalidJSON},
		"something behind it":         {`{"janus":"keepalive","transaction":"t"} x`, codeInvalidJSON},
		"a zero behind it":            {"{\"janus\":\"keepalive\",\"transaction\":\"t\"}\x00", codeInvalidJSON},
		"a zero in a text":            {`{"janus":"keepalive\u0000","transaction":"t"}`, codeInvalidJSON},
		"a zero in a name":            {`{"janus":"keepalive","transaction":"t","a\u0000":1}`, codeInvalidJSON},
		"bytes that aren't UTF-8":     {"{\"janus\":\"keepalive\",\"transaction\":\"\xff\"}", codeInvalidJSON},
		"half a surrogate":            {`{"janus":"keepalive","transaction":"\ud83d"}`, codeInvalidJSON},
		"too deep":                    {`{"janus":"message","transaction":"t","body":{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`, codeInvalidJSON},
		"deep at the top":             {`{"janus":"message","transaction":"t","x":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + `}`, codeInvalidJSON},
		"a number beyond 64 bits":     {`{"janus":"keepalive","transaction":"t","x":99999999999999999999}`, codeInvalidJSON},
		"a real without end":          {`{"janus":"keepalive","transaction":"t","x":1e999}`, codeInvalidJSON},
		"no verb":                     {`{"transaction":"t"}`, codeMissingElement},
		"no transaction":              {`{"janus":"keepalive"}`, codeMissingElement},
		"a verb that is a number":     {`{"janus":1,"transaction":"t"}`, codeWrongType},
		"a transaction of none":       {`{"janus":"keepalive","transaction":""}`, codeWrongType},
		"a transaction without end":   {`{"janus":"keepalive","transaction":"` + strings.Repeat("t", 300) + `"}`, codeWrongType},
		"a session that is a text":    {`{"janus":"keepalive","transaction":"t","session_id":"1"}`, codeWrongType},
		"a session that is a real":    {`{"janus":"keepalive","transaction":"t","session_id":1.0}`, codeWrongType},
		"a session with an exponent":  {`{"janus":"keepalive","transaction":"t","session_id":1e0}`, codeWrongType},
		"a session below zero":        {`{"janus":"keepalive","transaction":"t","session_id":-1}`, codeWrongType},
		"a session that rounds":       {`{"janus":"keepalive","transaction":"t","session_id":9007199254740993}`, codeWrongType},
		"a handle that is null":       {`{"janus":"keepalive","transaction":"t","handle_id":null}`, codeWrongType},
		"a plugin that is a list":     {`{"janus":"attach","transaction":"t","plugin":["p"]}`, codeWrongType},
		"a body that is a text":       {`{"janus":"message","transaction":"t","body":"{}"}`, codeWrongType},
	} {
		r, refused := parse([]byte(is.text))
		code := 0
		if refused != nil {
			code = refused.code
			var answer struct {
				Janus string
				Error struct {
					Code   int
					Reason string
				}
			}
			if err := json.Unmarshal(refused.answer(r), &answer); err != nil || answer.Janus != "error" || answer.Error.Code != code || answer.Error.Reason == "" {
				t.Errorf("%s is refused with %s: %v", name, refused.answer(r), err)
			}
		}
		if code != is.code {
			t.Errorf("%s: %d, want %d", name, code, is.code)
		}
	}
}

func TestAMessageIsReadWhole(t *testing.T) {
	r, refused := parse([]byte(`{ "janus" : "message", "transaction":"t\n1","session_id":7, "handle_id": 8 ,"body": { "kind":"join", "token" : "x" },"jsep":{"type":"offer","sdp":"v=0\r\n"}}`))
	if refused != nil {
		t.Fatal(refused)
	}
	if r.verb != "message" || r.transaction != "t\n1" || r.session != 7 || r.handle != 8 || string(r.body.get("kind")) != `"join"` {
		t.Errorf("%+v", r)
	}
	body := r.body.with("token", quote("y"))
	text := r.fields.with("body", body.encode()).with("apisecret", nil).encode()
	const want = `{"janus":"message","transaction":"t\n1","session_id":7,"handle_id":8,"jsep":{"type":"offer","sdp":"v=0\r\n"},"body":{"kind":"join","token":"y"}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

// What was read, written anew, is read as the same; and Go's own loose reader, in
// which names match in any case and the last of them counts, sees the same too.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"janus":"create","transaction":"t"}`, `{"janus":"attach","plugin":"janus.plugin.sfu","transaction":"t","session_id":12,"force-bundle":true}`,
		`{"janus":"message","transaction":"t","session_id":1,"handle_id":2,"body":{"kind":"join","room_id":"r","user_id":"u","subscribe":{"notifications":true,"data":true,"media":null}},"jsep":{"type":"offer","sdp":"v=0"}}`,
		`{"janus":"keepalive","JANUS":"message"}`, `{"janus":"a"}{"janus":"b"}`, "{\"janu\\u0073\":\"x\",\"transaction\":\"\\u0000\"}", `{"body":{"body":{}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, refused := parse([]byte(text))
		if refused != nil {
			_ = refused.answer(r)
			return
		}
		var loose struct {
			Janus, Transaction  string
			SessionID, HandleID uint64
			Plugin              string
			Body                struct {
				Kind, Token json.RawMessage
				Whom        json.RawMessage
			}
		}
		if err := json.Unmarshal([]byte(text), &loose); err != nil {
			t.Fatalf("%q is read here and not there: %v", text, err)
		}
		if loose.Janus != r.verb || loose.Transaction != r.transaction || loose.Plugin != r.plugin ||
			string(loose.Body.Kind) != string(r.body.get("kind")) || string(loose.Body.Token) != string(r.body.get("token")) ||
			string(loose.Body.Whom) != string(r.body.get("whom")) {
			t.Fatalf("%q is read as %+v, and loosely as %+v", text, r, loose)
		}
		again, refused := parse(r.fields.encode())
		if refused != nil {
			t.Fatalf("%q is written as %s, which isn't read: %+v", text, r.fields.encode(), refused)
		}
		if again.verb != r.verb || again.transaction != r.transaction || again.session != r.session || again.handle != r.handle || again.plugin != r.plugin {
			t.Fatalf("%+v became %+v", r, again)
		}
		if diff := cmp.Diff(r.body, again.body, cmp.AllowUnexported(field{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
