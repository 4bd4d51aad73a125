package gateway

import (
	"context"
	"sync"
)

// tasks are the goroutines that the server owns beside its connections': they end
// with it.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // guards ended against spawn
	ended   bool
	running sync.WaitGroup
}

func newTasks() *tasks {
	ctx, cancel := context.WithCancel(context.Background())
	return &tasks{ctx: ctx, cancel: cancel}
}

// spawn runs f in a goroutine of its own, and says whether it does: after end it
// doesn't.
func (t *tasks) spawn(f func(context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.running.Go(func() { f(t.ctx) })
	return true
}

// spawnBrief is spawn for what takes as long as a request may.
func (t *tasks) spawnBrief(f func(context.Context)) bool {
	return t.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		f(ctx)
	})
}

// end cancels what runs, and waits for it.
func (t *tasks) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.cancel()
	t.running.Wait()
}
