package gateway

import (
	"net"
	"net/http"
	"sync"
)

// addresses count what peers that haven't said who they are hold open, so that
// one of them can't take everything.
type addresses struct {
	most int // an address

	mu   sync.Mutex
	held map[string]int
}

func newAddresses(most int) *addresses { return &addresses{most: most, held: map[string]int{}} }

// acquire says whether the address may hold one more.
func (a *addresses) acquire(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[address] >= a.most {
		return false
	}
	a.held[address]++
	return true
}

// release gives one back.
func (a *addresses) release(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[address]--; a.held[address] <= 0 {
		delete(a.held, address)
	}
}

// addressOf is the peer's address without its port.
func addressOf(r *http.Request) string { return hostOf(r.RemoteAddr) }

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
