package gateway

import (
	"context"
	"errors"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
)

// The codes of error replies. docs/protocol.md says what each means to a client.
const (
	codeBadRequest           = "bad_request"
	codeUnknownType          = "unknown_type"
	codeNotAuthenticated     = "not_authenticated"
	codeAlreadyAuthenticated = "already_authenticated"
	codeAlreadyJoined        = "already_joined"
	codeNotJoined            = "not_joined"
	codeNoSuchMember         = "no_such_member"
	codeNotAllowed           = "not_allowed"
	codeTooManyRooms         = "too_many_rooms"
	codeRoomFull             = "room_full"
	codeTooLarge             = "too_large"
	codeUnavailable          = "unavailable"
)

// A requestError is the answer to a request that could not be done: a code for
// the program and a sentence for the person who reads its log.
type requestError struct {
	Code    string
	Message string
}

func (e *requestError) Error() string { return e.Code + ": " + e.Message }

func badRequest(message string) error { return &requestError{codeBadRequest, message} }

// asRequestError maps whatever went wrong to what the client is told. Errors of
// unknown kinds say nothing of the inside.
func asRequestError(err error) *requestError {
	var known *requestError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, access.ErrDenied):
		message := "you may not do that here"
		if reason := access.DenialReason(err); reason != "" {
			message += ": " + reason
		}
		return &requestError{codeNotAllowed, message}
	case errors.Is(err, access.ErrNoAnswer), errors.Is(err, access.ErrCircuitOpen):
		return &requestError{codeUnavailable, "the app can't be asked just now whether you may: try again"}
	case errors.Is(err, rooms.ErrRoomFull):
		return &requestError{codeRoomFull, "the room is full"}
	case errors.Is(err, rooms.ErrAlreadyMember):
		return &requestError{codeAlreadyJoined, "this session is in the room already"}
	case errors.Is(err, rooms.ErrNoRecipient):
		return &requestError{codeNoSuchMember, "there is no such member in the room"}
	case errors.Is(err, rooms.ErrNoMember), errors.Is(err, rooms.ErrTakenOver), errors.Is(err, rooms.ErrRemoved), errors.Is(err, rooms.ErrNoRoom):
		return &requestError{codeNotJoined, "this connection isn't in the room any more"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, rooms.ErrUnavailable):
		return &requestError{codeUnavailable, "that can't be done just now: try again"}
	default:
		return &requestError{codeUnavailable, "that failed inside the gateway: try again"}
	}
}
