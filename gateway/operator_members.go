package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/roompass/roompass/rooms"
)

// kickMember answers DELETE /v1/rooms/{room}/members/{member}.
func (s *Server) kickMember(ctx context.Context, r *http.Request, _ *act) (any, error) {
	room := r.PathValue("room")
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	return nil, s.rooms.Remove(ctx, room, r.PathValue("member"), rooms.ReasonKicked)
}

// signalFrom answers POST /v1/rooms/{room}/signal. A body may be as large as a
// client's message.
func (s *Server) signalFrom(outside rooms.Announcer) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, r *http.Request, a *act) (any, error) {
		room := r.PathValue("room")
		if err := checkRoom(room); err != nil {
			return nil, err
		}
		most := s.limits.MessageBytes
		text, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
		switch {
		case err != nil:
			return nil, badRequest("the body ended too soon")
		case len(text) > most:
			return nil, &requestError{codeTooLarge, "the body is longer than " + strconv.Itoa(most) + " bytes"}
		}
		to, data, err := decodeSignal(text)
		if err != nil {
			return nil, err
		}
		a.Member = to
		return nil, outside.Announce(ctx, room, to, data)
	}
}

// decodeSignal reads the body of an operator's signal. It is as strict as
// [decodeRequest], and takes no field that it doesn't know and no empty to: a
// slip there would send to everybody what was meant for one. The error is a
// *requestError.
func decodeSignal(text []byte) (to string, data json.RawMessage, _ error) {
	const shape = "the body is one JSON object with data, and to where it is for one member"
	if !utf8.Valid(text) || !json.Valid(text) {
		return "", nil, badRequest(shape)
	}
	fields, err := objectFields(text, "to", "data")
	if err != nil {
		return "", nil, badRequest(shape + ": " + err.Error())
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return "", nil, badRequest(shape)
	}
	for name := range all {
		if _, known := fields[name]; !known {
			return "", nil, badRequest(fmt.Sprintf("%s: %.40q is not a field of it", shape, name))
		}
	}
	if raw, given := fields["to"]; given && (!readString(raw, &to) || to == "") {
		return "", nil, badRequest("to is a member's id: leave it out where the signal is for everybody")
	}
	if fields["data"] == nil {
		return "", nil, badRequest("data is missing")
	}
	return to, fields["data"], nil
}
