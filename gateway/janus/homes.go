package janus

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Homes say which server each room is on, to all pods alike: those who are on
// different ones can't hear each other.
type Homes interface {
	// Find returns the server that a room is on. Where that is none, or leaving, the room
	// is on to from then on; where to is "" too, it stays as it is.
	Find(ctx context.Context, room, leaving, to string) (string, error)

	// Keep says of rooms that they are in use, and where this pod has them. It returns
	// those that are elsewhere. What nobody keeps is forgotten.
	Keep(ctx context.Context, rooms map[string]string) (elsewhere map[string]string, _ error)

	// Follow has moved called with each room that goes to another server, from a goroutine
	// of its own, until ctx ends. Some may be missed: Keep finds them.
	Follow(ctx context.Context, moved func(room, server string))
}

// ownHomes are those of a pod that there are no others beside.
type ownHomes struct {
	mu sync.Mutex
	at map[string]ownHome
}

type ownHome struct {
	server string
	until  time.Time
}

// Find implements [Homes].
func (h *ownHomes) Find(_ context.Context, room, leaving, to string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	is, ok := h.at[room]
	if ok = ok && now.Before(is.until); to != "" && (!ok || is.server == leaving) {
		is.server, ok = to, true
	}
	if !ok {
		return "", nil
	}
	h.at[room] = ownHome{is.server, now.Add(homeLasts)}
	return is.server, nil
}

// Keep implements [Homes].
func (h *ownHomes) Keep(ctx context.Context, rooms map[string]string) (map[string]string, error) {
	elsewhere := map[string]string{}
	for room, server := range rooms {
		if at, _ := h.Find(ctx, room, "", server); at != server {
			elsewhere[room] = at
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.at, func(_ string, is ownHome) bool { return !time.Now().Before(is.until) })
	return elsewhere, nil
}

// Follow implements [Homes].
func (h *ownHomes) Follow(ctx context.Context, _ func(room, server string)) { <-ctx.Done() }

// RedisHomes are the homes that many pods share: a key for each room in use.
type RedisHomes struct {
	client redis.UniversalClient
	prefix string
}

// NewRedisHomes makes homes. prefix is what all keys and the channel begin with. The
// client isn't closed.
func NewRedisHomes(client redis.UniversalClient, prefix string) *RedisHomes {
	return &RedisHomes{client, prefix + "janus"}
}

const (
	keepEvery = 10 * time.Second
	// A room's home outlasts those who come back after their sockets were cut.
	homeLasts = time.Minute
)

// KEYS: the room's. ARGV: leaving, to, how long it lasts in ms, the channel, the room.
var findHome = redis.NewScript(`
local at = redis.call('GET', KEYS[1])
local moves = at and at == ARGV[1]
if ARGV[2] ~= '' and (moves or not at) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[2] .. '\n' .. ARGV[5])
  return ARGV[2]
end
if at then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return at or ''
`)

func (h *RedisHomes) arguments(room, leaving, to string) (keys []string, args []any) {
	return []string{h.prefix + ":" + room}, []any{leaving, to, homeLasts.Milliseconds(), h.prefix, room}
}

// Find implements [Homes].
func (h *RedisHomes) Find(ctx context.Context, room, leaving, to string) (string, error) {
	keys, args := h.arguments(room, leaving, to)
	return findHome.Run(ctx, h.client, keys, args...).Text()
}

// Keep implements [Homes].
func (h *RedisHomes) Keep(ctx context.Context, rooms map[string]string) (map[string]string, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	answers := map[string]*redis.Cmd{}
	_, err := h.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for room, server := range rooms {
			keys, args := h.arguments(room, "", server)
			answers[room] = findHome.Eval(ctx, p, keys, args...)
		}
		return nil
	})
	elsewhere := map[string]string{}
	for room, is := range answers {
		at, e := is.Text()
		if e != nil {
			err = errors.Join(err, e)
		} else if at != rooms[room] {
			elsewhere[room] = at
		}
	}
	return elsewhere, err
}

// Follow implements [Homes].
func (h *RedisHomes) Follow(ctx context.Context, moved func(room, server string)) {
	heard := h.client.Subscribe(ctx, h.prefix)
	defer heard.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-heard.Channel():
			if !ok {
				return
			}
			if server, room, ok := strings.Cut(m.Payload, "\n"); ok {
				moved(room, server)
			}
		}
	}
}
