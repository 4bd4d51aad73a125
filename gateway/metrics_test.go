package gateway

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/tokens"
)

// measure is a metric with its labels, as /metrics has it; ok is false where it hasn't.
func (p *pod) measure(name string) (value float64, ok bool) {
	p.t.Helper()
	_, text, _ := get(p.operator(), request200("/metrics"))
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return value, true
}

func TestMetricsTellWhatIsLeftOfTheNewestTokens(t *testing.T) {
	inBubble(t, func(c *Config) { c.VerifierSkew, c.Signers = 5*time.Second, 3 }, func(t *testing.T, p *pod) {
		if is, ok := p.measure("roompass_token_least_remaining_seconds"); !ok || !math.IsNaN(is) {
			t.Errorf("%v is left where nobody holds a token, want NaN", is)
		}
		if is, _ := p.measure("roompass_token_margin_seconds"); is != 55 {
			t.Errorf("a margin of %v s, want the minute less the skew", is)
		}
		if is, _ := p.measure("roompass_token_signers"); is != 3 {
			t.Errorf("%v signers", is)
		}
		c, _ := p.enter("ann")
		c.ask("join", message{"room": "r"})
		for range 100 {
			time.Sleep(time.Minute)
			if is, _ := p.measure("roompass_token_least_remaining_seconds"); is < 54 || is > 295 {
				t.Errorf("%v s are left", is)
			}
		}
		c.bye()
	})
}

func TestRefusalsAreCounted(t *testing.T) {
	inBubble(t, func(c *Config) { c.Origins = []string{"https://app.example.com"} }, func(t *testing.T, p *pod) {
		const kick = `roompass_refusals_total{action="kick",result="not_allowed"}`
		if n, ok := p.measure(kick); !ok || n != 0 {
			t.Errorf("%v kicks were refused before there was any; it has to begin at 0", n)
		}
		c, _ := p.enter("ann")
		c.ask("join", message{"room": "r"})
		c.ask("kick", message{"room": "r", "member": "nobody"})
		if _, err := p.dial(&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://other.example"}}}); err == nil {
			t.Error("a foreign page was let in")
		}
		_, text, _ := get(p.operator(), request200("/metrics"))
		for _, line := range []string{
			`roompass_refusals_total{action="kick",result="no_such_member"} 1`,
			`roompass_refusals_total{action="upgrade",result="403"} 1`,
		} {
			if !strings.Contains(text, line) {
				t.Errorf("no %q", line)
			}
		}
		r := httptest.NewRequest(http.MethodDelete, "http://gateway.test/v1/rooms/r/members/nobody", nil)
		r.Header.Set("Authorization", "Bearer "+writeKey)
		get(p.operator(), r)
		if n, _ := p.measure(`roompass_refusals_total{action="kick",result="no_such_member"}`); n != 1 {
			t.Error("what the operator was told counts as a refusal")
		}
		c.bye()
	})
}

func TestTheSigningKeysAgeIsThatOfItsFile(t *testing.T) {
	dir := t.TempDir()
	if err := tokens.WriteKeyFiles(dir, 2048); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(file, since, since); err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.LoadKeys(dir, tokens.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(c *Config) { c.Keys = keys }, func(t *testing.T, p *pod) {
		kid, _ := keys.Signing()
		name := `roompass_signing_key_timestamp_seconds{kid="` + kid + `"}`
		if is, _ := p.measure(name); is != float64(since.Unix()) {
			t.Errorf("%s is %v, want %v", name, is, since.Unix())
		}
		later := since.Add(time.Hour)
		if err := os.Chtimes(file, later, later); err != nil {
			t.Fatal(err)
		}
		if err := keys.Reload(); err != nil {
			t.Fatal(err)
		}
		if is, _ := p.measure(name); is != float64(later.Unix()) {
			t.Errorf("%s is %v after a reload, want %v", name, is, later.Unix())
		}
	})
}
