package gateway

import (
	"context"
	"math/rand/v2"
	"time"
)

// drainSpread is the part of the drain window over which clients are asked to
// move: the rest is for those who are slow.
const drainSpread = 0.7

// Drain takes no new sockets, tells every client to open its next one at a time
// of its own within the window, and closes with [CloseRestart] whoever is left
// at the end. Tokens go on being pushed. It returns when the last has gone, or
// when ctx ends, which cuts the window short.
func (s *Server) Drain(ctx context.Context, window time.Duration) {
	s.draining.Store(true)
	for _, c := range s.conns.all() {
		wait := time.Duration(rand.Float64() * drainSpread * float64(window))
		c.send(encode(drainingEvent{"draining", wait.Milliseconds()}))
	}
	s.log.Info("draining", "connections", s.conns.len(), "window", window)
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	s.waitEmpty(ctx)
	s.closeAll()
}

// closeAll closes every connection with CloseRestart, and those that don't hang
// up with less ceremony.
func (s *Server) closeAll() {
	for _, c := range s.conns.all() {
		c.close(CloseRestart, "the pod is going away: resume elsewhere")
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.waitEmpty(ctx)
	for _, c := range s.conns.all() {
		c.abort()
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
