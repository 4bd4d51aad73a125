package janus

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Janus's own error codes, as in its documentation of the API.
const (
	codeUnauthorized   = 403
	codeUnknownRequest = 453
	codeInvalidJSON    = 454
	codeInvalidObject  = 455
	codeMissingElement = 456
	codeNoSession      = 458
	codeNoHandle       = 459
	codeNoPlugin       = 460
	codeWrongType      = 467
	codeUnknown        = 490
)

// A refusal is why a message isn't forwarded, as Janus would say it.
type refusal struct {
	code   int
	reason string
}

func invalidJSON(err error) *refusal {
	// The decoder's text has a piece of what it read in it.
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return &refusal{codeInvalidJSON, "JSON error: it can't be read at byte " + strconv.FormatInt(syntax.ByteOffset, 10)}
	}
	return &refusal{codeInvalidJSON, "JSON error: " + err.Error()}
}

func wrongType(name string) *refusal {
	return &refusal{codeWrongType, "Invalid element type (" + name + ")"}
}

// answer is the refusal as Janus sends it.
func (e *refusal) answer(r request) []byte {
	answer := object{{"janus", quote("error")}}
	if r.session != 0 {
		answer = append(answer, field{"session_id", number(r.session)})
	}
	if r.transaction != "" && len(r.transaction) <= longestRef {
		answer = append(answer, field{"transaction", quote(r.transaction)})
	}
	what := object{{"code", number(uint64(e.code))}, {"reason", quote(e.reason)}}
	return append(answer, field{"error", what.encode()}).encode()
}

// What the plugin says where it refuses.
const (
	noAnonymous  = "Rejecting anonymous join!"
	badToken     = "Rejecting join with invalid token!"
	noPermission = "Rejecting join without permission!"
	roomFull     = "Room is full."
	serverFull   = "Server is full."
	noSuchPerson = "Can't subscribe to a nonexistent publisher."
)

// pluginRefusal is what Janus sends when the plugin refuses a message: that it
// got it, and then the plugin's word.
func pluginRefusal(r request, plugin, why string) [][]byte {
	data := object{
		{"success", jsontext.Value("false")},
		{"error", object{{"msg", quote(why)}}.encode()},
	}
	return pluginAnswer(r, plugin, data)
}

// pluginAnswer is what Janus sends when the plugin answers a message.
func pluginAnswer(r request, plugin string, data object) [][]byte {
	return [][]byte{ack(r), pluginEvent(r, plugin, data)}
}

func ack(r request) []byte {
	return object{{"janus", quote("ack")}, {"session_id", number(r.session)}, {"transaction", quote(r.transaction)}}.encode()
}

func pluginEvent(r request, plugin string, data object) []byte {
	return object{
		{"janus", quote("event")}, {"session_id", number(r.session)}, {"transaction", quote(r.transaction)},
		{"sender", number(r.handle)},
		{"plugindata", object{{"plugin", quote(plugin)}, {"data", data.encode()}}.encode()},
	}.encode()
}

func number(n uint64) jsontext.Value { return jsontext.Value(strconv.FormatUint(n, 10)) }
