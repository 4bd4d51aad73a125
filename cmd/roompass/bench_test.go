package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/cmd/roompass/load"
	"github.com/roompass/roompass/tokens"
)

func TestBenchSaysWhatItsClientsSaw(t *testing.T) {
	t.Parallel()
	gateway := serveDev(t, "--token-ttl", "4s", "--token-refresh", "2s")
	ws := "ws" + strings.TrimPrefix(gateway.url, "http") + "/ws"
	file := filepath.Join(t.TempDir(), "report")
	did := roompass(t, "", "bench", "--url", ws, "--connections", "30", "--rooms", "3", "--connect-rate", "300",
		"--rate", "50", "--duration", "5s", "--token-refresh", "2s", "--json", file+".json", "--html", file+".html")
	if did.code != 0 {
		t.Fatalf("%d: %s", did.code, did.stderr)
	}
	for _, want := range []string{"30 of 30 in", "0 didn't hold", "lapses      0", "0 messages twice"} {
		if !strings.Contains(did.out, want) {
			t.Errorf("the summary has no %q:\n%s", want, did.out)
		}
	}
	text, err := os.ReadFile(file + ".json")
	var is load.Report
	if err != nil || json.Unmarshal(text, &is) != nil {
		t.Fatalf("%v: %s", err, text)
	}
	// Each signal is for nine others, and each client gets a second token.
	if is.Sent < 100 || is.Expected != 9*is.Sent || is.Received != is.Expected || is.Latency.Count != is.Received || is.Tokens < 60 || len(is.Servers) != 1 {
		t.Errorf("%s", text)
	}
	page, err := os.ReadFile(file + ".html")
	if err != nil || strings.Count(string(page), "<svg") != 5 || strings.Contains(string(page), "Nothing to draw") {
		t.Errorf("%v: %s", err, page)
	}
}

// liar is a gateway whose second token has run out.
func liar(t *testing.T) string {
	key, err := tokens.GenerateRSA(2048)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := tokens.NewKeyRing(tokens.KeyOptions{}, key)
	if err != nil {
		t.Fatal(err)
	}
	jwks, _ := ring.JWKS()
	// Its times are whole seconds: a token that is good for two has one at least when it comes.
	mint := func(at time.Time, ttl time.Duration) string {
		issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: ring, TTL: ttl, TimeNow: func() time.Time { return at }})
		if err != nil {
			t.Error(err)
		}
		token, err := issuer.Mint(tokens.Grant{Room: "bench-0", JoinHub: true})
		if err != nil {
			t.Error(err)
		}
		return token.JWT
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(jwks)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			return
		}
		ctx := context.Background()
		say := func(m map[string]any) {
			text, _ := json.Marshal(m)
			_ = ws.Write(ctx, websocket.MessageText, text)
		}
		_, _, _ = ws.Read(ctx)
		say(map[string]any{"type": "welcome", "id": 1, "session": "s", "secret": "x"})
		_, _, _ = ws.Read(ctx)
		now := time.Now()
		say(map[string]any{"type": "joined", "id": 2, "room": "bench-0", "cursor": "e.1", "members": []any{1}, "token": map[string]any{"token": mint(now, 2*time.Second)}})
		say(map[string]any{"type": "token", "room": "bench-0", "token": mint(now.Add(-time.Minute), 2*time.Second)})
		time.Sleep(2 * time.Second) // the first has run out by now
		say(map[string]any{"type": "token", "room": "bench-0", "token": mint(time.Now(), time.Minute)})
		_, _, _ = ws.Read(ctx)
		_ = ws.CloseNow()
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
}

func TestBenchFailsWhereAGatewayBreaksThePromise(t *testing.T) {
	t.Parallel()
	did := roompass(t, "", "bench", "--url", liar(t), "--connections", "1", "--rooms", "1", "--duration", "3s")
	if did.code != 1 || !strings.Contains(did.stderr, "1 lapses, and 1 tokens that didn't hold") {
		t.Errorf("%d: %s%s", did.code, did.out, did.stderr)
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	for args, want := range map[string]string{
		"--url http://127.0.0.1/ws":                         "--url: give an address like ws://",
		"--url ws://127.0.0.1:1/ws --duration 1ms":          "--duration",
		"--url ws://127.0.0.1:1/ws --rooms 0":               "--connections and --rooms",
		"--url ws://127.0.0.1:1/ws --source nowhere":        "--source",
		"--url ws://127.0.0.1:1/ws --connections 1":         "the gateway's keys can't be read",
		"--url ws://127.0.0.1:1/ws --connect-rate=-1":       "--connect-rate",
		"--url ws://127.0.0.1:1/ws --credential @/no/where": "credential",
	} {
		did := roompass(t, "", append([]string{"bench"}, strings.Fields(args)...)...)
		if did.code == 0 || !strings.Contains(did.stderr, want) {
			t.Errorf("%s: %d: %s", args, did.code, did.stderr)
		}
	}
}
