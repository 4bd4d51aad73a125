// Package tokens makes the short-lived JWTs that let a person into one room of a
// media server, and sees to it that each of them is renewed in time.
//
// A [KeyRing] holds the keys, an [Issuer] signs a [Grant] into a [Token], and a
// [Schedule] says which of thousands of memberships is due, signs the earliest
// expiry first, and hands the token out. The claims are those of the
// Phoenix/Guardian backend that janus-plugin-sfu was made for.
//
// The package knows nothing of sockets, rooms or metrics.
package tokens
