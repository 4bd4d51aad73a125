package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestOperatorNeedsAKeyThatReachesSoFar(t *testing.T) {
	const second = "a-second-key-for-rotation"
	inBubble(t, func(c *Config) { c.AdminKeys = append(c.AdminKeys, parseKeys(t, "write:"+second)...) }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		const read, write = "GET /v1/rooms", "POST /v1/rooms/r/signal"
		const realm = `Bearer realm="roompass operator"`
		for _, is := range []struct {
			name, what string
			headers    []string
			status     int
			challenge  string
		}{
			{"no key", read, nil, 401, realm},
			{"no key", write, nil, 401, realm},
			{"an empty header", read, []string{""}, 401, realm},
			{"no scheme", read, []string{writeKey}, 401, realm + `, error="invalid_token"`},
			{"another scheme", read, []string{"Basic " + writeKey}, 401, realm + `, error="invalid_token"`},
			{"no token", read, []string{"Bearer "}, 401, realm + `, error="invalid_token"`},
			{"a wrong key", read, []string{"Bearer " + writeKey + "x"}, 401, realm + `, error="invalid_token"`},
			{"a part of the key", read, []string{"Bearer " + writeKey[:len(writeKey)-1]}, 401, realm + `, error="invalid_token"`},
			{"the key with its scope", read, []string{"Bearer write:" + writeKey}, 401, realm + `, error="invalid_token"`},
			{"two keys", read, []string{"Bearer " + writeKey, "Bearer " + readKey}, 401, realm + `, error="invalid_token"`},
			{"the reader reads", read, []string{"Bearer " + readKey}, 200, ""},
			{"the reader writes", write, []string{"Bearer " + readKey}, 403, realm + `, error="insufficient_scope", scope="write"`},
			{"the writer reads", read, []string{"Bearer " + writeKey}, 200, ""},
			{"the writer writes", write, []string{"Bearer " + writeKey}, 204, ""},
			{"the second writer writes", write, []string{"Bearer " + second}, 204, ""},
			{"the scheme in small letters", read, []string{"bearer  " + writeKey}, 200, ""},
		} {
			method, path, _ := strings.Cut(is.what, " ")
			code, answer, header := p.operate(method, path, `{"data":1}`, func(r *http.Request) {
				r.Header["Authorization"] = is.headers
			})
			if code != is.status || header.Get("WWW-Authenticate") != is.challenge {
				t.Errorf("%s: %s: %d %v, %q", is.what, is.name, code, answer, header.Get("WWW-Authenticate"))
			}
		}
		// A key in the URL would get into logs and histories.
		if code, _, _ := p.operate("GET", "/v1/rooms?access_token="+writeKey, "", withKey("")); code != 401 {
			t.Errorf("a key in the query: %d", code)
		}
		for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.yaml"} {
			if code, _, header := p.operate("GET", path, "", withKey("")); code != 200 || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s without a key: %d", path, code)
			}
		}
		ann.bye()
	})
}

func TestOperatorWithoutAnyKeyIsToldTheFlag(t *testing.T) {
	inBubble(t, func(c *Config) { c.AdminKeys = nil }, func(t *testing.T, p *pod) {
		for _, key := range []string{"", writeKey} {
			for _, path := range []string{"/v1/rooms", "/v1/rooms/r", "/v1/nothing"} {
				code, answer, _ := p.operate("GET", path, "", withKey(key))
				if code != 403 || answer.str("code") != "no_admin_key" || !strings.Contains(answer.str("detail"), "--admin-key") {
					t.Errorf("%s: %d %v", path, code, answer)
				}
			}
		}
		if code, _, _ := p.operate("GET", "/readyz", "", withKey("")); code != 200 {
			t.Errorf("/readyz: %d", code)
		}
	})
}

