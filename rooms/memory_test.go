package rooms_test

import (
	"testing"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/roomstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryConforms(t *testing.T) {
	roomstest.Run(t, func(_ *testing.T, cfg rooms.Config) rooms.Rooms {
		return rooms.NewMemory(cfg)
	})
}
