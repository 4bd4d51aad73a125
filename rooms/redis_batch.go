package rooms

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A batcher has Redis run what is said in the rooms of one node. The first comes at once; what comes
// while that is on its way goes together, in one write. So nobody waits for company, and the
// more is said, the less each costs.
type batcher struct {
	store *Redis

	mu      sync.Mutex
	waiting []*saying
	flying  int // batches that are with Redis
}

// A saying is a say script that waits for its answer.
type saying struct {
	keys   []string
	args   []any
	answer *redis.Cmd
	done   chan struct{} // closed when there is an answer, or won't be
}

const (
	mostFlying  = 2
	mostSayings = 64 // in a batch, so that its first doesn't wait long for its last
)

// say has the script run. Whether it was done is not known after an error.
func (b *batcher) say(ctx context.Context, keys []string, args []any) ([]any, error) {
	it := &saying{keys: keys, args: args, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, it)
	flies := b.flying < mostFlying
	if flies {
		b.flying++
	}
	b.mu.Unlock()
	if flies && (!hasPatience(ctx) || b.flight()) {
		b.store.spawn(b.fly)
	}
	select {
	case <-it.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.store.stop:
		return nil, ErrClosed
	}
	answer, err := it.answer.Slice()
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // it isn't known there yet, and wasn't run
		return sayScript.Run(ctx, b.store.client, keys, args...).Slice()
	}
	return answer, err
}

// hasPatience reports whether a call's time is longer than Redis may take.
func hasPatience(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) >= commandTimeout
}

// fly sends batches until nothing waits.
func (b *batcher) fly() {
	for b.flight() {
	}
}

// flight sends a batch, and reports whether there is more.
func (b *batcher) flight() (more bool) {
	b.mu.Lock()
	n := min(len(b.waiting), mostSayings)
	batch := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	pipe := b.store.client.Pipeline()
	for _, it := range batch {
		it.answer = sayScript.EvalSha(ctx, pipe, it.keys, it.args...)
	}
	_, err := pipe.Exec(ctx) // the first error; each has its own
	for _, it := range batch {
		close(it.done)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) { // nothing comes from there: the others needn't wait for it, too
		for _, it := range b.waiting {
			it.answer = redis.NewCmd(ctx)
			it.answer.SetErr(err)
			close(it.done)
		}
		b.waiting = nil
	}
	if len(b.waiting) == 0 {
		b.flying--
		return false
	}
	return true
}
