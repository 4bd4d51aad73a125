package gateway

import (
	"context"
	"math/rand/v2"
	"time"
)

// drainSpread is the part of the drain window over which clients are asked to
// move: the rest is for those who are slow.
const drainSpread = 0.7

// isDraining says whether the pod takes no new sockets and gives away those that
// it has: for good, or until an operator changes their mind.
func (s *Server) isDraining() bool { return s.leaving.Load() || s.drained.Load() }

// Drain takes no new sockets, tells every client to open its next one at a time
// of its own within the window, and closes with [CloseRestart] whoever is left
// at the end. Tokens go on being pushed. It returns when the last has gone, or
// when ctx ends, which cuts the window short.
func (s *Server) Drain(ctx context.Context, window time.Duration) {
	s.leaving.Store(true)
	s.giveAway(ctx, window)
	s.closeAll()
}

// obeyDrain drains the pod because an operator wants it, or has it take clients
// again. The process goes on, and so does who couldn't be reached in the meantime.
// It is for obey alone, which is called once at a time.
func (s *Server) obeyDrain(wanted bool) {
	if s.drained.Swap(wanted) == wanted {
		return
	}
	if !wanted {
		s.log.Info("no longer draining: clients are taken again")
		s.undrain()
		return
	}
	ctx, cancel := context.WithCancel(s.tasks.ctx)
	s.undrain = cancel
	s.tasks.spawn(func(context.Context) {
		defer cancel()
		s.giveAway(ctx, s.window)
		if ctx.Err() == nil {
			s.hangUp()
		}
	})
}

// giveAway asks every client to move, and returns when the last has gone, the
// window is over, or ctx ends.
func (s *Server) giveAway(ctx context.Context, window time.Duration) {
	for _, c := range s.conns.all() {
		wait := time.Duration(rand.Float64() * drainSpread * float64(window))
		c.send(encode(drainingEvent{"draining", wait.Milliseconds()}))
	}
	s.log.Info("draining", "connections", s.conns.len(), "window", window)
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	s.waitEmpty(ctx)
}

// hangUp closes the connections that there are with CloseRestart, and those that
// don't hang up themselves with less ceremony.
func (s *Server) hangUp() {
	all := s.conns.all()
	for _, c := range all {
		c.close(CloseRestart, "the pod is going away: resume elsewhere")
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.waitEmpty(ctx)
	for _, c := range all {
		c.abort()
	}
}

// closeAll closes every connection, those that came in at the last moment
// included, and waits for what serves them.
func (s *Server) closeAll() {
	s.hangUp()
	for _, c := range s.conns.all() {
		c.abort()
	}
	if s.janus != nil {
		s.janus.Close()
	}
	s.running.Wait()
}

// waitEmpty returns when there are no connections any more, or ctx ends.
func (s *Server) waitEmpty(ctx context.Context) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for s.conns.len() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}
