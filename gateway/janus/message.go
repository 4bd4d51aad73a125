package janus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An object is a JSON object's fields in their order. Each name is there once.
type object []field

type field struct {
	name  string
	value jsontext.Value // as it came
}

func (o object) get(name string) jsontext.Value {
	for _, f := range o {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// with is the object with a field set to another value; nil takes it out.
func (o object) with(name string, value jsontext.Value) object {
	changed := make(object, 0, len(o)+1)
	for _, f := range o {
		if f.name != name {
			changed = append(changed, f)
		}
	}
	if value != nil {
		changed = append(changed, field{name, value})
	}
	return changed
}

// encode writes the object anew.
func (o object) encode() jsontext.Value {
	text := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, quote(f.name)...)
		text = append(text, ':')
		text = append(text, f.value...)
	}
	return append(text, '}')
}

// quote is a text as a JSON string.
func quote(text string) jsontext.Value {
	quoted, _ := jsontext.AppendQuote(nil, text) // what isn't UTF-8 was refused
	return quoted
}

// A request is one message from a browser, read in the one way in which Janus
// reads it.
type request struct {
	text        []byte // the frame
	fields      object
	body        object // nil where there is none
	verb        string
	transaction string
	session     uint64 // 0: none
	handle      uint64
	plugin      string
}

const (
	deepest    = 32        // how far objects and arrays may be nested; SDP is text
	longestID  = 1<<53 - 1 // of a session or a handle: Janus draws them below
	longestRef = 256       // bytes of a transaction
)

// The names that Janus or its plugin goes by, at the top and in body. One that is
// the same but for case is theirs to nobody, or to somebody who reads loosely.
var (
	topNames  = []string{"janus", "transaction", "session_id", "handle_id", "plugin", "body", "jsep", "candidate", "candidates", "token", "apisecret"}
	bodyNames = []string{"kind", "room_id", "user_id", "subscribe", "token", "whom", "body"}
	// and in body's subscribe
	subscribeNames = []string{"notifications", "data", "media"}
)

// parse reads a frame, or says what is wrong with it. What two readers could take
// for two messages is refused: a name twice or in another case, a second value
// behind the first, numbers that aren't integers where those are meant.
func parse(text []byte) (request, *refusal) {
	r := request{text: text}
	p := newParser(text)
	if kind := p.decoder.PeekKind(); kind != '{' {
		if _, err := p.decoder.ReadToken(); err != nil {
			return r, invalidJSON(err)
		}
		return r, &refusal{code: codeInvalidObject, reason: "JSON error: not an object"}
	}
	err := p.top(&r)
	if err == nil {
		if _, err = p.decoder.ReadToken(); err == nil {
			err = errors.New("there is more than one value")
		} else if err == io.EOF {
			err = nil
		}
	}
	// What could be read of it tells the sender which request is refused.
	_ = readText(r.fields.get("transaction"), &r.transaction)
	if err != nil {
		return r, invalidJSON(err)
	}
	return r, r.read()
}

// read takes what the front goes by out of the fields.
func (r *request) read() *refusal {
	for name, to := range map[string]*string{"janus": &r.verb, "transaction": &r.transaction} {
		raw := r.fields.get(name)
		if raw == nil {
			return &refusal{code: codeMissingElement, reason: "Missing mandatory element (" + name + ")"}
		}
		if !readText(raw, to) || *to == "" {
			return wrongType(name)
		}
	}
	if len(r.transaction) > longestRef {
		return wrongType("transaction")
	}
	for name, to := range map[string]*uint64{"session_id": &r.session, "handle_id": &r.handle} {
		if raw := r.fields.get(name); raw != nil && !readID(raw, to) {
			return wrongType(name)
		}
	}
	if raw := r.fields.get("plugin"); raw != nil && !readText(raw, &r.plugin) {
		return wrongType("plugin")
	}
	if raw := r.fields.get("body"); raw != nil && r.body == nil {
		return wrongType("body")
	}
	return nil
}

// A parser reads a frame once.
type parser struct {
	decoder *jsontext.Decoder
	text    []byte
}

func newParser(text []byte) parser {
	return parser{decoder: jsontext.NewDecoder(bytes.NewBuffer(text)), text: text} // which isn't copied
}

// top reads the message, with the fields of body apart.
func (p *parser) top(r *request) error {
	return p.object(topNames, func(name string) error {
		from := p.decoder.InputOffset()
		if name == "body" && p.decoder.PeekKind() == '{' {
			r.body = object{}
			if err := p.object(bodyNames, func(name string) error { return p.field(&r.body, name) }); err != nil {
				return err
			}
			r.fields = append(r.fields, field{name, p.since(from)})
			return nil
		}
		return p.field(&r.fields, name)
	})
}

// field reads a value, and adds it to an object.
func (p *parser) field(to *object, name string) error {
	from := p.decoder.InputOffset()
	if err := p.value(); err != nil {
		return err
	}
	*to = append(*to, field{name, p.since(from)})
	return nil
}

// since is the text of the value that was just read.
func (p *parser) since(from int64) jsontext.Value {
	return bytes.TrimLeft(p.text[from:p.decoder.InputOffset()], " \t\r\n:")
}

// object reads one, and calls each with every name in it. The decoder takes no
// name twice.
func (p *parser) object(known []string, each func(name string) error) error {
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	var folded map[string]bool
	for p.decoder.PeekKind() != '}' {
		token, err := p.decoder.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if err := checkText(name); err != nil {
			return err
		}
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("a name is %s but for its case", k)
			}
		}
		fold := strings.ToLower(name)
		if folded[fold] {
			return errors.New("two names are the same but for their case")
		}
		if folded == nil {
			folded = map[string]bool{}
		}
		folded[fold] = true
		if err := each(name); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return err
}

// value reads whatever is next.
func (p *parser) value() error {
	if p.decoder.StackDepth() > deepest {
		return fmt.Errorf("it is nested more than %d deep", deepest)
	}
	switch p.decoder.PeekKind() {
	case '{':
		return p.object(nil, func(string) error { return p.value() })
	case '[':
		if _, err := p.decoder.ReadToken(); err != nil {
			return err
		}
		for p.decoder.PeekKind() != ']' {
			if err := p.value(); err != nil {
				return err
			}
		}
		_, err := p.decoder.ReadToken()
		return err
	}
	raw, err := p.decoder.ReadValue()
	if err != nil {
		return err
	}
	switch raw.Kind() {
	case '"':
		// Only an escape makes a zero: SDP needn't be read for it.
		if text := ""; bytes.Contains(raw, []byte(`\u0000`)) && readText(raw, &text) {
			return checkText(text)
		}
	case '0':
		return checkNumber(string(raw))
	}
	return nil
}

// checkText refuses what Janus's reader does: a text in C ends at a zero.
func checkText(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("a text has a zero in it")
	}
	return nil
}

// checkNumber refuses numbers that Janus's reader does, or rounds.
func checkNumber(text string) error {
	if strings.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return errors.New("a number is too large")
		}
		return nil
	}
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return errors.New("a number is too large")
	}
	return nil
}

// readText reads a JSON string, and says whether raw is one.
func readText(raw jsontext.Value, to *string) bool {
	if raw.Kind() != '"' {
		return false
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return false
	}
	*to = string(text)
	return true
}

// readID reads the id of a session or a handle.
func readID(raw jsontext.Value, to *uint64) bool {
	id, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || id == 0 || id > longestID {
		return false
	}
	*to = id
	return true
}
