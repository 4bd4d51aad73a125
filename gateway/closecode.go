package gateway

// A CloseCode is a WebSocket close code that the gateway sends. What a client
// does about each is in docs/protocol.md.
type CloseCode uint16

const (
	CloseNormal          CloseCode = 1000 // the client said goodbye
	CloseProtocol        CloseCode = 1002 // not WebSocket, by RFC 6455
	CloseTooLarge        CloseCode = 1009 // a message over the limit
	CloseRestart         CloseCode = 1012 // the pod is draining
	CloseTryLater        CloseCode = 1013 // too busy, too slow a reader, or events were missed: resume
	CloseBadFrame        CloseCode = 4400 // not a JSON object with a type
	CloseUnauthenticated CloseCode = 4401 // no auth in time, or a credential that doesn't hold
	CloseForbidden       CloseCode = 4403 // not allowed, kicked from the last room, or revoked
	CloseTakenOver       CloseCode = 4409 // the session was resumed on another socket
	CloseRateLimited     CloseCode = 4429 // over the rate limit

	// closeAbnormal is never sent: it stands for a socket that ended without
	// a close frame (RFC 6455, section 7.1.5).
	closeAbnormal CloseCode = 1006
)
