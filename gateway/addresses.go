package gateway

import (
	"net"
	"net/netip"
	"sync"
)

// addresses count what clients that haven't said who they are hold open, so that
// one of them can't take everything.
type addresses struct {
	most int // an address

	mu   sync.Mutex
	held map[string]int // by network
}

func newAddresses(most int) *addresses { return &addresses{most: most, held: map[string]int{}} }

// acquire says whether the address may hold one more.
func (a *addresses) acquire(address string) bool {
	from := networkOf(address)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[from] >= a.most {
		return false
	}
	a.held[from]++
	return true
}

// release gives one back.
func (a *addresses) release(address string) {
	from := networkOf(address)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[from]--; a.held[from] <= 0 {
		delete(a.held, from)
	}
}

// networkOf is what an address counts as: itself, or in IPv6 its /64. A single
// host has all of that to choose from (RFC 4862, section 5.5.3).
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Is4() {
		return address
	}
	network, _ := a.Prefix(64) // an IPv6 address is longer
	return network.String()
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
