package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

func TestCredentialMayComeAsABearerSubprotocol(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		credential := login(t, nil)
		encoded := base64.RawURLEncoding.EncodeToString([]byte(credential))
		for name, test := range map[string]struct {
			bearer     string
			credential string
			refusal    string // of auth; "" is none
		}{
			"as it stands":     {credential, "", ""},
			"in base64url":     {encoded, "", ""},
			"the same twice":   {encoded, credential, ""},
			"two that differ":  {credential, login(t, jwt.MapClaims{"name": "Ann"}), codeBadRequest},
			"in auth only":     {"", credential, ""},
			"another's beside": {login(t, jwt.MapClaims{"sub": "bob"}), credential, codeBadRequest},
		} {
			offered := []string{Subprotocol}
			if test.bearer != "" {
				offered = append(offered, "bearer."+test.bearer)
			}
			for _, order := range [][]string{offered, {offered[len(offered)-1], Subprotocol}} {
				c, err := p.dial(&websocket.DialOptions{Subprotocols: order})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := c.ws.Subprotocol(); got != Subprotocol {
					t.Errorf("%s: the subprotocol is %q", name, got)
				}
				go c.read()
				got := c.ask("auth", message{"credential": test.credential})
				if test.refusal == "" && got["user"] != "ann" || test.refusal != "" && got["code"] != test.refusal {
					t.Errorf("%s: %v", name, got)
				}
				if test.refusal == "" {
					// It is for the first auth: it proves nothing a second time.
					if got := c.ask("auth", nil); got["code"] != codeAlreadyAuthenticated {
						t.Errorf("%s, and again: %v", name, got)
					}
				}
				c.bye()
			}
		}
		for name, offered := range map[string][]string{
			"two of them":   {Subprotocol, "bearer." + credential, "bearer." + credential},
			"nothing in it": {Subprotocol, "bearer."},
			"no base64url":  {Subprotocol, "bearer.a"},
			"alone":         {"bearer." + credential},
			"a long one":    {Subprotocol, "bearer." + strings.Repeat("x", 70_000)},
		} {
			if _, err := p.dial(&websocket.DialOptions{Subprotocols: offered}); err == nil || !strings.Contains(err.Error(), "400") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestCredentialInTheURLIsRefused(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		for _, name := range []string{"token", "access_token", "credential", "jwt", "authorization", "Authorization", "ACCESS_TOKEN"} {
			code, body, _ := get(p.server.Public(), request200("/ws?v=1&"+name+"="+login(t, nil)))
			if code != http.StatusBadRequest || !strings.Contains(body, "no credential belongs in the URL") || strings.Contains(body, "eyJ") {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
		if code, body, _ := get(p.server.Public(), request200("/ws?v=1")); code != http.StatusUpgradeRequired {
			t.Errorf("another parameter: %d %s", code, body)
		}
	})
}

func TestTokenWithoutASocketTakesTheAppsToken(t *testing.T) {
	inBubble(t, byApp(t, nil), func(t *testing.T, p *pod) {
		for name, test := range map[string]struct {
			credential, room string
			code             int
			says             string
		}{
			"her room":   {login(t, nil), "lobby", http.StatusOK, `"token":"eyJ`},
			"another":    {login(t, nil), "cellar", http.StatusForbidden, "room_ids"},
			"expired":    {login(t, jwt.MapClaims{"exp": 1}), "lobby", http.StatusForbidden, "it has expired"},
			"no token":   {"ann", "lobby", http.StatusForbidden, "not a JWT"},
			"no one's":   {"", "lobby", http.StatusForbidden, "there is none"},
			"wrong room": {login(t, nil), "", http.StatusBadRequest, "room"},
		} {
			body := fmt.Sprintf(`{"credential":%q,"room":%q}`, test.credential, test.room)
			code, text, _ := get(p.server.Public(), httptest.NewRequest(http.MethodPost, "http://gateway.test/v1/token", strings.NewReader(body)))
			if code != test.code || !strings.Contains(text, test.says) || test.credential != "" && strings.Contains(text, test.credential) {
				t.Errorf("%s: %d %s", name, code, text)
			}
		}
	})
}
