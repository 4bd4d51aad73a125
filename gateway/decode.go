package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
)

// A request is one message from a client, with the fields of every type. The
// JSON in it belongs to the read buffer: whoever keeps it copies it.
type request struct {
	ID         int64 // 0: the client wants no reply
	Type       string
	Room       string
	To         string
	Member     string
	Data       json.RawMessage // nil where the field is absent
	Credential string
	Resume     *resumption

	// What only this process can ask.
	Vouched *access.Person // for auth: who it is, which was found out already
	Ends    time.Time      // with it: when the session does
	UserID  string         // for join: what the others are told in data, as user_id
}

// A resumption is what a client remembers of the session that it comes back to.
type resumption struct {
	Session string
	Secret  string
	Cursors map[string]rooms.Cursor // room → the newest cursor seen; zero where it can't be read
	Held    map[string]time.Time    // room → when the newest token that the client holds expires
}

// errNotMessage says that a frame is not a JSON object with a type: the peer
// doesn't speak the protocol, and is closed with [CloseBadFrame].
var errNotMessage = errors.New("every frame is one JSON object with a type")

// longestID is the largest integer that every JSON reader takes exactly
// (RFC 8259, section 6).
const longestID = 1<<53 - 1

// decodeRequest reads a stranger's frame. It takes no duplicate of a field that
// it knows, and matches names exactly: encoding/json matches them without case,
// so that two readers of one frame could see two messages. The error is
// errNotMessage, or a *requestError with the request's id where it has one.
func decodeRequest(text []byte) (request, error) {
	var r request
	if !utf8.Valid(text) || !json.Valid(text) {
		return r, errNotMessage
	}
	var space [8]field
	fields, err := objectFields(space[:0], text, "type", "id", "room", "to", "member", "data", "credential", "resume")
	if errors.Is(err, errNotObject) {
		return r, errNotMessage
	}
	if !readString(fields.get("type"), &r.Type) || r.Type == "" {
		return r, errNotMessage
	}
	if raw := fields.get("id"); raw != nil {
		id, parseErr := strconv.ParseInt(string(raw), 10, 64)
		if parseErr != nil || id < 1 || id > longestID {
			return r, badRequest("id is a positive integer")
		}
		r.ID = id
	}
	if err != nil {
		return r, badRequest(err.Error())
	}
	err = cmp.Or(fields.readString("room", &r.Room), fields.readString("to", &r.To),
		fields.readString("member", &r.Member), fields.readString("credential", &r.Credential))
	if err != nil {
		return r, err
	}
	r.Data = fields.get("data")
	if raw := fields.get("resume"); !isNull(raw) {
		if r.Resume, err = decodeResumption(raw); err != nil {
			return r, err
		}
	}
	return r, nil
}

func decodeResumption(raw []byte) (*resumption, error) {
	fields, err := objectFields(nil, raw, "session", "secret", "rooms", "tokens")
	if err != nil {
		return nil, badRequest("resume is an object: " + err.Error())
	}
	r := &resumption{Cursors: map[string]rooms.Cursor{}, Held: map[string]time.Time{}}
	if !readString(fields.get("session"), &r.Session) || !readString(fields.get("secret"), &r.Secret) {
		return nil, badRequest("resume has the session and the secret of the welcome before, both strings")
	}
	if raw := fields.get("rooms"); !isNull(raw) {
		var cursors map[string]*string
		if json.Unmarshal(raw, &cursors) != nil {
			return nil, badRequest("resume.rooms maps each room to its newest cursor, a string")
		}
		for room, text := range cursors {
			// A cursor that can't be read is as good as none: the client gets
			// the whole state.
			r.Cursors[room] = rooms.Cursor{}
			if text == nil {
				continue
			}
			if c, err := rooms.ParseCursor(*text); err == nil {
				r.Cursors[room] = c
			}
		}
	}
	if raw := fields.get("tokens"); !isNull(raw) {
		var held map[string]float64
		if json.Unmarshal(raw, &held) != nil {
			return nil, badRequest("resume.tokens maps each room to its token's expires_at, in milliseconds")
		}
		for room, ms := range held {
			if ms > 0 && ms <= longestID {
				r.Held[room] = time.UnixMilli(int64(ms))
			}
		}
	}
	return r, nil
}