func TestAdminKeysAreRead(t *testing.T) {
	for text, want := range map[string]scope{
		"0123456789abcdef":                 scopeWrite,
		"write:0123456789abcdef":           scopeWrite,
		"read:0123456789abcdef":            scopeRead,
		"aA0-._~+/aA0-._~+/==":             scopeWrite,
		"read:" + strings.Repeat("x", 512): scopeRead,
	} {
		if got, err := ParseAdminKey(text); err != nil || got.scope != want {
			t.Errorf("%s: %v, %v", text, got.scope, err)
		}
	}
	for text, says := range map[string]string{
		"":                        "shorter than 16",
		"0123456789abcde":         "shorter than 16",
		"read:0123456789abcde":    "shorter than 16",
		"write:0123456789":        "shorter than 16",
		"admin:0123456789abcdef":  "read: or write:",
		"read:write:0123456789ab": "read: or write:",
		"0123456789 abcdef":       "letters, digits",
		"0123456789abcdef\n":      "letters, digits",
		"0123456789abcdéf":        "letters, digits",
		"0123456=789abcdef":       "letters, digits",
	} {
		_, err := ParseAdminKey(text)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--admin-key") {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if len(text) > 6 && strings.Contains(err.Error(), text[len(text)-6:]) {
			t.Errorf("%q is in its error: %v", text, err)
		}
	}
	if err := checkAdminKeys(parseKeys(t, readKey, writeKey, "read:"+readKey)); err == nil || strings.Contains(err.Error(), readKey) {
		t.Errorf("one key twice: %v", err)
	}
}

func TestAdminKeyShowsNothing(t *testing.T) {
	k := parseKeys(t, writeKey)
	text, err := json.Marshal(k)
	if shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, text); err != nil || strings.Contains(shown, writeKey) {
		t.Errorf("%s, %v", shown, err)
	}
}

// A browser may reach the listener where the author of a page in it doesn't.
func TestOperatorRefusesOtherSitesPages(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}
	inside := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9090}
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for _, is := range []struct {
			name, host, origin, site string
			local                    net.Addr
			allowed                  bool
		}{
			{"curl", "127.0.0.1:9090", "", "", loopback, true},
			{"curl by name", "localhost:9090", "", "", loopback, true},
			{"curl by IPv6", "[::1]:9090", "", "", loopback, true},
			{"HTTP/1.0 without a host", "", "", "", loopback, true},
			{"typed into the browser", "127.0.0.1:9090", "", "none", loopback, true},
			{"the operator's own page", "127.0.0.1:9090", "http://127.0.0.1:9090", "same-origin", loopback, true},
			{"the same behind TLS", "ops.example:443", "https://ops.example:443", "same-origin", inside, true},
			{"by a name inside", "roompass.internal:9090", "", "", inside, true},
			{"another site", "127.0.0.1:9090", "https://evil.example", "cross-site", loopback, false},
			{"another site's link or image", "127.0.0.1:9090", "", "cross-site", loopback, false},
			{"another site, an old browser", "127.0.0.1:9090", "https://evil.example", "", loopback, false},
			{"a sandboxed frame", "127.0.0.1:9090", "null", "cross-site", loopback, false},
			{"the demo page", "127.0.0.1:9090", "http://127.0.0.1:8080", "same-site", loopback, false},
			{"another service of the domain", "ops.example", "https://blog.example", "same-site", inside, false},
			{"a name made to point here", "evil.example:9090", "", "", loopback, false},
			{"that name with its own page", "evil.example:9090", "http://evil.example:9090", "same-origin", loopback, false},
			{"a name that looks like an address", "127.0.0.1.evil.example:9090", "", "", loopback, false},
		} {
			edit := func(r *http.Request) {
				r.Host = is.host
				for name, value := range map[string]string{"Origin": is.origin, "Sec-Fetch-Site": is.site} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
			}
			for _, path := range []string{"/v1/rooms", "/metrics", "/openapi.yaml", "/livez"} {
				code, answer, header := p.operate("GET", path, "", edit, arrivesAt(is.local))
				refused := code == 403 && answer.str("code") == "cross_site"
				if ok := is.allowed || path == "/livez"; ok == refused || ok && code != 200 {
					t.Errorf("%s: %s: %d %v", is.name, path, code, answer)
				}
				for name := range header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s: %s: %s", is.name, path, name)
					}
				}
			}
		}
		// Also a preflight.
		code, _, _ := p.operate("OPTIONS", "/v1/rooms", "", withKey(""), func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
			r.Header.Set("Access-Control-Request-Method", "GET")
			r.Header.Set("Access-Control-Request-Headers", "authorization")
		})
		if code != 403 {
			t.Errorf("a preflight: %d", code)
		}
	})
}
