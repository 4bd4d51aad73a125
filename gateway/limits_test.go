package gateway

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestFrameThatIsNoMessageClosesTheSocket(t *testing.T) {
	for name, frame := range map[string]struct {
		kind websocket.MessageType
		text string
		code CloseCode
	}{
		"binary":             {websocket.MessageBinary, `{"type":"auth"}`, CloseBadFrame},
		"empty":              {websocket.MessageText, ``, CloseBadFrame},
		"an array":           {websocket.MessageText, `[{"type":"auth"}]`, CloseBadFrame},
		"not JSON":           {websocket.MessageText, `type=auth`, CloseBadFrame},
		"two values":         {websocket.MessageText, `{"type":"auth"}{"type":"auth"}`, CloseBadFrame},
		"no type":            {websocket.MessageText, `{"id":1}`, CloseBadFrame},
		"a type in capitals": {websocket.MessageText, `{"TYPE":"auth"}`, CloseBadFrame},
		"a type of number":   {websocket.MessageText, `{"type":1}`, CloseBadFrame},
		"not UTF-8":          {websocket.MessageText, "{\"type\":\"\xff\"}", CloseBadFrame},
		"deep nesting":       {websocket.MessageText, `{"type":"auth","x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, CloseBadFrame},
		"over the limit":     {websocket.MessageText, `{"type":"auth","x":"` + strings.Repeat("x", 64<<10) + `"}`, CloseTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, p *pod) {
				c := p.connect()
				_ = c.ws.Write(t.Context(), frame.kind, []byte(frame.text))
				c.wantClose(frame.code)
			})
		})
	}
}

func TestMessageOfTheLimitPasses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c, _ := p.enter("ann")
		c.ask("join", message{"room": "r"})
		const around = `{"type":"signal","id":99,"room":"r","data":""}`
		text := strings.Replace(around, `""`, `"`+strings.Repeat("x", 64<<10-len(around))+`"`, 1)
		if err := c.ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := c.next(); got["type"] != "ok" {
			t.Errorf("%d bytes: %v", len(text), got)
		}
		c.bye()
	})
}

func TestNoAuthInTimeCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c := p.connect()
		from := time.Now()
		c.wantClose(CloseUnauthenticated)
		if waited := time.Since(from).Truncate(time.Second); waited != 5*time.Second {
			t.Errorf("closed after %v", waited)
		}
	})
}

func TestCredentialThatDoesNotHoldCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c := p.connect()
		c.send(message{"type": "auth", "credential": strings.Repeat("a", 257)})
		c.wantClose(CloseUnauthenticated)
	})
}

func TestFloodCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		// The sustained rate is let through, second after second.
		c, _ := p.enter("ann")
		c.ask("join", message{"room": "r"})
		for range 120 {
			for range 30 {
				c.send(message{"type": "signal", "room": "r", "data": 1})
			}
			time.Sleep(time.Second)
		}
		if got := c.ask("signal", message{"room": "r", "data": 1}); got["type"] != "ok" {
			t.Fatal(got)
		}
		// More than the burst at once is not.
		for range 70 {
			_ = c.ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"signal","room":"r","data":1}`))
		}
		c.wantClose(CloseRateLimited)
	})
}

func TestRequestsThatCannotBeDoneAreAnswered(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c := p.connect()
		if got := c.ask("join", message{"room": "r"}); got["code"] != codeNotAuthenticated {
			t.Errorf("join before auth: %v", got)
		}
		c.ask("auth", nil)
		c.ask("join", message{"room": "r"})
		for name, try := range map[string]struct {
			kind   string
			fields message
			code   string
		}{
			"auth again":             {"auth", nil, codeAlreadyAuthenticated},
			"an unknown type":        {"dance", nil, codeUnknownType},
			"no room":                {"join", nil, codeBadRequest},
			"a long room":            {"join", message{"room": strings.Repeat("r", 257)}, codeBadRequest},
			"a room with a NUL":      {"join", message{"room": "a\x00b"}, codeBadRequest},
			"a room of number":       {"join", message{"room": 1}, codeBadRequest},
			"join again":             {"join", message{"room": "r"}, codeAlreadyJoined},
			"large presence data":    {"join", message{"room": "s", "data": strings.Repeat("x", 4096)}, codeTooLarge},
			"a large update":         {"update", message{"room": "r", "data": strings.Repeat("x", 4096)}, codeTooLarge},
			"leave elsewhere":        {"leave", message{"room": "s"}, codeNotJoined},
			"signal elsewhere":       {"signal", message{"room": "s", "data": 1}, codeNotJoined},
			"update elsewhere":       {"update", message{"room": "s", "data": 1}, codeNotJoined},
			"kick elsewhere":         {"kick", message{"room": "s", "member": "m"}, codeNotJoined},
			"signal without data":    {"signal", message{"room": "r"}, codeBadRequest},
			"update without data":    {"update", message{"room": "r"}, codeBadRequest},
			"signal to nobody":       {"signal", message{"room": "r", "to": "nobody", "data": 1}, codeNoSuchMember},
			"kick without the right": {"kick", message{"room": "r", "member": "m"}, codeNotAllowed},
			"to of number":           {"signal", message{"room": "r", "to": 1, "data": 1}, codeBadRequest},
		} {
			if got := c.ask(try.kind, try.fields); got["type"] != "error" || got["code"] != try.code || got.str("message") == "" {
				t.Errorf("%s: %v, want %s", name, got, try.code)
			}
		}
		for _, text := range []string{
			`{"type":"join","id":0,"room":"s"}`, `{"type":"join","id":1.5,"room":"s"}`, `{"type":"join","id":"1","room":"s"}`,
			`{"type":"join","room":"s","room":"t"}`, `{"type":"join","id":-1,"room":"s"}`,
		} {
			if err := c.ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if got := c.next(); got["code"] != codeBadRequest {
				t.Errorf("%s: %v", text, got)
			}
		}
		for i := range 15 {
			if got := c.ask("join", message{"room": strings.Repeat("x", i+1)}); got["type"] != "joined" {
				t.Fatal(got)
			}
			time.Sleep(time.Second)
		}
		if got := c.ask("join", message{"room": "one too many"}); got["code"] != codeTooManyRooms {
			t.Error(got)
		}
		c.bye()
	})
}