// errNotObject says that a JSON value is none.
var errNotObject = errors.New("not a JSON object")

// fields are some of a JSON object's.
type fields []field

type field struct {
	name  string
	value json.RawMessage
}

// get is a field's raw value; nil: it is absent.
func (f fields) get(name string) json.RawMessage {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return nil
}

// readString reads a field that may be absent, or null. The error is a *requestError.
func (f fields) readString(name string, to *string) error {
	if raw := f.get(name); !isNull(raw) && !readString(raw, to) {
		return badRequest(name + " is a string")
	}
	return nil
}

// objectFields appends to dst the named fields of a JSON object, which must be valid JSON already.
// Other fields are passed over; one of the names twice is an error, beside the values that came
// first.
func objectFields(dst fields, object []byte, names ...string) (fields, error) {
	var twice error
	rest := bytes.TrimLeft(object, jsonSpace)
	if len(rest) == 0 || rest[0] != '{' {
		return nil, errNotObject
	}
	for rest = bytes.TrimLeft(rest[1:], jsonSpace); rest[0] != '}'; {
		n := valueLength(rest)
		name, ok := knownName(rest[:n], names)
		if !ok {
			return nil, errNotObject
		}
		rest = bytes.TrimLeft(rest[n:], jsonSpace)
		rest = bytes.TrimLeft(rest[1:], jsonSpace) // the colon
		n = valueLength(rest)
		switch {
		case name == "":
		case dst.get(name) != nil:
			twice = errors.New(name + " is given twice")
		default:
			dst = append(dst, field{name, json.RawMessage(rest[:n:n])})
		}
		rest = bytes.TrimLeft(rest[n:], jsonSpace)
		if rest[0] == ',' {
			rest = bytes.TrimLeft(rest[1:], jsonSpace)
		}
	}
	return dst, twice
}

// knownName is which of names a JSON string is; "": none of them. ok is false where it can't be read.
func knownName(raw []byte, names []string) (name string, ok bool) {
	for _, known := range names {
		if len(raw) == len(known)+2 && string(raw[1:len(raw)-1]) == known {
			return known, true
		}
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return "", true
	}
	if !readString(raw, &name) {
		return "", false
	}
	if i := slices.Index(names, name); i >= 0 {
		return names[i], true
	}
	return "", true
}

const jsonSpace = " \t\r\n" // RFC 8259, section 2

// valueLength is the length of the JSON value that valid starts with.
func valueLength(valid []byte) int {
	depth := 0
	for i := 0; i < len(valid); i++ {
		switch valid[i] {
		case '"':
			for i++; valid[i] != '"'; i++ {
				if valid[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of a number or a word in an object or an array
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(valid)
}

// readString reads a JSON string, and says whether raw is one.
func readString(raw []byte, to *string) bool {
	if len(raw) < 2 || raw[0] != '"' {
		return false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		*to = string(raw[1 : len(raw)-1])
		return true
	}
	return json.Unmarshal(raw, to) == nil
}

func isNull(raw []byte) bool { return raw == nil || string(raw) == "null" }

// longestRoom is the longest name of a room, in bytes.
const longestRoom = 256

// checkRoom says what is wrong with the name of a room.
func checkRoom(room string) error {
	switch {
	case room == "":
		return badRequest("room is missing")
	case len(room) > longestRoom:
		return badRequest("room is longer than " + strconv.Itoa(longestRoom) + " bytes")
	case !utf8.ValidString(room):
		return badRequest("room is not UTF-8")
	}
	for _, r := range room {
		if unicode.IsControl(r) {
			return badRequest("room contains a control character")
		}
	}
	return nil
}
