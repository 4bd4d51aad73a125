package janus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/coder/websocket"
)

// Config says what a [Front] stands before. Server and Rooms are required.
type Config struct {
	Server  string   // ws:// or wss:// address of Janus's WebSocket transport
	Rooms   Rooms    // who may be where
	Plugins []string // that may be attached; [SFU] alone

	Token     string // Janus's own, put into each message; "" is none
	APISecret string // the same

	Client *http.Client // dials Server; nil: [http.DefaultClient]

	MessageBytes int64 // of one message, either way; 1 MiB
	Logger       *slog.Logger
}

// A Front is an [http.Handler] for janus-protocol.
type Front struct {
	config Config

	mu     sync.Mutex
	closed bool
	talks  map[*talk]struct{}
	done   sync.WaitGroup
}

// New makes a front. An error says what in the config is wrong.
func New(cfg Config) (*Front, error) {
	at, err := url.Parse(cfg.Server)
	if err != nil || at.Host == "" || at.Scheme != "ws" && at.Scheme != "wss" {
		return nil, errors.New("a Janus server is given as ws://HOST:PORT or wss://HOST:PORT")
	}
	if at.User != nil {
		return nil, errors.New("the address of a Janus server has no credential in it")
	}
	if len(cfg.Plugins) == 0 {
		cfg.Plugins = []string{SFU}
	}
	if cfg.MessageBytes == 0 {
		cfg.MessageBytes = 1 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Front{config: cfg, talks: map[*talk]struct{}{}}, nil
}

// ServeHTTP takes a browser's socket, and talks for it to Janus until either hangs
// up. Whoever serves it has looked at the request's origin.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	t := &talk{front: f, sessions: map[uint64]bool{}, handles: map[uint64]*handle{}, pending: map[string]pending{}}
	if !f.begin(t) {
		http.Error(w, "this pod takes no new sockets: try again for another one", http.StatusServiceUnavailable)
		return
	}
	defer f.end(t)
	server, err := f.dial(ctx)
	if err != nil {
		f.config.Logger.Warn("Janus can't be reached", "error", err)
		http.Error(w, "the media server can't be reached just now", http.StatusBadGateway)
		return
	}
	defer func() { _ = server.CloseNow() }()
	t.server = server
	if t.visitor, err = f.config.Rooms.Visit(r, t.ended); err != nil {
		http.Error(w, "you can't be let in: "+err.Error(), http.StatusForbidden)
		return
	}
	browser, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{Subprotocol}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		t.visitor.End(true)
		return // the library has answered
	}
	browser.SetReadLimit(f.config.MessageBytes)
	t.browser = browser
	t.run()
}

// Close ends all talks with 1012, upon which clients come back, and waits for them.
func (f *Front) Close() {
	f.mu.Lock()
	f.closed = true
	talks := make([]*talk, 0, len(f.talks))
	for t := range f.talks {
		talks = append(talks, t)
	}
	f.mu.Unlock()
	for _, t := range talks {
		t.close(websocket.StatusServiceRestart, "the pod is going away")
	}
	f.done.Wait()
}

func (f *Front) begin(t *talk) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.talks[t] = struct{}{}
	f.done.Add(1)
	return true
}

func (f *Front) end(t *talk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.talks, t)
	f.done.Done()
}

func (f *Front) dial(ctx context.Context) (*websocket.Conn, error) {
	server, _, err := websocket.Dial(ctx, f.config.Server, &websocket.DialOptions{
		Subprotocols: []string{Subprotocol}, CompressionMode: websocket.CompressionDisabled, HTTPClient: f.config.Client,
	})
	if err != nil {
		return nil, err
	}
	if server.Subprotocol() != Subprotocol {
		_ = server.CloseNow()
		return nil, fmt.Errorf("%s doesn't speak %s", f.config.Server, Subprotocol)
	}
	server.SetReadLimit(f.config.MessageBytes)
	return server, nil
}

func (f *Front) mayAttach(plugin string) bool { return slices.Contains(f.config.Plugins, plugin) }
