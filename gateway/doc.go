// Package gateway is roompass's WebSocket endpoint: it lets people in, relays
// what they say to the others in their rooms, and pushes each of them a fresh
// token before the last one runs out.
//
// The promise that everything here serves: as long as a client is connected and
// allowed, the newest token that it holds is not expired. So tokens go ahead of
// other traffic, each is followed by a ping whose pong proves that it arrived,
// and a peer that doesn't prove it is closed early enough to come back in time.
//
// It knows of [github.com/roompass/roompass/tokens], which says what is due and
// signs it, and of [github.com/roompass/roompass/rooms], which orders what
// happens in a room. Neither knows that there are sockets.
//
// The wire contract is in docs/protocol.md.
package gateway