func TestOneAddressHoldsSoManyUnauthenticatedSockets(t *testing.T) {
	inBubble(t, func(c *Config) { c.Limits.Unauthenticated = 3 }, func(t *testing.T, p *pod) {
		first, _ := p.enter("ann") // authenticated ones don't count
		var waiting []*peer
		for range 3 {
			waiting = append(waiting, p.connect())
		}
		_, err := p.dial(nil)
		if err == nil || !strings.Contains(err.Error(), "429") {
			t.Errorf("the fourth: %v", err)
		}
		for _, c := range waiting {
			c.wantClose(CloseUnauthenticated)
		}
		second, _ := p.enter("bob")
		first.bye()
		second.bye()
	})
}

func TestPagesOfOtherOriginsStayOut(t *testing.T) {
	allow := func(c *Config) { c.Origins = []string{"https://APP.example:443", "http://localhost:3000"} }
	inBubble(t, allow, func(t *testing.T, p *pod) {
		for origin, allowed := range map[string]bool{
			"":                            true,
			"http://gateway.test":         true,
			"https://app.example":         true,
			"http://localhost:3000":       true,
			"http://app.example":          false,
			"https://app.example:444":     false,
			"https://app.example.evil":    false,
			"https://evil.app.example":    false,
			"http://localhost:3001":       false,
			"null":                        false,
			"https://app.example/path":    false,
			"https://app.example@evil.io": false,
		} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			c, err := p.dial(&websocket.DialOptions{HTTPHeader: header})
			if (err == nil) != allowed {
				t.Errorf("origin %q: %v", origin, err)
			}
			if err == nil {
				_ = c.ws.CloseNow()
			}
		}
		synctest.Wait()
	})
}

func TestOnlyOurSubprotocolIsSpoken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		for _, offered := range [][]string{{"janus-protocol"}, {}} {
			if _, err := p.dial(&websocket.DialOptions{Subprotocols: offered}); err == nil || !strings.Contains(err.Error(), "400") {
				t.Errorf("%q: %v", offered, err)
			}
		}
		c, err := p.dial(&websocket.DialOptions{Subprotocols: []string{"other", Subprotocol}})
		if err != nil || c.ws.Subprotocol() != Subprotocol {
			t.Fatal(err)
		}
		_ = c.ws.CloseNow()
	})
}

func TestDrainTellsThenCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		var peers []*peer
		for range 10 {
			c, _ := p.enter("ann")
			c.ask("join", message{"room": "r"})
			peers = append(peers, c)
		}
		code, _, _ := get(p.operator(), request200("/readyz"))
		if code != http.StatusOK {
			t.Errorf("readyz before: %d", code)
		}
		from := time.Now()
		drained := make(chan struct{})
		go func() { p.server.Drain(t.Context(), 30*time.Second); close(drained) }()
		waits := map[any]bool{}
		for _, c := range peers {
			wait := c.want("draining")["reconnect_in"].(float64)
			if wait < 0 || wait > 0.7*30_000 {
				t.Errorf("reconnect_in is %v", wait)
			}
			waits[wait] = true
		}
		if len(waits) < 5 {
			t.Errorf("all are asked to move at %v", waits)
		}
		if code, _, _ := get(p.operator(), request200("/readyz")); code != http.StatusServiceUnavailable {
			t.Errorf("readyz while draining: %d", code)
		}
		if code, _, _ := get(p.operator(), request200("/livez")); code != http.StatusOK {
			t.Errorf("livez while draining: %d", code)
		}
		if _, err := p.dial(nil); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("a new socket while draining: %v", err)
		}
		peers[0].bye()
		for _, c := range peers[1:] {
			c.wantClose(CloseRestart)
		}
		<-drained
		if took := time.Since(from).Truncate(time.Second); took != 30*time.Second {
			t.Errorf("drained in %v", took)
		}
	})
}

func TestDrainEndsWhenTheLastHasGone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c, _ := p.enter("ann")
		from := time.Now()
		drained := make(chan struct{})
		go func() { p.server.Drain(t.Context(), 30*time.Second); close(drained) }()
		c.want("draining")
		c.bye()
		<-drained
		if took := time.Since(from); took > time.Second {
			t.Errorf("drained in %v", took)
		}
	})
}
