package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func TestConsoleIsServedWithAndWithoutAKey(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		var pages []string
		for key, want := range map[string]int{writeKey: 200, readKey: 200, "": 401, "no such key at all": 401} {
			r := request200("/console")
			withKey(key)(r)
			code, text, header := get(p.operator(), r)
			if code != want || header.Get("Content-Type") != "text/html; charset=utf-8" || header.Get("Content-Security-Policy") != consolePolicy {
				t.Errorf("with the key %q: %d %v", key, code, header)
			}
			if challenged := strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer "); challenged != (want == 401) {
				t.Errorf("with the key %q: %v", key, header)
			}
			pages = append(pages, text)
		}
		for _, page := range pages {
			if page != pages[0] || !strings.Contains(page, "/console/console.js") {
				t.Errorf("the pages differ, or are none: %.200q", page)
			}
		}
		for path, kind := range map[string]string{
			"/console/console.js": "text/javascript; charset=utf-8", "/console/console.css": "text/css; charset=utf-8",
			"/console/favicon.svg": "image/svg+xml",
		} {
			code, _, header := get(p.operator(), request200(path))
			if code != 200 || header.Get("Content-Type") != kind || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v", path, code, header)
			}
		}
		if code, _, _ := get(p.operator(), request200("/console/nothing.js")); code != 404 {
			t.Errorf("what isn't there: %d", code)
		}
	})
}

// A link in a runbook or a chat leads there, which another site's page may not ask.
func TestConsoleMayBeLinkedTo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for path, want := range map[string]int{"/console": 200, "/console/console.js": 200, "/v1/rooms": 403, "/consoles": 403} {
			r := request200(path)
			withKey(readKey)(r)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if code, text, _ := get(p.operator(), r); code != want {
				t.Errorf("%s from a link: %d %.100s", path, code, text)
			}
		}
	})
}

func TestThereMayBeNoConsole(t *testing.T) {
	inBubble(t, func(c *Config) { c.Console = nil }, func(t *testing.T, p *pod) {
		if code, _, _ := get(p.server.Operator(http.NotFoundHandler()), request200("/console")); code != http.StatusNotFound {
			t.Errorf("%d", code)
		}
	})
}
