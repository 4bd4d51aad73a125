package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

const appOrigin = "https://app.example"

// byCookie takes the app's tokens from the cookie login, of its own page.
func byCookie(t *testing.T, change func(*Config)) func(*Config) {
	t.Helper()
	return byApp(t, func(c *Config) {
		c.Cookie, c.Origins = "login", []string{appOrigin}
		if change != nil {
			change(c)
		}
	})
}

// open opens a socket as a page does that has these cookies; bearer may be "".
func (p *pod) open(bearer string, cookies ...string) (*peer, error) {
	opts := &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {appOrigin}, "Cookie": cookies}}
	if bearer != "" {
		opts.Subprotocols = []string{Subprotocol, bearerPrefix + bearer}
	}
	c, err := p.dial(opts)
	if err == nil {
		go c.read()
	}
	return c, err
}

func TestCredentialMayComeInACookie(t *testing.T) {
	var log logbook
	inBubble(t, byCookie(t, log.keep), func(t *testing.T, p *pod) {
		ann, bob := login(t, nil), login(t, jwt.MapClaims{"sub": "bob"})
		for name, test := range map[string]struct {
			cookies    []string
			bearer     string
			credential string // of auth
			user       any
		}{
			"alone":                   {[]string{"login=" + ann}, "", "", "ann"},
			"among others":            {[]string{"a=b; login=" + ann + "; LOGIN=" + bob + "; login2=" + bob}, "", "", "ann"},
			"on a line of its own":    {[]string{"a=b", "login=" + ann}, "", "", "ann"},
			"in quotes":               {[]string{`login="` + ann + `"`}, "", "", "ann"},
			"twice the same":          {[]string{"login=" + ann + `; login="` + ann + `"`}, "", "", "ann"},
			"beside auth's":           {[]string{"login=" + ann}, "", bob, "bob"},
			"beside a bearer":         {[]string{"login=" + ann}, bob, "", "bob"},
			"beside both":             {[]string{"login=nonsense"}, bob, bob, "bob"},
			"nonsense beside auth's":  {[]string{"login=nonsense"}, "", bob, "bob"},
			"empty beside auth's":     {[]string{"login="}, "", bob, "bob"},
			"another's name":          {[]string{"session=" + ann}, "", bob, "bob"},
			"no value that is one":    {[]string{`login=a\b; login=` + ann}, "", "", "ann"},
			"without any, as a token": {nil, "", ann, "ann"},
		} {
			c, err := p.open(test.bearer, test.cookies...)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := c.ask("auth", message{"credential": test.credential}); got["user"] != test.user {
				t.Errorf("%s: %v", name, got)
			}
			// It is for the first auth: it proves nothing a second time.
			if got := c.ask("auth", nil); got["code"] != codeAlreadyAuthenticated {
				t.Errorf("%s, and again: %v", name, got)
			}
			c.bye()
		}
		for name, cookie := range map[string]string{
			"two that differ": "login=" + ann + "; login=" + bob,
			"one is empty":    "login=" + ann + "; login=",
			"a long one":      "login=" + strings.Repeat("x", 70_000),
		} {
			if _, err := p.open("", cookie); err == nil || !strings.Contains(err.Error(), "400") {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, test := range map[string]struct{ cookie, says string }{
			"none":    {"", "there is none"},
			"expired": {"login=" + login(t, jwt.MapClaims{"exp": 1}), "it has expired"},
			"no JWT":  {"login=nonsense", "it is not a JWT"},
		} {
			c, err := p.open("", test.cookie)
			if err != nil {
				t.Fatal(err)
			}
			c.send(message{"type": "auth"})
			if code, reason := c.closed(); code != CloseUnauthenticated || !strings.Contains(reason, test.says) {
				t.Errorf("%s: %d %s", name, code, reason)
			}
		}
		synctest.Wait()
		if text := log.String(); text == "" || strings.Contains(text, "eyJ") || strings.Contains(text, "nonsense") {
			t.Errorf("a cookie is in the log:\n%s", text)
		}
	})
}

func TestCookieThatIsRefusedIsNotEchoed(t *testing.T) {
	inBubble(t, byCookie(t, nil), func(t *testing.T, p *pod) {
		r := request200("/ws")
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {Subprotocol},
			"Origin": {appOrigin}, "Cookie": {"login=first; login=second"},
		}
		code, text, header := get(p.server.Public(), r)
		if code != http.StatusBadRequest || !strings.Contains(text, "two cookies login") {
			t.Errorf("%d %s", code, text)
		}
		if strings.Contains(text, "first") || strings.Contains(text, "second") || header.Get("Set-Cookie") != "" {
			t.Errorf("it is told what it said: %s %v", text, header)
		}
	})
}

func TestResumeByCookieLastsAnew(t *testing.T) {
	inBubble(t, byCookie(t, nil), func(t *testing.T, p *pod) {
		c, err := p.open("", "login="+login(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		welcome := c.ask("auth", nil)
		c.ask("join", message{"room": "lobby"})
		time.Sleep(time.Hour)
		c.drop()
		for name, test := range map[string]struct {
			cookie  string
			resumed bool
			lasts   time.Duration
		}{
			"a newer one":    {login(t, nil), true, 12 * time.Hour},
			"somebody elses": {login(t, jwt.MapClaims{"sub": "bob"}), false, 12 * time.Hour},
		} {
			again, err := p.open("", "login="+test.cookie)
			if err != nil {
				t.Fatal(err)
			}
			back := again.ask("auth", message{"resume": message{"session": welcome["session"], "secret": welcome["secret"]}})
			if back["resumed"] != test.resumed || back["session_expires_in"] != float64(test.lasts.Milliseconds()) {
				t.Errorf("%s: %v", name, back)
			}
			again.bye()
		}
	})
}

// foreign are pages that aren't https://app.example, however much they look it.
var foreign = []string{
	"http://app.example", "https://app.example:444", "https://app.example:443", "https://app.example.evil.com",
	"https://evil.app.example", "https://evilapp.example", "https://app.example.", "https://app.example/", "https://app.example/path",
	"https://app.example@evil.com", "https://evil.com/https://app.example", "https://app.example,https://evil.com",
	"https://app.example https://evil.com", "HTTPS://app.example", "//app.example", "app.example", "file://", "null", " ",
}

func TestPageOfAnotherOriginCannotUseItsVisitorsCookie(t *testing.T) {
	inBubble(t, byCookie(t, nil), func(t *testing.T, p *pod) {
		try := func(origins ...string) (int, string) {
			r := request200("/ws")
			r.Header["Origin"] = origins
			r.Header.Set("Cookie", "login="+login(t, nil))
			code, text, _ := get(p.server.Public(), r)
			return code, text
		}
		own := []string{"http://gateway.test", "https://gateway.test"} // either may be the proxy's, not ours
		for _, origin := range append(own, foreign...) {
			if code, text := try(origin); code != http.StatusForbidden || !strings.Contains(text, "--origin") {
				t.Errorf("%q: %d %s", origin, code, text)
			}
		}
		for name, origins := range map[string][]string{"none": nil, "two": {appOrigin, appOrigin}, "two that differ": {appOrigin, "https://evil.com"}} {
			if code, text := try(origins...); code != http.StatusForbidden || !strings.Contains(text, "--origin") {
				t.Errorf("%s: %d %s", name, code, text)
			}
		}
		if code, text := try(appOrigin); code != http.StatusUpgradeRequired {
			t.Errorf("the app's page: %d %s", code, text)
		}
	})
}

// A reviewer is one that reads headers. It keeps what it saw.
type reviewer struct {
	access.Open
	reads []string

	mu  sync.Mutex // guards what follows
	saw []http.Header
}

func (*reviewer) MaxStale() time.Duration { return time.Minute }
func (*reviewer) Answered() time.Time     { return time.Now() }
func (r *reviewer) Headers() []string     { return r.reads }

func (r *reviewer) Authenticate(ctx context.Context, q access.Request) (access.Person, error) {
	r.note(q.Header)
	return r.Open.Authenticate(ctx, q)
}

func (r *reviewer) Admit(ctx context.Context, q access.Request) (access.Admission, error) {
	r.note(q.Header)
	return r.Open.Admit(ctx, q)
}

func (r *reviewer) note(h http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saw = append(r.saw, h)
}

func TestReviewerSeesTheHeadersThatItNames(t *testing.T) {
	for name, test := range map[string]struct {
		reads []string
		want  http.Header
	}{
		"two of them":           {[]string{"Cookie", "X-Tenant"}, http.Header{"Cookie": {"a=b", "c=d"}, "X-Tenant": {"7"}}},
		"one that isn't there":  {[]string{"X-Other", "X-Tenant"}, http.Header{"X-Tenant": {"7"}}},
		"none that is there":    {[]string{"X-Other"}, nil},
		"none":                  {nil, nil},
		"one that we read too":  {[]string{"X-Forwarded-For"}, http.Header{"X-Forwarded-For": {"198.51.100.1"}}},
		"HTTP authentication's": {[]string{"Authorization"}, http.Header{"Authorization": {"Basic YTpi"}}},
	} {
		control := &reviewer{reads: test.reads}
		inBubble(t, func(c *Config) { c.Access, c.Origins = control, []string{appOrigin} }, func(t *testing.T, p *pod) {
			c, err := p.dial(&websocket.DialOptions{HTTPHeader: http.Header{
				"Origin": {appOrigin}, "Cookie": {"a=b", "c=d"}, "X-Tenant": {"7"}, "Authorization": {"Basic YTpi"}, "X-Forwarded-For": {"198.51.100.1"},
			}})
			if err != nil {
				t.Fatal(err)
			}
			go c.read()
			c.ask("auth", message{"credential": "ann"})
			c.ask("join", message{"room": "r"})
			c.bye()
		})
		if len(control.saw) < 2 {
			t.Errorf("%s: it was asked %d times", name, len(control.saw))
		}
		for _, saw := range control.saw {
			if diff := cmp.Diff(test.want, saw); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

func TestReviewerThatReadsWhatBrowsersSendByThemselvesNeedsAnOrigin(t *testing.T) {
	for reads, strict := range map[string]bool{"Cookie": true, "Authorization": true, "X-Tenant": false} {
		control := &reviewer{reads: []string{reads}}
		inBubble(t, func(c *Config) { c.Access, c.Origins = control, []string{appOrigin} }, func(t *testing.T, p *pod) {
			for _, origin := range []string{"", "http://gateway.test"} {
				header := http.Header{"Cookie": {"a=b"}}
				if origin != "" {
					header.Set("Origin", origin)
				}
				c, err := p.dial(&websocket.DialOptions{HTTPHeader: header})
				if (err != nil) != strict {
					t.Errorf("%s, origin %q: %v", reads, origin, err)
				}
				if err == nil {
					_ = c.ws.CloseNow()
				}
			}
			synctest.Wait()
		})
		err := refusal(t, func(c *Config) { c.Access = control })
		if (err != nil) != strict || err != nil && !strings.Contains(err.Error(), "--origin is missing") {
			t.Errorf("%s, and no --origin: %v", reads, err)
		}
	}
}

func TestCookieIsRefusedWhereItCannotBeMeant(t *testing.T) {
	for _, test := range []struct {
		name    string
		origins []string
		says    string
	}{
		{"login", nil, "--access-cookie needs --origin"},
		{"a b", []string{appOrigin}, `--access-cookie "a b"`},
		{"a=b", []string{appOrigin}, `--access-cookie "a=b"`},
		{"a;b", []string{appOrigin}, `--access-cookie "a;b"`},
		{"login\n", []string{appOrigin}, `--access-cookie "login\n"`},
		{"café", []string{appOrigin}, `--access-cookie "café"`},
		{"__Host-login", []string{appOrigin}, ""},
	} {
		err := refusal(t, func(c *Config) { c.Cookie, c.Origins = test.name, test.origins })
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v", test.name, err)
		}
	}
}

// refusal is what New says to a configuration.
func refusal(t *testing.T, change func(*Config)) error {
	t.Helper()
	keys, err := tokens.NewKeyRing(tokens.KeyOptions{}, appKey)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	store := rooms.NewMemory(rooms.Config{Prepare: Prepare})
	defer store.Close()
	cfg := Config{Keys: keys, Issuer: issuer, Rooms: store, Access: access.Open{}}
	change(&cfg)
	_, err = New(cfg)
	return err
}

func TestTokenWithoutASocketIsNotForForeignPages(t *testing.T) {
	inBubble(t, byCookie(t, nil), func(t *testing.T, p *pod) {
		for _, method := range []string{http.MethodPost, http.MethodOptions} {
			for _, origin := range slices.Concat(foreign, []string{appOrigin}) {
				if origin == "HTTPS://app.example" {
					continue // the same, where no cookie counts
				}
				r, _ := http.NewRequest(method, "http://gateway.test/v1/token", strings.NewReader(`{"credential":"`+login(t, nil)+`","room":"lobby"}`))
				r.Header.Set("Origin", origin)
				code, text, header := get(p.server.Public(), r)
				if allowed := origin == appOrigin; (code < 300) != allowed || !allowed && (code != http.StatusForbidden || header.Get("Access-Control-Allow-Origin") != "") {
					t.Errorf("%s from %q: %d %s", method, origin, code, text)
				}
				if header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s from %q: the page may send cookies along", method, origin)
				}
			}
		}
		// The cookie opens nothing here.
		r, _ := http.NewRequest(http.MethodPost, "http://gateway.test/v1/token", strings.NewReader(`{"room":"lobby"}`))
		r.Header.Set("Origin", appOrigin)
		r.Header.Set("Cookie", "login="+login(t, nil))
		if code, text, _ := get(p.server.Public(), r); code != http.StatusForbidden || !strings.Contains(text, "there is none") {
			t.Errorf("by a cookie alone: %d %s", code, text)
		}
	})
}
