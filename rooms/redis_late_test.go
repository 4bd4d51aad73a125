package rooms

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/rooms/redistest"
)

// late starts a pod, and returns how Redis does a join of its that was sent, and given up, long
// ago: networks deliver what waited in them when they are mended, to connections that are closed.
func late(t *testing.T) (server *redistest.Server, s *Redis, joins func(id string)) {
	t.Helper()
	server = redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	s, err := NewRedis(t.Context(), RedisConfig{Client: client, Pod: "p"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return server, s, func(id string) {
		t.Helper()
		answer, err := s.evalRoom(t.Context(), joinScript, s.keysOf("hall"), "", 0,
			id, "owner-"+id, s.pod.name(), body(Member{ID: id}), 0, "EPOCH")
		if err != nil || word(answer, 0) != "ok" {
			t.Fatalf("the late join: %v, %v", answer, err)
		}
	}
}

func inHall(server *redistest.Server) string {
	return server.Do("HKEYS", newRoomKeys("roompass:", "hall", 0).holds())
}

// Who isn't there and whom Redis thinks this pod to have is found when it opens the room.
func TestLateJoinIsFoundByWhoOpensTheRoom(t *testing.T) {
	t.Parallel()
	server, s, joins := late(t)
	joins("ghost")
	if _, _, err := s.Join(t.Context(), "hall", Member{ID: "a"}, deaf{}); err != nil {
		t.Fatal(err)
	}
	server.Eventually("the ghost is gone", func() bool { return inHall(server) == "[a]" })
}

// Whoever came and left in an outage doesn't haunt the room when what it sent in vain comes in
// afterwards, though nobody on its pod is in the room any more.
func TestLateJoinAfterAnOutage(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"was given up", "came and left"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server, s, joins := late(t)
			hold, _, err := s.Join(t.Context(), "hall", Member{ID: "a"}, deaf{})
			if err != nil {
				t.Fatal(err)
			}
			server.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if how == "was given up" {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			defer cancel()
			if ghost, _, err := s.Join(ctx, "hall", Member{ID: "ghost"}, deaf{}); err == nil {
				if err := ghost.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if how != "was given up" {
				t.Fatal(err)
			}
			server.Thaw()
			server.Eventually("it is over", func() bool { return s.Outage() == 0 })
			r := s.all()[0]
			server.Eventually("the room is put right", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.fork == nil && !r.stale
			})
			if err := hold.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			server.Eventually("nobody is there", func() bool { return inHall(server) == "[]" })
			time.Sleep(300 * time.Millisecond) // long enough for the room to be closed here
			joins("ghost")
			server.Eventually("the ghost is gone", func() bool { return inHall(server) == "[]" })
		})
	}
}

// Whoever comes with the cursor of a fork waits until it is known what of the log they have seen.
func TestResumeWaitsForTheFork(t *testing.T) {
	for _, written := range []bool{true, false} {
		_, s, _ := late(t)
		ear, mouth := Member{ID: "ear", User: "u", Session: "s"}, Member{ID: "mouth", User: "v", Session: "t"}
		if _, _, err := s.Join(t.Context(), "hall", ear, deaf{}); err != nil {
			t.Fatal(err)
		}
		membership, joined, err := s.Join(t.Context(), "hall", mouth, deaf{})
		if err != nil {
			t.Fatal(err)
		}
		if err := membership.Signal(t.Context(), "", nil); err != nil {
			t.Fatal(err)
		}
		const fork = "apart"
		since := Cursor{Epoch: joined.Cursor.Epoch + "_" + strconv.FormatUint(joined.Cursor.N, 36) + "_" + fork, N: 1}
		if written {
			owner := membership.(*hold).key
			time.AfterFunc(200*time.Millisecond, func() {
				_, err := s.rooms["hall"].eval(t.Context(), pushScript, "", 0, fork,
					"A", "mouth", owner, 1, aliasPayload(owner, 1, fork, 1), "W", "", "", 0, wholePayload(fork, 1))
				if err != nil {
					t.Error(err)
				}
			})
		}
		_, back, err := s.Resume(t.Context(), "hall", ear, since, deaf{})
		if err != nil || back.Gap == written || len(back.Missed) != 0 {
			t.Errorf("written %v: gap %v, %d missed, %v", written, back.Gap, len(back.Missed), err)
		}
	}
}

// What comes too soon is waited for also where it comes just as the room was mended.
func TestAheadWhileMendingEnds(t *testing.T) {
	t.Parallel()
	_, s, _ := late(t)
	if _, _, err := s.Join(t.Context(), "hall", Member{ID: "a"}, deaf{}); err != nil {
		t.Fatal(err)
	}
	r := s.rooms["hall"]
	r.mu.Lock()
	r.mending = true // it was settled, and isn't noted as mended yet
	epoch, position := r.epoch, r.position
	r.mu.Unlock()
	r.accept(change{epoch: epoch, position: position + 2, n: position + 2, kind: 'S', from: "b"})
	if !s.wantsMending(r) {
		t.Error("nobody looks for what came before")
	}
}

// A pod that knows less than this one, since Redis has lost what it was told last, may give somebody
// up who is here.
func TestWhoIsHereIsNotGivenUp(t *testing.T) {
	t.Parallel()
	server, s, _ := late(t)
	var heard leavings
	if _, _, err := s.Join(t.Context(), "hall", Member{ID: "a"}, &heard); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		answer, err := s.evalRoom(t.Context(), leaveScript, s.keysOf("hall"), "", 0, "a", "", givenUp, 0)
		if err != nil || word(answer, 0) != "ok" {
			t.Fatalf("the leaving: %v, %v", answer, err)
		}
		server.Eventually("it is written again", func() bool { return inHall(server) == "[a]" })
	}
	if n := heard.n.Load(); n > 0 {
		t.Errorf("it was told %d times that it is out", n)
	}
}

// leavings counts those that a follower hears of.
type leavings struct {
	deaf
	n atomic.Int32
}

func (l *leavings) Deliver(e *Entry) {
	if e.Kind == KindLeft {
		l.n.Add(1)
	}
}
