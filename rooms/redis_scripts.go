package rooms

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The scripts: each is one step that happens as a whole or not at all. Those of a room
// begin with lua/room.lua.
var (
	//go:embed lua/room.lua
	roomPrelude string
	//go:embed lua/read.lua
	readSource string
	//go:embed lua/join.lua
	joinSource string
	//go:embed lua/say.lua
	saySource string
	//go:embed lua/push.lua
	pushSource string
	//go:embed lua/announce.lua
	announceSource string
	//go:embed lua/leave.lua
	leaveSource string
	//go:embed lua/take.lua
	takeSource string
	//go:embed lua/adopt.lua
	adoptSource string
	//go:embed lua/restore.lua
	restoreSource string
	//go:embed lua/reclaim.lua
	reclaimSource string
	//go:embed lua/beat.lua
	beatSource string
	//go:embed lua/enlist.lua
	enlistSource string
	//go:embed lua/pods.lua
	podsSource string
)

// A script is one that is kept by Redis under the hash of its text.
type script struct {
	name string // for metrics
	*redis.Script
}

var (
	readScript     = script{"read", redis.NewScript(roomPrelude + readSource)}
	joinScript     = script{"join", redis.NewScript(roomPrelude + joinSource)}
	sayScript      = script{"say", redis.NewScript(roomPrelude + saySource)}
	pushScript     = script{"push", redis.NewScript(roomPrelude + pushSource)}
	announceScript = script{"announce", redis.NewScript(roomPrelude + announceSource)}
	leaveScript    = script{"leave", redis.NewScript(roomPrelude + leaveSource)}
	takeScript     = script{"take", redis.NewScript(roomPrelude + takeSource)}
	adoptScript    = script{"adopt", redis.NewScript(roomPrelude + adoptSource)}
	restoreScript  = script{"restore", redis.NewScript(roomPrelude + restoreSource)}
	reclaimScript  = script{"reclaim", redis.NewScript(roomPrelude + reclaimSource)}
	beatScript     = script{"beat", redis.NewScript(beatSource)}
	enlistScript   = script{"enlist", redis.NewScript(enlistSource)}
	podsScript     = script{"pods", redis.NewScript(podsSource)}
)

// atOnce is how many of a pod's steps in rooms Redis is asked for at a time: what is more
// waits here, so that a rush of joins isn't taken for a Redis that doesn't answer. A
// client has connections for more than that, for leases and probes.
const atOnce = 48

// errBusy says that a step didn't get its turn.
var errBusy = errors.New("too many steps wait for Redis")

// turn waits for a place among those that are at once; done gives it back.
func (s *Redis) turn(ctx context.Context) (done func(), _ error) {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
}

// isRoomsOwn reports whether Redis answered that it can't do this with this room, as opposed
// to not answering, or to being out of order as a whole.
func isRoomsOwn(err error) bool {
	return redis.HasErrorPrefix(err, "WRONGTYPE") || redis.HasErrorPrefix(err, "TRYAGAIN") ||
		redis.HasErrorPrefix(err, "ERR") && strings.Contains(err.Error(), "user_script")
}

// commandTimeout is how long Redis may take for one command. It is long beside
// what a command takes, and short beside what a person notices.
const commandTimeout = time.Second

// eval runs a script. Whether it was done is not known after an error.
func (s *Redis) eval(ctx context.Context, what script, keys []string, args ...any) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return s.observed(what, func() ([]any, error) { return what.Run(ctx, s.client, keys, args...).Slice() })
}

// observed tells how long a script took, and names it in its error.
func (s *Redis) observed(what script, run func() ([]any, error)) ([]any, error) {
	began := time.Now()
	answer, err := run()
	s.observeCommand(what.name, time.Since(began), err)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what.name, err)
	}
	return answer, nil
}

// evalRoom runs a script of a room for a pod that has seen it up to a position.
func (s *Redis) evalRoom(ctx context.Context, what script, k roomKeys, epoch string, position uint64, args ...any) ([]any, error) {
	done, err := s.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.eval(ctx, what, k.keys, s.roomArgs(k, epoch, position, args)...)
}

// roomArgs are the arguments of a room's script: those that lua/room.lua takes, then its own.
func (s *Redis) roomArgs(k roomKeys, epoch string, position uint64, own []any) []any {
	c := &s.config
	all := append(make([]any, 0, 6+len(own)), k.channel, c.LogLength, c.LogAge.Milliseconds(), c.LogBytes, epoch, position)
	return append(all, own...)
}

// command runs another command of Redis with the same limit of time.
func (s *Redis) command(ctx context.Context, name string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	s.observeCommand(name, time.Since(began), err)
	return err
}

func (s *Redis) observeCommand(name string, took time.Duration, err error) {
	if s.config.Observe.Command != nil {
		s.config.Observe.Command(name, took, err)
	}
}

// word is an element of a script's answer as text.
func word(answer []any, i int) string {
	if i >= len(answer) {
		return ""
	}
	switch v := answer[i].(type) {
	case string:
		return v
	case int64:
		return fmt.Sprint(v)
	}
	return ""
}
