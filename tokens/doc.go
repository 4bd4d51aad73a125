// Package tokens makes the short-lived JWTs that an SFU lets participants in by,
// and sees to it that whoever is connected always holds one that is good.
//
// It has two fronts. [KeyRing] and [Issuer] turn a [Grant] into a signed
// [Token], claim for claim as the SFU's first backend did. [Schedule] keeps
// memberships, each a grant and a function to push tokens to; it signs each
// membership's next token before the last one runs out, earliest expiry first,
// and counts a lapse when that did not work out.
//
// The package promises:
//
//   - The algorithm is pinned to the key. What a JWT's header says is compared
//     with it, and never chooses it (RFC 8725, section 3.1).
//   - A grant is signed whole, or not at all. A refreshed token differs from its
//     predecessor in iat, nbf, exp and jti only.
//   - No token, secret or private key gets into an error, a log record, or the
//     text of a value of this package.
//   - An idle membership costs some words of memory: no goroutine, no timer.
//
// It knows nothing of rooms' contents, sockets or metrics: those are for the
// caller, by way of the push function and [Observer].
package tokens
