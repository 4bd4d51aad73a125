// Package soak has the whole product run while everything under it breaks, and looks at it
// from outside: three pods in processes of their own, one redis-server, a balancer, and clients
// that come back as docs/protocol.md tells them to. It knows nothing of the gateway's code.
//
//	make soak                              30 minutes, 2,000 clients
//	make soak DURATION=5m CLIENTS=300
//	make soak SEED=7                       the same faults again, at the same times
//
// A run is a number of rounds. In each, faults that the seed decides come in three lanes beside
// one another: what befalls pods and the clients' network, what befalls Redis and the way to
// it, and what operators do. Then all is mended, and within a bounded time everything has to be
// as it should be. What is checked all along, and what then, is listed at [TestSoak].
//
// The clocks of the pods aren't stepped: the binary takes the system's, and has no flag for
// another one.
package soak
