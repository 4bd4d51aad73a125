package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
	"github.com/roompass/roompass/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pod is a running server whose sockets are pipes in memory, so that in a
// synctest bubble hours pass in no time.
type pod struct {
	t        *testing.T
	server   *Server
	keys     *tokens.KeyRing
	registry *prometheus.Registry
	listener *pipes
}

// inBubble runs a test against a pod, on a clock that runs when all wait.
func inBubble(t *testing.T, change func(*Config), test func(t *testing.T, p *pod)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		p, wait := startPod(t, ctx, change)
		test(t, p)
		stop()
		wait()
	})
}

func startPod(t *testing.T, ctx context.Context, change func(*Config)) (*pod, func()) {
	t.Helper()
	keys, err := tokens.NewKeyRing(tokens.KeyOptions{}, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	store := rooms.NewMemory(rooms.Config{Prepare: Prepare})
	registry := prometheus.NewRegistry()
	cfg := Config{
		Keys: keys, Rooms: store, Access: access.Open{}, Pod: "test", Registry: registry,
		Client: web.Client(), Console: web.Console(), Logger: slog.New(slog.DiscardHandler), AdminKeys: parseKeys(t, "read:"+readKey, writeKey),
	}
	if change != nil {
		change(&cfg)
	}
	if cfg.Issuer, err = tokens.NewIssuer(tokens.IssuerConfig{Keys: cfg.Keys, TTL: cfg.TokenTTL}); err != nil {
		t.Fatal(err)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{t, server, cfg.Keys, registry, newPipes()}
	web := &http.Server{Handler: server.Public()}
	done := make(chan error, 2)
	go func() { done <- server.Run(ctx) }()
	go func() { done <- web.Serve(p.listener) }()
	synctest.Wait()
	return p, func() {
		_ = web.Close()
		for range 2 {
			if err := <-done; err != nil && err != http.ErrServerClosed {
				t.Error(err)
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	from   string // the address and port of who dials; "" is none
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// addressed is a pipe from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	if p.from != "" {
		theirs = addressed{theirs, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(p.from))}
	}
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// message is one as it came: a JSON object.
type message map[string]any

func (m message) str(name string) string { s, _ := m[name].(string); return s }
func (m message) list(name string) []any { l, _ := m[name].([]any); return l }
func (m message) object(name string) message {
	o, _ := m[name].(map[string]any)
	return o
}

// A peer is a client of the protocol that reads all the time.
type peer struct {
	t     *testing.T
	ws    *websocket.Conn
	raw   net.Conn
	inbox chan message
	ended chan error
	aside []message // events that came while ask waited for its reply
	id    int
}

// dial opens a socket; opts may be nil.
func (p *pod) dial(opts *websocket.DialOptions) (*peer, error) {
	var raw net.Conn
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		raw, err = p.listener.dial(ctx, network, address)
		return raw, err
	}}
	if opts == nil {
		opts = &websocket.DialOptions{}
	}
	if opts.Subprotocols == nil {
		opts.Subprotocols = []string{Subprotocol}
	}
	opts.HTTPClient = &http.Client{Transport: transport}
	ws, response, err := websocket.Dial(p.t.Context(), "ws://gateway.test/ws", opts)
	if err != nil {
		if response != nil && response.Body != nil {
			_ = response.Body.Close()
		}
		return nil, err
	}
	ws.SetReadLimit(-1)
	return &peer{t: p.t, ws: ws, raw: raw, inbox: make(chan message, 100_000), ended: make(chan error, 1)}, nil
}

// connect opens a socket and starts to read it.
func (p *pod) connect() *peer {
	p.t.Helper()
	c, err := p.dial(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	go c.read()
	return c
}

// enter connects and authenticates as user; "" is anonymous.
func (p *pod) enter(user string) (*peer, message) {
	p.t.Helper()
	c := p.connect()
	return c, c.ask("auth", message{"credential": user})
}

// resume comes back with what welcome said.
func (p *pod) resume(welcome message, cursors, held message) (*peer, message) {
	p.t.Helper()
	c := p.connect()
	return c, c.ask("auth", message{"resume": message{
		"session": welcome["session"], "secret": welcome["secret"], "rooms": cursors, "tokens": held,
	}})
}

func (c *peer) read() {
	defer close(c.inbox)
	for {
		_, text, err := c.ws.Read(context.Background())
		if err != nil {
			c.ended <- err
			return
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			c.t.Errorf("the gateway sent %q: %v", text, err)
		}
		c.inbox <- m
	}
}

func (c *peer) send(m message) {
	c.t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, text); err != nil {
		c.t.Fatalf("send %v: %v", m["type"], err)
	}
}

// ask sends a request and returns its reply; events in between are for want.
func (c *peer) ask(kind string, fields message) message {
	c.t.Helper()
	c.id++
	m := message{"type": kind, "id": c.id}
	for name, value := range fields {
		m[name] = value
	}
	c.send(m)
	for {
		reply := c.next()
		if id, ok := reply["id"].(float64); ok && int(id) == c.id {
			return reply
		}
		c.aside = append(c.aside, reply)
	}
}

// next waits for the next message.
func (c *peer) next() message {
	c.t.Helper()
	select {
	case m, ok := <-c.inbox:
		if !ok {
			c.t.Fatalf("the socket ended: %v", <-c.ended)
		}
		return m
	case <-time.After(10 * time.Minute):
		c.t.Fatal("nothing came for ten minutes")
	}
	return nil
}

// want waits for the next message of a type; others are dropped.
func (c *peer) want(kind string) message {
	c.t.Helper()
	for len(c.aside) > 0 {
		m := c.aside[0]
		if c.aside = c.aside[1:]; m["type"] == kind {
			return m
		}
	}
	for end := time.Now().Add(time.Hour); time.Now().Before(end); {
		if m := c.next(); m["type"] == kind {
			return m
		}
	}
	c.t.Fatalf("no %s came for an hour", kind)
	return nil
}

// pending returns what has come and wasn't taken, once everybody waits.
func (c *peer) pending() (all []message) {
	synctest.Wait()
	all, c.aside = c.aside, nil
	for {
		select {
		case m, ok := <-c.inbox:
			if !ok {
				return all
			}
			all = append(all, m)
		default:
			return all
		}
	}
}

// wantClose waits for the socket's end and checks its code.
func (c *peer) wantClose(code CloseCode) {
	c.t.Helper()
	for range c.inbox {
	}
	if err := <-c.ended; websocket.CloseStatus(err) != websocket.StatusCode(code) {
		c.t.Errorf("the socket ended with %v, want close code %d", err, code)
	}
}

// drop cuts the socket without a goodbye.
func (c *peer) drop() {
	_ = c.raw.Close()
	for range c.inbox {
	}
	synctest.Wait()
}

// bye closes with 1000.
func (c *peer) bye() {
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	for range c.inbox {
	}
	synctest.Wait()
}

// get asks one of the server's handlers.
func get(handler http.Handler, r *http.Request) (int, string, http.Header) {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body), w.Header()
}

// operator is the operator's listener. Whatever it answers is held to openapi.yaml.
func (p *pod) operator() http.Handler {
	return described(p.t, p.server.Operator(promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{})))
}

func asMessage(t *testing.T, text string) (m message) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return m
}
