package load

import (
	"context"
	"sync"
	"time"
)

// A watch is what the progress is told of.
type watch struct {
	phase string
	total int
	since time.Time
}

// phase says what the run does from now on.
func (r *run) phase(name string, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = watch{name, total, time.Now()}
}

// look has config's Progress be called, and counts who is in, until stop is called.
func (r *run) look(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			r.now().Connected.Store(r.in.Load())
			r.mu.Lock()
			is := r.watch
			r.mu.Unlock()
			if r.Progress == nil || is.phase == "" {
				continue
			}
			p := Progress{Phase: is.phase, Done: int(r.in.Load()), Total: is.total, Received: r.received.Load(), Lapses: r.lapses.Load()}
			if is.phase == "run" {
				p.Done = min(int(time.Since(is.since).Seconds()), is.total)
			}
			r.Progress(p)
		}
	})
	return func() { cancel(); looking.Wait() }
}
