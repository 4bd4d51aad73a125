package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
)

func TestClientIsWhomTheTrustedProxiesHeard(t *testing.T) {
	trusted, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8:ff::/48", "::ffff:172.16.0.0/108"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		peer      string
		forwarded []string // a line each
		want      string
	}{
		"no header":                       {"203.0.113.5:1234", nil, "203.0.113.5"},
		"a stranger's header":             {"203.0.113.5:1234", []string{"198.51.100.1"}, "203.0.113.5"},
		"a stranger who names a proxy":    {"203.0.113.5:1234", []string{"198.51.100.1, 10.0.0.1"}, "203.0.113.5"},
		"a proxy without a header":        {"10.0.0.1:1234", nil, "10.0.0.1"},
		"a proxy with an empty one":       {"10.0.0.1:1234", []string{""}, "10.0.0.1"},
		"one proxy":                       {"10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy by its address":          {"192.0.2.7:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy's neighbour":             {"192.0.2.8:1234", []string{"198.51.100.1"}, "192.0.2.8"},
		"a chain":                         {"10.0.0.1:1234", []string{"198.51.100.1, 192.0.2.7,10.9.9.9"}, "198.51.100.1"},
		"a client that makes up others":   {"10.0.0.1:1234", []string{"1.1.1.1, 10.0.0.3, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"many lines":                      {"10.0.0.1:1234", []string{"1.1.1.1", "198.51.100.1", "10.0.0.3, 10.0.0.2"}, "198.51.100.1"},
		"empty elements":                  {"10.0.0.1:1234", []string{"198.51.100.1,, ,10.0.0.2,", ""}, "198.51.100.1"},
		"proxies only":                    {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a word":                          {"10.0.0.1:1234", []string{"unknown"}, "10.0.0.1"},
		"a word behind a proxy":           {"10.0.0.1:1234", []string{"198.51.100.1, _secret, 10.0.0.2"}, "10.0.0.1"},
		"a word before the client":        {"10.0.0.1:1234", []string{"';--, 198.51.100.1"}, "198.51.100.1"},
		"not UTF-8":                       {"10.0.0.1:1234", []string{"\xff\xfe"}, "10.0.0.1"},
		"half an address":                 {"10.0.0.1:1234", []string{"198.51.100"}, "10.0.0.1"},
		"brackets around nothing":         {"10.0.0.1:1234", []string{"[]"}, "10.0.0.1"},
		"a bracket":                       {"10.0.0.1:1234", []string{"["}, "10.0.0.1"},
		"an address with a port":          {"10.0.0.1:1234", []string{"198.51.100.1:50000"}, "198.51.100.1"},
		"a port beyond all":               {"10.0.0.1:1234", []string{"198.51.100.1:500000"}, "10.0.0.1"},
		"IPv6":                            {"10.0.0.1:1234", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv6 in another form":            {"10.0.0.1:1234", []string{"2001:DB8:0:0::1"}, "2001:db8::1"},
		"IPv6 in brackets":                {"10.0.0.1:1234", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 with a port":                {"10.0.0.1:1234", []string{"[2001:db8::1]:50000"}, "2001:db8::1"},
		"IPv6 with a zone":                {"10.0.0.1:1234", []string{"fe80::1%eth0"}, "fe80::1"},
		"IPv6 with a zone and a port":     {"10.0.0.1:1234", []string{"[fe80::1%eth0]:50000"}, "fe80::1"},
		"IPv4 mapped to IPv6":             {"10.0.0.1:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"a proxy mapped to IPv6":          {"[::ffff:10.0.0.1]:1234", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},
		"a proxy of a network so written": {"172.16.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy of IPv6":                 {"[2001:db8:ff::1]:1234", []string{"2001:db8::1, 2001:db8:ff:1::2"}, "2001:db8::1"},
		"a stranger of IPv6":              {"[fe80::1%eth0]:1234", []string{"198.51.100.1"}, "fe80::1"},
		"a peer without an address":       {"pipe", []string{"198.51.100.1"}, "pipe"},
		"a long list":                     {"10.0.0.1:1234", []string{strings.Repeat("1.1.1.1,", 100_000) + "198.51.100.1"}, "198.51.100.1"},
	} {
		r := request200("/ws")
		r.RemoteAddr = test.peer
		r.Header["X-Forwarded-For"] = test.forwarded
		if got := trusted.client(r); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	r := request200("/ws")
	r.RemoteAddr = "10.0.0.1:1234"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := proxies(nil).client(r); got != "10.0.0.1" {
		t.Errorf("where no proxy is trusted: %s", got)
	}
}

func TestTrustedProxiesAreAddressesAndNetworks(t *testing.T) {
	for _, text := range []string{"", "proxy.example", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "fe80::1%eth0", "fe80::%eth0/64", "::ffff:0:0/90", "10.0.0.0/8,"} {
		if got, err := parseProxies([]string{"10.0.0.7", text}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--trusted-proxy %q", text)) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestClientsBehindOneProxyCountEachForThemselves(t *testing.T) {
	limited := func(c *Config) { c.TrustedProxies, c.Limits.Unauthenticated = []string{"10.0.0.0/8"}, 1 }
	inBubble(t, limited, func(t *testing.T, p *pod) {
		from := func(proxy, client string) (*peer, error) {
			p.listener.from = proxy
			return p.dial(&websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {client}}})
		}
		var waiting []*peer
		for _, step := range []struct {
			by, client string
			enters     bool
		}{
			{"10.0.0.1:50000", "198.51.100.1", true},
			{"10.0.0.1:50001", "198.51.100.1", false},
			{"10.0.0.2:50001", "198.51.100.1", false}, // by way of another proxy
			{"10.0.0.1:50002", "203.0.113.9, 198.51.100.1", false},
			{"10.0.0.1:50003", "198.51.100.2", true},
			{"203.0.113.5:50000", "198.51.100.3", true},
			{"203.0.113.5:50001", "198.51.100.4", false}, // no proxy of ours, whatever it says
			{"10.0.0.1:50004", "2001:db8::1", true},
			{"10.0.0.1:50005", "2001:db8::ffff:1", false}, // a host has a whole /64
			{"10.0.0.1:50006", "2001:db8:0:1::1", true},
		} {
			c, err := from(step.by, step.client)
			if (err == nil) != step.enters || err != nil && !strings.Contains(err.Error(), "429") {
				t.Errorf("%s by %s: %v", step.client, step.by, err)
			}
			if err == nil {
				go c.read()
				waiting = append(waiting, c)
			}
		}
		// Tokens without a socket count with them.
		for client, want := range map[string]int{"198.51.100.1": http.StatusTooManyRequests, "198.51.100.7": http.StatusOK} {
			r := httptest.NewRequest(http.MethodPost, "http://gateway.test/v1/token", strings.NewReader(`{"room":"r"}`))
			r.RemoteAddr = "10.0.0.1:50007"
			r.Header.Set("X-Forwarded-For", client)
			if code, text, _ := get(p.server.Public(), r); code != want {
				t.Errorf("a token for %s: %d %s", client, code, text)
			}
		}
		for _, c := range waiting {
			c.wantClose(CloseUnauthenticated)
		}
		again, err := from("10.0.0.1:50008", "198.51.100.1")
		if err != nil {
			t.Fatal(err)
		}
		go again.read()
		again.bye()
	})
}

func TestAuditNamesTheClientBehindTheProxy(t *testing.T) {
	var log logbook
	trusting := func(c *Config) { log.keep(c); c.TrustedProxies = []string{"10.0.0.0/8"} }
	inBubble(t, trusting, func(t *testing.T, p *pod) {
		p.listener.from = "10.0.0.1:50000"
		c, err := p.dial(&websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {"203.0.113.9", "198.51.100.1:7, 10.0.0.2"}}})
		if err != nil {
			t.Fatal(err)
		}
		go c.read()
		c.ask("auth", nil)
		c.ask("join", message{"room": "r"})
		synctest.Wait() // the line is written after the answer
		for _, peer := range []string{"10.0.0.3:50000", "203.0.113.5:50000"} {
			r := request200("/v1/rooms")
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", "198.51.100.2")
			get(p.operator(), r)
		}
		c.bye()
		var from []string
		for _, line := range log.audits(t) {
			from = append(from, line.str("action")+" "+line.str("remote"))
		}
		if got := strings.Join(from, ", "); got != "join 198.51.100.1, list_rooms 198.51.100.2, list_rooms 203.0.113.5" {
			t.Errorf("the audit says %s", got)
		}
	})
}
