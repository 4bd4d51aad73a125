package rooms

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/rooms/redistest"
)

// What a member did that its pod hasn't heard of isn't undone when that writes again what it has, nor
// is it done twice: also where another pod took this one for dead meanwhile.
func TestReclaimUndoesNothing(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		t.Run(fmt.Sprint("it was adopted: ", adopted), func(t *testing.T) {
			server := redistest.Start(t)
			network := redistest.Through(server)
			client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(network.URL(), "redis://")})
			defer client.Close()
			s, err := NewRedis(t.Context(), RedisConfig{Client: client, Pod: "p"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hold, _, err := s.Join(t.Context(), "hall", Member{ID: "a", Rights: "may"}, deaf{})
			if err != nil {
				t.Fatal(err)
			}
			network.Mute()
			r := s.all()[0]
			r.mu.Lock()
			m := r.byID["a"]
			before, seq := m.Member, m.claim.seq
			r.mu.Unlock()
			if err := hold.Update(t.Context(), json.RawMessage(`"new"`)); err != nil {
				t.Fatal(err)
			}
			if err := hold.SetRights(t.Context(), "may not"); err != nil {
				t.Fatal(err)
			}
			if adopted {
				if _, err := s.evalRoom(t.Context(), adoptScript, r.keys, "", 0, s.pod.name(), "q/1", "aX."); err != nil {
					t.Fatal(err)
				}
			}
			r.mu.Lock()
			epoch, after, did := r.epoch, m.Member, m.claim.seq
			m.Member, m.claim.seq = before, seq // as if the pod hadn't heard of it when it began to write
			r.mu.Unlock()
			is, err := r.reclaim(t.Context(), epoch)
			if err != nil || is == nil || is.verdicts[0].word != "kept" {
				t.Fatalf("reclaimed %+v, %v", is, err)
			}
			if got := server.Do("HGET", r.keys.keys[1], "a"); got != body(after) {
				t.Errorf("Redis has %q, want %q", got, body(after))
			}
			if c, _, err := parseHold(server.Do("HGET", r.keys.keys[2], "a")); err != nil || c.seq != did {
				t.Errorf("Redis has that it did %d things, want %d (%v)", c.seq, did, err)
			}
		})
	}
}

// What is found to be wrong while the room is made what Redis has is put right after it.
func TestWhatSettlingFindsIsMended(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	s, err := NewRedis(t.Context(), RedisConfig{Client: client, Pod: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Join(t.Context(), "hall", Member{ID: "a"}, deaf{}); err != nil {
		t.Fatal(err)
	}
	r := s.all()[0]
	r.mu.Lock()
	defer r.mu.Unlock()
	a := *r.byID["a"]
	a.claim = claim{owner: "adopter", pod: "took this one for dead", was: a.claim.owner}
	r.settle(&state{epoch: r.epoch, position: r.position, n: r.log.last, mark: "-", told: true, full: true, members: []*member{&a}}, nil)
	if !r.stale || !r.suspect {
		t.Error("its member isn't claimed again")
	}
}
