package gateway

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/roompass/roompass/rooms"
)

// The codes of problems that only HTTP has. Where the socket has the same error
// the code is the same word; docs/operating.md says what each means.
const (
	codeCrossSite        = "cross_site"
	codeLastPod          = "last_pod"
	codeLastServer       = "last_server"
	codeMethodNotAllowed = "method_not_allowed"
	codeNoAdminKey       = "no_admin_key"
	codeNoSuchPod        = "no_such_pod"
	codeNoSuchRevocation = "no_such_revocation"
	codeNoSuchRoom       = "no_such_room"
	codeNoSuchServer     = "no_such_server"
	codeNotDrained       = "not_drained"
	codeNotFound         = "not_found"
)

// A problem is an error as RFC 9457 has it. Its type is left out, which stands
// for about:blank; code is an extension (section 3.2) for programs to go by.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code,omitempty"`
}

// refuse answers with a problem that has no code.
func refuse(w http.ResponseWriter, status int, detail string) {
	writeProblem(w, problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

// refuseAs answers with the problem that an error is to the operator.
func refuseAs(w http.ResponseWriter, e *requestError) {
	status := statusOf(e.Code)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeProblem(w, problem{http.StatusText(status), status, e.Message, e.Code})
}

func writeProblem(w http.ResponseWriter, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// statusOf is the status of an answer with an error's code.
func statusOf(code string) int {
	switch code {
	case codeBadRequest:
		return http.StatusBadRequest
	case codeNotAuthenticated:
		return http.StatusUnauthorized
	case codeNotAllowed, codeNoAdminKey, codeCrossSite:
		return http.StatusForbidden
	case codeNoSuchRoom, codeNoSuchMember, codeNoSuchRevocation, codeNoSuchPod, codeNoSuchServer, codeNotDrained, codeNotFound:
		return http.StatusNotFound
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeLastPod, codeLastServer:
		return http.StatusConflict
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusServiceUnavailable
	}
}

// asOperatorError maps whatever went wrong to what the operator is told, who
// isn't in the room as a client is.
func asOperatorError(err error) *requestError {
	switch {
	case errors.Is(err, rooms.ErrNoRoom):
		return &requestError{codeNoSuchRoom, "nobody is in this room"}
	case errors.Is(err, rooms.ErrNoMember), errors.Is(err, rooms.ErrNoRecipient):
		return &requestError{codeNoSuchMember, "there is no such member in this room"}
	default:
		return asRequestError(err)
	}
}
