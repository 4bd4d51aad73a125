// Package soak has the whole product run while everything under it breaks, and looks at it
// from outside: three pods in processes of their own, Redis, an app that says who may enter, a
// balancer, and clients that come back as docs/protocol.md tells them to. It knows nothing of the
// gateway's code.
//
//	make soak                              30 minutes, 2,000 clients
//	make soak DURATION=5m CLIENTS=300
//	make soak SEED=7                       the same faults again, at the same times
//	make soak TTL=5m                       with tokens that live so long
//	make test-soak                         one round in a minute, as make test has it
//
// A run is a number of rounds. In each, faults that the seed decides come in five lanes beside
// one another: what befalls pods and the clients' network, what befalls Redis and the way to
// it, what operators and the app decide, what befalls the app, and pods' clocks. Then all is mended,
// and within a bounded time everything has to be as it should be. What is checked all along, and
// what then, is listed at [TestSoak].
//
// A pod's clock is set wrong by up to a tenth of a token's life, forth or back, and right again: 30 s
// of 5 minutes. The clients' is right, as a media server's should be. A clock that is behind takes as
// much off the margin; by more than that nobody can keep the promise. From one that is ahead tokens
// hold by exp alone, and not yet by nbf, which janus-plugin-sfu doesn't look at.
package soak
