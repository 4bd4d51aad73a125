package janus

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

var (
	errNoServer  = errors.New("no media server takes anybody just now: try again")
	errElsewhere = errors.New("the room is on a media server that this pod doesn't know: try again for another pod")
)

// patience is how long one who comes waits for a server that is away: a Janus that is
// restarted is there again soon, and its rooms needn't move.
const patience = time.Second

// settle finds the server for a talk about a room, and counts it there.
func (f *Front) settle(ctx context.Context, t *talk, room string) error {
	if len(f.servers) == 1 {
		if !f.servers[0].wait(ctx, patience) {
			return errNoServer
		}
		t.at = f.servers[0]
		t.at.add(t)
		return nil
	}
	s, err := f.find(ctx, room)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.homes[room]
	if h == nil {
		h = &home{}
		f.homes[room] = h
	}
	h.server = s // where it moved a moment ago, whoever is here already is told by moved
	h.talks++
	t.room, t.at = room, s
	s.add(t)
	return nil
}

func (f *Front) unsettle(t *talk) {
	if t.at == nil {
		return
	}
	t.at.remove(t)
	t.at = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.homes[t.room]; h != nil {
		if h.talks--; h.talks == 0 {
			delete(f.homes, t.room)
		}
	}
}

// find returns where a room is. Where that server isn't fit the room moves.
func (f *Front) find(ctx context.Context, room string) (*server, error) {
	// Where the pods have forgotten it, it is still here.
	at, err := f.config.Homes.Find(ctx, room, "", f.fitHere(room).called())
	if at == "" && err == nil { // it is nowhere: only then all pods are asked how many sockets they have
		at, err = f.config.Homes.Find(ctx, room, "", f.best(ctx, room).called())
	}
	if err != nil {
		return f.guess(room, err)
	}
	s, err := f.known(at)
	if err != nil || s.wait(ctx, patience) {
		return s, err
	}
	best := f.best(ctx, room)
	if best == nil {
		return nil, errNoServer
	}
	if at, err = f.config.Homes.Find(ctx, room, s.name, best.name); err != nil {
		return f.guess(room, err)
	}
	f.moved(room, at)
	return f.known(at)
}

func (f *Front) known(name string) (*server, error) {
	if name == "" {
		return nil, errNoServer
	}
	s := f.server(name)
	if s == nil {
		return nil, errElsewhere
	}
	return s, nil
}

// guess says where a room is while the pods can't agree: where it is here, or else
// where each pod would guess it.
func (f *Front) guess(room string, why error) (*server, error) {
	f.config.Logger.Warn("the pods can't be asked which media server a room is on", "room", room, "error", why)
	if s := f.fitHere(room); s != nil {
		return s, nil
	}
	fit := f.fit()
	if len(fit) == 0 {
		return nil, errNoServer
	}
	return slices.MaxFunc(fit, func(a, b *server) int { return weigh(room, a, b) }), nil
}

// fitHere is the server that somebody here is on for the room; nil: nobody is, or it
// isn't fit.
func (f *Front) fitHere(room string) *server {
	s := f.here(room)
	if s == nil || !s.fit() {
		return nil
	}
	return s
}

// here is the server that somebody here is on for the room; nil: nobody is.
func (f *Front) here(room string) *server {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.homes[room]; h != nil {
		return h.server
	}
	return nil
}

func (f *Front) fit() []*server {
	return slices.DeleteFunc(slices.Clone(f.servers), func(s *server) bool { return !s.fit() })
}

// best is the fit server with the fewest sockets over all pods; nil: none is fit.
func (f *Front) best(ctx context.Context, room string) *server {
	var others map[string]int
	if f.config.Others != nil {
		others = f.config.Others(ctx)
	}
	load := map[*server]int{}
	fit := f.fit()
	for _, s := range fit {
		load[s] = others[s.name] + s.status().Sockets
	}
	if len(fit) == 0 {
		return nil
	}
	return slices.MinFunc(fit, func(a, b *server) int {
		if load[a] != load[b] {
			return load[a] - load[b]
		}
		return weigh(room, b, a)
	})
}

// weigh orders two servers for a room, the same on all pods (rendezvous hashing).
func weigh(room string, a, b *server) int {
	hash := func(s *server) uint64 {
		h := fnv.New64a()
		h.Write([]byte(s.name + "\n" + room))
		return h.Sum64()
	}
	if hash(a) < hash(b) {
		return -1
	}
	return 1
}

// moved has a room be on a server: whoever is with another one comes back.
func (f *Front) moved(room, name string) {
	f.mu.Lock()
	h, to := f.homes[room], f.server(name)
	var from *server
	if h != nil && h.server != to {
		if from = h.server; to != nil {
			h.server = to
		}
	}
	f.mu.Unlock()
	for _, s := range f.servers {
		if s != to && h != nil {
			s.evacuate(func(t *talk) bool { return t.room == room }, "the room has moved to another media server: come back")
		}
	}
	if from != nil {
		f.config.Logger.Info("a room has moved", "room", room, "from", from.name, "janus", name)
	}
}

// keepHomes tells the other pods where the rooms are that somebody here is in, and
// sees which of them are elsewhere.
func (f *Front) keepHomes(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		elsewhere, err := f.config.Homes.Keep(ctx, f.roomsHere(nil))
		for room, name := range elsewhere {
			f.moved(room, name)
		}
		if err != nil && ctx.Err() == nil {
			f.config.Logger.Warn("the pods can't be told which media servers rooms are on", "error", err)
		}
	}
}

// roomsHere are the rooms that somebody here is in, and their servers; at is one of
// them, or nil for all.
func (f *Front) roomsHere(at *server) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := map[string]string{}
	for room, h := range f.homes {
		if at == nil || h.server == at {
			here[room] = h.server.name
		}
	}
	return here
}

// drain has the server take no rooms, and those that it has move one after the other;
// or has it take some again.
func (s *server) drain(wanted bool) {
	s.mu.Lock()
	already := s.drained == wanted
	s.drained = wanted
	s.mu.Unlock()
	if already {
		return
	}
	f := s.front
	f.config.Logger.Info("a media server is drained, or no longer", "janus", s.name, "drained", wanted)
	if !wanted {
		return
	}
	for room := range maps.Keys(f.roomsHere(s)) {
		time.AfterFunc(rand.N(f.config.Drain), func() { s.give(room) })
	}
}

// give moves a room that is still here to another server, if the server is still to
// be rid of it.
func (s *server) give(room string) {
	s.mu.Lock()
	drained := s.drained
	s.mu.Unlock()
	if !drained || s.front.here(room) != s {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	best := s.front.best(ctx, room)
	if best == nil {
		return // it stays
	}
	at, err := s.front.config.Homes.Find(ctx, room, s.name, best.name)
	if err != nil {
		s.front.config.Logger.Warn("a room can't move yet", "room", room, "error", err)
		time.AfterFunc(keepEvery, func() { s.give(room) })
		return
	}
	s.front.moved(room, at)
}
