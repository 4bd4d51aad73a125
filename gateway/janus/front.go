package janus

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/tokens"
)

// Config says what a [Front] stands before. Servers, Issuer and Rooms are required.
type Config struct {
	Servers []string       // ws:// or wss:// addresses of Janus's WebSocket transport
	Issuer  *tokens.Issuer // signs with the key that a server has
	Rooms   Rooms          // who may be where
	Homes   Homes          // where the rooms are; nil: there is no other pod
	Plugins []string       // that may be attached; [SFU] alone

	// Others are the sockets that the other pods have to each server; nil: none.
	Others func(context.Context) map[string]int

	// Optional has the pod be ready whatever the servers are like.
	Optional bool

	Token, APISecret string        // Janus's own, put into each message; "" is none
	Drain            time.Duration // over which the rooms of a server that drains move; 30 s

	Ping time.Duration // between two pings of an idle browser; 25 s
	Pong time.Duration // that its answer may take; 10 s

	Client       *http.Client // dials servers; nil: [http.DefaultClient]
	MessageBytes int64        // of one message, either way; 1 MiB
	MessageRate  float64      // of a browser's messages that are read, a second; 50
	MessageBurst int          // beyond that rate: candidates come many at once; 300
	Logger       *slog.Logger
}

// A Front is an [http.Handler] for janus-protocol, while [Front.Run] runs.
type Front struct {
	config  Config
	servers []*server

	mu     sync.Mutex
	closed bool
	talks  map[*talk]struct{}
	homes  map[string]*home // of the rooms that somebody here is in; empty where there is one server
	done   sync.WaitGroup
}

// A home is where a room is.
type home struct {
	server *server
	talks  int
}

// New makes a front. An error says what in the config is wrong.
func New(cfg Config) (*Front, error) {
	if len(cfg.Plugins) == 0 {
		cfg.Plugins = []string{SFU}
	}
	cfg.MessageBytes = cmp.Or(cfg.MessageBytes, 1<<20)
	cfg.MessageRate, cfg.MessageBurst = cmp.Or(cfg.MessageRate, 50), cmp.Or(cfg.MessageBurst, 300)
	cfg.Drain = cmp.Or(cfg.Drain, 30*time.Second)
	cfg.Ping, cfg.Pong = cmp.Or(cfg.Ping, 25*time.Second), cmp.Or(cfg.Pong, 10*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Homes == nil {
		cfg.Homes = &ownHomes{at: map[string]ownHome{}}
	}
	f := &Front{config: cfg, talks: map[*talk]struct{}{}, homes: map[string]*home{}}
	for _, address := range cfg.Servers {
		s, err := newServer(f, address)
		if err != nil {
			return nil, err
		}
		if f.server(s.name) != nil {
			return nil, errors.New("two Janus servers have the same host and port")
		}
		f.servers = append(f.servers, s)
	}
	if len(f.servers) == 0 {
		return nil, errors.New("there is no Janus server")
	}
	return f, nil
}

// Run knows how the servers are, and where the rooms, until ctx ends.
func (f *Front) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, s := range f.servers {
		running.Go(func() { s.watch(ctx) })
	}
	if len(f.servers) > 1 {
		running.Go(func() { f.config.Homes.Follow(ctx, f.moved) })
		running.Go(func() { f.keepHomes(ctx) })
	}
	running.Wait()
}

// Ready says what keeps the pod from taking clients: nil is nothing. One of several
// servers may be down; that one lets in everybody is for a person to look at.
func (f *Front) Ready() error {
	if f.config.Optional {
		return nil
	}
	some := slices.ContainsFunc(f.servers, func(s *server) bool { return s.status().State == StateReady })
	for _, s := range f.servers {
		if err := s.keepsFromReady(some); err != nil {
			return err
		}
	}
	return nil
}

// Servers are the servers and how they are, in the order of the config.
func (f *Front) Servers() []Status {
	var all []Status
	for _, s := range f.servers {
		all = append(all, s.status())
	}
	return all
}

// Drain has the rooms of a server move to the others, or has it take rooms again.
func (f *Front) Drain(name string, wanted bool) {
	if f == nil {
		return
	}
	if s := f.server(name); s != nil {
		s.drain(wanted)
	}
}

func (f *Front) server(name string) *server {
	i := slices.IndexFunc(f.servers, func(s *server) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return f.servers[i]
}

// ServeHTTP takes a browser's socket, and talks for it to Janus until either hangs
// up. Whoever serves it has looked at the request's origin.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := &talk{front: f, sessions: map[uint64]bool{}, handles: map[uint64]*handle{}, pending: map[string]pending{}, userIDs: map[string]string{}}
	if !f.begin(t) {
		http.Error(w, "this pod takes no new sockets: try again for another one", http.StatusServiceUnavailable)
		return
	}
	if !f.open(w, r, t) {
		f.end(t)
		return
	}
	go func() {
		defer f.end(t)
		t.run()
	}()
}

// open makes both legs, or answers the request.
func (f *Front) open(w http.ResponseWriter, r *http.Request, t *talk) bool {
	room := r.URL.Query().Get("room")
	if room == "" && len(f.servers) > 1 {
		http.Error(w, "there are several media servers: say which room it is for, as /janus?room=ROOM", http.StatusBadRequest)
		return false
	}
	server, err := f.reach(r.Context(), t, room)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return false
	}
	visitor, err := f.config.Rooms.Visit(r, t.ended)
	if err != nil {
		_ = server.CloseNow()
		status := http.StatusBadRequest
		if errors.Is(err, ErrTooMany) {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", "5")
		}
		http.Error(w, err.Error(), status)
		return false
	}
	browser, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{Subprotocol}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		visitor.End(true)
		_ = server.CloseNow()
		return false // the library has answered
	}
	browser.SetReadLimit(f.config.MessageBytes)
	t.open(browser, server, visitor)
	return true
}

// reach finds the server for a talk about a room, and connects to it. One that has just
// died may still count as ready: then it is looked for again.
func (f *Front) reach(ctx context.Context, t *talk, room string) (*websocket.Conn, error) {
	for try := 1; ; try++ {
		if err := f.settle(ctx, t, room); err != nil {
			return nil, err
		}
		server, err := t.at.dial(ctx)
		if err == nil {
			return server, nil
		}
		f.config.Logger.Warn("Janus can't be reached", "janus", t.at.name, "error", err)
		f.unsettle(t)
		if try == 3 {
			return nil, errNoServer
		}
		select {
		case <-ctx.Done():
			return nil, errNoServer
		case <-time.After(firstRetry):
		}
	}
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
		t.close(websocket.StatusServiceRestart, "the pod is going away: come back elsewhere")
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
	f.unsettle(t)
	f.mu.Lock()
	delete(f.talks, t)
	f.mu.Unlock()
	f.done.Done()
}

func (f *Front) mayAttach(plugin string) bool { return slices.Contains(f.config.Plugins, plugin) }

// sign puts Janus's own token and secret into a message, and takes out others.
func (f *Front) sign(message object) object {
	for name, ours := range map[string]string{"token": f.config.Token, "apisecret": f.config.APISecret} {
		if ours == "" && message.get(name) == nil {
			continue
		}
		if message = message.with(name, nil); ours != "" {
			message = message.with(name, quote(ours))
		}
	}
	return message
}
