package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func request200(path string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "http://gateway.test"+path, nil)
}

func TestTokenWithoutASocket(t *testing.T) {
	inBubble(t, func(c *Config) { c.Origins = []string{"https://app.example"} }, func(t *testing.T, p *pod) {
		post := func(body, origin string) (int, string, http.Header) {
			r := httptest.NewRequest(http.MethodPost, "http://gateway.test/v1/token", strings.NewReader(body))
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			return get(p.server.Public(), r)
		}
		code, body, header := post(`{"credential":"7","room":"123"}`, "https://app.example")
		var token wireToken
		if err := json.Unmarshal([]byte(body), &token); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
		claims, err := p.keys.Verify(token.Token, time.Now())
		if err != nil || claims.Subject != "7" || !claims.KickUsers || claims.Rooms[0] != "123" {
			t.Errorf("%+v, %v", claims, err)
		}
		if token.ExpiresIn <= 0 || token.ExpiresAt-token.IssuedAt != 300_000 {
			t.Errorf("%+v", token)
		}
		if header.Get("Access-Control-Allow-Origin") != "https://app.example" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", header)
		}
		for body, want := range map[string]int{
			`{"room":"123"}`:                                http.StatusOK, // anonymous
			`{"credential":"7"}`:                            http.StatusBadRequest,
			`{"credential":"7","room":""}`:                  http.StatusBadRequest,
			`{"credential":7,"room":"1"}`:                   http.StatusBadRequest,
			`{"room":"1","room":"2"}`:                       http.StatusBadRequest,
			`[]`:                                            http.StatusBadRequest,
			`{"room":"1"} x`:                                http.StatusBadRequest,
			`{"credential":"a\u0000","room":"1"}`:           http.StatusForbidden,
			`{"room":"` + strings.Repeat("x", 1<<17) + `"}`: http.StatusBadRequest,
		} {
			code, answer, header := post(body, "")
			if code != want {
				t.Errorf("%.60s: %d %s", body, code, answer)
			}
			if code != http.StatusOK && header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%.60s: %v", body, header)
			}
		}
		if code, _, _ := post(`{"room":"123"}`, "https://evil.example"); code != http.StatusForbidden {
			t.Errorf("a foreign origin: %d", code)
		}
	})
}

func TestKeysAndClientAreServed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for path, want := range map[string]struct {
			code int
			kind string
		}{
			"/.well-known/jwks.json": {http.StatusOK, "application/jwk-set+json"},
			"/public.pem":            {http.StatusOK, "application/x-pem-file"},
			"/public.der":            {http.StatusNotFound, "application/problem+json"}, // an Ed25519 key
			"/client.js":             {http.StatusOK, "text/javascript; charset=utf-8"},
			"/":                      {http.StatusNotFound, "text/plain; charset=utf-8"},
			"/metrics":               {http.StatusNotFound, "text/plain; charset=utf-8"},
			"/ws":                    {http.StatusUpgradeRequired, "text/plain; charset=utf-8"},
		} {
			code, body, header := get(p.server.Public(), request200(path))
			if code != want.code || header.Get("Content-Type") != want.kind || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %q %v", path, code, body, header)
			}
		}
	})
}

func TestMetricsTellThePromise(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c, _ := p.enter("ann")
		c.ask("join", message{"room": "r"})
		time.Sleep(time.Hour)
		c.pending()
		_, text, _ := get(p.operator(), request200("/metrics"))
		for _, line := range []string{
			"roompass_connections 1", "roompass_rooms 1", "roompass_members 1", "roompass_queue_bytes 0",
			`roompass_messages_total{type="join"} 1`, "roompass_token_lapses_total 0", "roompass_token_sign_errors_total 0",
			"roompass_token_pushes_total", "roompass_token_push_lateness_seconds_count", "roompass_token_remaining_seconds_count",
			"roompass_token_sign_seconds_count", `roompass_closes_total{code="1000"} 0`,
		} {
			if !strings.Contains(text, "\n"+line) {
				t.Errorf("no %q in\n%s", line, text)
			}
		}
		c.bye()
		_, text, _ = get(p.operator(), request200("/metrics"))
		for _, line := range []string{"roompass_connections 0", "roompass_members 0", `roompass_closes_total{code="1000"} 1`} {
			if !strings.Contains(text, "\n"+line) {
				t.Errorf("no %q afterwards", line)
			}
		}
	})
}
