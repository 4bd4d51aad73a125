package rooms_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
	"github.com/roompass/roompass/rooms/roomstest"
)

func dial(t testing.TB, urls string) redis.UniversalClient {
	t.Helper()
	client, err := rooms.DialRedis(context.Background(), urls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

var prefixes atomic.Int64

// conforms runs the suite, each time under keys of its own.
func conforms(t *testing.T, urls string) {
	client := dial(t, urls)
	roomstest.Run(t, func(t *testing.T, cfg rooms.Config) rooms.Rooms {
		r, err := rooms.NewRedis(t.Context(), rooms.RedisConfig{
			Config: cfg, Client: client, Pod: "pod", Prefix: fmt.Sprintf("test%d:", prefixes.Add(1)), Logger: testLogger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

func testLogger() *slog.Logger {
	if os.Getenv("VERBOSE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestRedisConforms(t *testing.T) { conforms(t, redistest.Start(t).URL()) }

func TestRedisClusterConforms(t *testing.T) { conforms(t, redistest.StartCluster(t).URLs()) }

func TestRedisSentinelConforms(t *testing.T) { conforms(t, redistest.StartSentinel(t).URL()) }
