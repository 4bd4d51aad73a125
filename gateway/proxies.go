package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the networks of the proxies in front of us. Only what they say of
// whom they heard counts: a stranger writes into X-Forwarded-For what they like
// (CWE-348).
type proxies []netip.Prefix

// parseProxies reads networks and single addresses, in the words of the flag.
func parseProxies(texts []string) (proxies, error) {
	var all proxies
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, e := netip.ParseAddr(text); e == nil && a.Zone() == "" {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil || p.Addr().Is4In6() && p.Bits() < 96 {
			return nil, fmt.Errorf("--trusted-proxy %q is neither an address nor a network: write 10.0.0.7, or 10.0.0.0/8", text)
		}
		if p.Addr().Is4In6() { // as clients' addresses are written too
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func (p proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// client is the address that a request is from, without a port: the peer's, or
// what the proxies say if that is one of them. Each appends whom it heard, so it
// is the last one in X-Forwarded-For that is no proxy of ours; what is before it
// may be made up. Where all are proxies the first one asked for itself. Where one
// of ours wrote no address, nothing is known but the peer.
func (p proxies) client(r *http.Request) string {
	peer, err := parseAddress(r.RemoteAddr)
	if err != nil {
		return hostOf(r.RemoteAddr) // a pipe's
	}
	client := peer
	// More lines of one name are one list (RFC 9110, section 5.3).
	for hops := strings.Join(r.Header.Values("X-Forwarded-For"), ","); hops != "" && p.trust(client); {
		last := strings.LastIndexByte(hops, ',')
		hop := strings.TrimSpace(hops[last+1:])
		hops = hops[:max(last, 0)]
		if hop == "" {
			continue // section 5.6.1.2: empty elements don't count
		}
		if client, err = parseAddress(hop); err != nil {
			return peer.String()
		}
	}
	return client.String()
}

// parseAddress reads an address with or without a port or brackets, in the one
// form that each has: an IPv4 address isn't mapped to IPv6, and there is no zone,
// which means something on one machine only.
func parseAddress(text string) (netip.Addr, error) {
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr().WithZone("").Unmap(), nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(text)
	return a.WithZone("").Unmap(), err
}
