package janus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// States of a server, as this pod sees it.
const (
	StateUnknown  = "unknown"  // nobody has asked it yet
	StateReady    = "ready"    // it lets in whom it should, and nobody else
	StateDraining = "draining" // an operator has its rooms move
	StateUnfit    = "unfit"    // it must not be used: see why
	StateDown     = "down"     // it can't be reached
)

// A server is one Janus. All its fields below mu are as this pod sees it.
type server struct {
	name    string // its host and port: what the pods call it among them
	address string
	front   *Front

	mu      sync.Mutex
	state   string // never StateDraining: that is drained
	why     string // it isn't ready
	keyID   string // of the key that its plugin has
	control *control
	drained bool
	wasFit  bool
	talks   map[*talk]struct{}
	changed chan struct{} // closed, and replaced, when state changes
}

// Status is how one server is.
type Status struct {
	Server  string `json:"server"`
	State   string `json:"state"`
	Why     string `json:"why,omitempty"` // it isn't ready
	Key     string `json:"key,omitempty"` // that its plugin has, by its id
	Sockets int    `json:"sockets"`       // of browsers to it, by this pod
}

func newServer(f *Front, address string) (*server, error) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.Scheme != "ws" && at.Scheme != "wss" {
		return nil, errors.New("a Janus server is given as ws://HOST:PORT or wss://HOST:PORT")
	}
	if at.User != nil || at.RawQuery != "" {
		return nil, errors.New("the address of a Janus server has no credential in it, and no query")
	}
	return &server{
		name: at.Host, address: address, front: f, state: StateUnknown, why: "it wasn't asked yet",
		talks: map[*talk]struct{}{}, changed: make(chan struct{}),
	}, nil
}

func (s *server) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.address, &websocket.DialOptions{
		Subprotocols: []string{Subprotocol}, CompressionMode: websocket.CompressionDisabled, HTTPClient: s.front.config.Client,
	})
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != Subprotocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("it doesn't speak %s", Subprotocol)
	}
	ws.SetReadLimit(s.front.config.MessageBytes)
	return ws, nil
}

// How long a server that isn't fit is left alone: not for long while somebody who comes
// may wait for it, and then twice as long each time.
const (
	firstRetry   = 100 * time.Millisecond
	soonRetries  = int(2 * patience / firstRetry)
	longestRetry = 5 * time.Second
)

// watch knows how the server is, until ctx ends.
func (s *server) watch(ctx context.Context) {
	wait := firstRetry
	for tries := 0; ctx.Err() == nil; tries++ {
		c, keyID, err := s.open(ctx)
		if err == nil {
			tries, wait = 0, firstRetry
			s.is(StateReady, "", keyID, c)
			c.hold(ctx, keyID)
			c.close()
			err = errors.New("it hung up, or answers no more")
		}
		if ctx.Err() != nil {
			break
		}
		var unfit unfitError
		if errors.As(err, &unfit) {
			s.is(StateUnfit, err.Error(), "", nil)
		} else {
			s.is(StateDown, err.Error(), "", nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		if tries > soonRetries {
			wait = min(2*wait, longestRetry)
		}
	}
	s.is(StateUnknown, "this pod ends", "", nil)
}

// is notes how the server is. Where it may not be used any more, whoever is there
// has to go: what they have with it is gone, or isn't safe.
func (s *server) is(state, why, keyID string, c *control) {
	s.mu.Lock()
	before, was := s.state, s.why
	s.state, s.why, s.keyID, s.control = state, why, keyID, c
	s.wasFit = s.wasFit || state == StateReady
	if before != state {
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.mu.Unlock()
	if before == state && was == why {
		return
	}
	log := s.front.config.Logger.With("janus", s.name)
	switch state {
	case StateReady:
		log.Info("Janus is ready", "key", keyID)
	case StateDown:
		log.Warn("Janus can't be reached", "error", why)
	case StateUnfit:
		log.Error("Janus must not be used as it is", "error", why)
	}
	if before == StateReady && state != StateReady {
		s.evacuate(nil, "the media server is gone: come back")
	}
}

// evacuate has those talks that concern somebody end with 1012, some after the
// others; which is nil for all.
func (s *server) evacuate(which func(*talk) bool, why string) {
	s.mu.Lock()
	var going []*talk
	for t := range s.talks {
		if which == nil || which(t) {
			going = append(going, t)
		}
	}
	s.mu.Unlock()
	// Each makes a WebSocket, a session and a few handles when it comes back.
	over := time.Duration(len(going)) * time.Second / evacuatedPerSecond
	for _, t := range going {
		if over < time.Second/10 {
			t.close(websocket.StatusServiceRestart, why)
			continue
		}
		time.AfterFunc(rand.N(over), func() { t.close(websocket.StatusServiceRestart, why) })
	}
}

// evacuatedPerSecond is how many talks of a pod end in a second, where all have to.
const evacuatedPerSecond = 500

// fit says whether rooms may be on the server.
func (s *server) fit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateReady && !s.drained
}

// wait returns whether the server gets fit within d.
func (s *server) wait(ctx context.Context, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	for {
		s.mu.Lock()
		fit, changed := s.state == StateReady && !s.drained, s.changed
		hopeless := s.drained || s.state == StateUnfit
		s.mu.Unlock()
		if fit || hopeless {
			return fit
		}
		select {
		case <-changed:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// called is the server's name; "" where there is none.
func (s *server) called() string {
	if s == nil {
		return ""
	}
	return s.name
}

// keepsFromReady says why the pod should take no clients because of the server; some
// other one is ready, or none.
func (s *server) keepsFromReady(some bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wasFit || some && s.state == StateDown {
		return nil
	}
	return fmt.Errorf("the Janus at %s: %s", s.name, s.why)
}

func (s *server) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := Status{Server: s.name, State: s.state, Why: s.why, Key: s.keyID, Sockets: len(s.talks)}
	if s.drained && s.state == StateReady {
		is.State, is.Why = StateDraining, "an operator wants its rooms elsewhere"
	}
	return is
}

// key is the one that the server's plugin has; "" is none.
func (s *server) key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keyID
}

// kick puts somebody out there, in vain where it can't be asked.
func (s *server) kick(ctx context.Context, room, userID string) {
	s.mu.Lock()
	c, keyID := s.control, s.keyID
	s.mu.Unlock()
	if c == nil || c.handle == 0 {
		return
	}
	if err := c.kick(ctx, keyID, room, userID); err != nil {
		s.front.config.Logger.Warn("Janus wasn't told of a kick", "janus", s.name, "room", room, "error", err)
	}
}

// add and remove a talk.
func (s *server) add(t *talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talks[t] = struct{}{}
}

func (s *server) remove(t *talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.talks, t)
}
