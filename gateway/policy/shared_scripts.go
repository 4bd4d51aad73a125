package policy

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// The scripts: each is one step that happens as a whole or not at all.
var (
	//go:embed lua/put.lua
	putSource string
	//go:embed lua/read.lua
	readSource string

	putScript  = redis.NewScript(putSource)
	readScript = redis.NewScript(readSource)
)

const (
	// commandTimeout is how long Redis may take for one script.
	commandTimeout = time.Second
	// setTimeout is how long a decision may wait for Redis, its turn included.
	setTimeout = 2 * time.Second
	// atOnce is how many scripts a pod has going: a rush of decisions waits here, so that it
	// isn't taken for a Redis that doesn't answer.
	atOnce = 16
	// pageOf is how many rules are read at a time, and putOf how many are put again.
	pageOf, putOf = 1000, 100
	// keptOver is how long Redis keeps what is over, so that no clock has to be exact.
	keptOver = time.Minute
	// keptChains is how far back Redis can tell whether a pod has seen the same.
	keptChains = 1000
)

// eval runs a script. Whether it was done is not known after an error.
func (s *Shared) eval(ctx context.Context, script *redis.Script, args ...any) ([]string, error) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("too much waits for Redis: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return script.Run(ctx, s.config.Client, s.keys.keys, args...).StringSlice()
}

// put has entries count in Redis. Those without Set are new decisions, and get a time that is
// none before leasts; for them it is too late when ctx ends, also where they are on their way.
func (s *Shared) put(ctx context.Context, entries []entry, leasts []time.Time) (step, error) {
	ctx, cancel := context.WithTimeout(ctx, setTimeout)
	defer cancel()
	late := int64(0)
	if end, ok := ctx.Deadline(); ok && leasts != nil {
		late = s.redisNow().Add(time.Until(end)).UnixMilli()
	}
	args := []any{s.keys.channel, rand.Text(), late, keptOver.Milliseconds(), keptChains}
	for i, e := range entries {
		rest, err := e.rest()
		if err != nil {
			return step{}, err
		}
		set, least := int64(0), int64(0)
		if !e.Set.IsZero() {
			set = e.Set.UnixMilli()
		} else if !leasts[i].IsZero() {
			least = leasts[i].UnixMilli()
		}
		args = append(args, e.ID(), set, least, e.Until.UnixMilli(), e.keep.UnixMilli(), strconv.FormatBool(e.Value), rest)
	}
	answer, err := s.eval(ctx, putScript, args...)
	if err != nil {
		return step{}, fmt.Errorf("put: %w", err)
	}
	return parseStep(answer)
}
