package rooms

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// lateness is how long a command may be on its way to Redis: what a broken network has kept is
// delivered when it is mended, also after whoever sent it has closed the connection. Linux
// goes on sending for about 100 s then (tcp_orphan_retries, with the time between two doubled).
const lateness = 2 * time.Minute

// eval runs a script on the room. Where Redis doesn't answer that may still be done, when nobody
// here wants it any more: somebody joins who has left, and nobody would ever take that member
// out. So the room stays open until it can't happen any more: the pod hears of it, and puts
// it right.
func (r *replica) eval(ctx context.Context, what script, epoch string, position uint64, args ...any) ([]any, error) {
	answer, err := r.ask(ctx, what, epoch, position, args...)
	var refused redis.Error
	if err != nil && !errors.Is(err, errBusy) && !errors.As(err, &refused) {
		r.store.watch(r)
	}
	return answer, err
}

// ask runs a script: what is said goes together with what else is.
func (r *replica) ask(ctx context.Context, what script, epoch string, position uint64, args ...any) ([]any, error) {
	h := r.shard.Load()
	if h == nil || what != sayScript {
		return r.store.evalRoom(ctx, what, r.keys, epoch, position, args...)
	}
	return r.store.observed(what, func() ([]any, error) {
		return h.sayings.say(ctx, r.keys.keys, r.store.roomArgs(r.keys, epoch, position, args))
	})
}

// watch keeps a room open for as long as what was sent to Redis may be late.
func (s *Redis) watch(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || r.closing {
		return
	}
	again := !r.watched.IsZero()
	r.watched = time.Now().Add(lateness)
	if again {
		return
	}
	r.users++
	s.spawn(func() {
		for wait := lateness; wait > 0; {
			if !s.sleep(wait) {
				return
			}
			s.mu.Lock()
			if wait = time.Until(r.watched); wait <= 0 {
				r.watched = time.Time{}
			}
			s.mu.Unlock()
		}
		s.exit(r)
	})
}
