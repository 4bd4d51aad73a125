package rooms_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/roomstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // of Redis that is broken on purpose
	goleak.VerifyTestMain(m)
}

func TestMemoryConforms(t *testing.T) {
	roomstest.Run(t, func(_ *testing.T, cfg rooms.Config) rooms.Rooms {
		return rooms.NewMemory(cfg)
	})
}
