package janus

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/roompass/roompass/rooms/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, server *redistest.Server) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return redis.NewClient(options)
}

// find has homes find a room's server, and compares.
func find(t *testing.T, h Homes, room, leaving, to, want string) {
	t.Helper()
	if got, err := h.Find(t.Context(), room, leaving, to); err != nil || got != want {
		t.Errorf("%s, leaving %q, to %q: %q, %v, want %q", room, leaving, to, got, err, want)
	}
}

func TestARoomHasOneHome(t *testing.T) {
	server := redistest.Start(t)
	client := dial(t, server)
	defer client.Close()
	for name, h := range map[string]Homes{"of one pod": &ownHomes{at: map[string]ownHome{}}, "over Redis": NewRedisHomes(client, "roompass:test:")} {
		t.Run(name, func(t *testing.T) {
			find(t, h, "r", "", "", "")
			find(t, h, "r", "", "a:1", "a:1")
			find(t, h, "r", "", "b:1", "a:1")
			find(t, h, "r", "b:1", "c:1", "a:1") // somebody else was first
			find(t, h, "r", "a:1", "", "a:1")    // there is nowhere to go
			find(t, h, "r", "a:1", "b:1", "b:1")
			find(t, h, "{r}\nx", "", "c:1", "c:1")
			elsewhere, err := h.Keep(t.Context(), map[string]string{"r": "a:1", "{r}\nx": "c:1", "s": "a:1"})
			if err != nil || len(elsewhere) != 1 || elsewhere["r"] != "b:1" {
				t.Errorf("elsewhere are %v, %v", elsewhere, err)
			}
			find(t, h, "s", "", "b:1", "a:1")
		})
	}
}

func TestPodsHearOfRoomsThatMove(t *testing.T) {
	server := redistest.Start(t)
	client := dial(t, server)
	defer client.Close()
	ours, theirs := NewRedisHomes(client, "roompass:test:"), NewRedisHomes(client, "roompass:test:")
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string, 10), make(chan struct{})
	go func() {
		defer close(done)
		theirs.Follow(ctx, func(room, server string) { heard <- room + " to " + server })
	}()
	server.Eventually("it listens", func() bool {
		return server.Do("PUBSUB", "NUMSUB", "roompass:test:janus") == "[roompass:test:janus 1]"
	})
	find(t, ours, "a\nb", "", "x:1", "x:1")
	find(t, ours, "a\nb", "x:1", "y:1", "y:1")
	for _, want := range []string{"a\nb to x:1", "a\nb to y:1"} {
		if got := <-heard; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}

	// Redis loses it all: who has the room puts it again.
	server.Do("FLUSHALL")
	if elsewhere, err := theirs.Keep(ctx, map[string]string{"a\nb": "y:1"}); err != nil || len(elsewhere) != 0 {
		t.Errorf("%v, %v", elsewhere, err)
	}
	find(t, ours, "a\nb", "", "x:1", "y:1")
	cancel()
	<-done
}

func TestAHomeIsForgottenThatNobodyKeeps(t *testing.T) {
	server := redistest.Start(t)
	client := dial(t, server)
	defer client.Close()
	find(t, NewRedisHomes(client, "roompass:test:"), "r", "", "a:1", "a:1")
	if left := client.PTTL(t.Context(), "roompass:test:janus:r").Val(); left <= 0 || left > homeLasts {
		t.Errorf("it lasts for %v, and not for %v", left, time.Minute)
	}
}
