package rooms

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

type deaf struct{}

func (deaf) Deliver(*Entry) {}
func (deaf) Detached(error) {}

// TestNothingIsKeptForever has rooms and members come and go, and looks at what
// is still in memory when all limits have passed.
func TestNothingIsKeptForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory(Config{LogAge: time.Minute, RemovedFor: time.Hour})
		defer s.Close()
		ctx := context.Background()
		for i := range 100 {
			room := fmt.Sprint("room ", i)
			for _, id := range []string{"leaves", "drops", "is kicked"} {
				m, _, err := s.Join(ctx, room, Member{ID: id}, deaf{})
				if err == nil {
					switch id {
					case "leaves":
						err = m.Leave(ctx)
					case "drops":
						err = m.Suspend(ctx)
					default:
						err = s.Remove(ctx, room, id, ReasonKicked)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		_, _, err := s.Join(ctx, "stays", Member{ID: "a"}, deaf{})
		if err != nil {
			t.Fatal(err)
		}
		if n := remembered(s); n != 100 {
			t.Fatalf("%d removed members are remembered, want 100", n)
		}

		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for r := range s.all {
			if r.name != "stays" {
				t.Errorf("%q is still there", r.name)
			}
			r.mu.Lock()
			if r.log.kept != 0 {
				t.Errorf("the log of %q still has %d entries", r.name, r.log.kept)
			}
			r.mu.Unlock()
		}
		if n := remembered(s); n != 0 {
			t.Errorf("%d removed members are still remembered", n)
		}
		s.lingering.mu.Lock()
		defer s.lingering.mu.Unlock()
		if n := len(s.lingering.queue); n != 0 {
			t.Errorf("%d members still linger", n)
		}
	})
}

func remembered(s *Memory) int {
	s.removed.mu.Lock()
	defer s.removed.mu.Unlock()
	return len(s.removed.until)
}
