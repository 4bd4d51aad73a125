package rooms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/roompass/roompass/rooms"
)

// counter is the cheapest follower.
type counter struct{ n int }

func (c *counter) Deliver(*rooms.Entry) { c.n++ }
func (c *counter) Detached(error)       {}

func fill(b *testing.B, r rooms.Rooms, members int) (rooms.Membership, *counter) {
	b.Helper()
	var talker rooms.Membership
	all := new(counter)
	for i := range members + 1 {
		m, _, err := r.Join(b.Context(), "lobby", rooms.Member{ID: fmt.Sprint(i)}, all)
		must(b, err)
		talker = m
	}
	all.n = 0
	return talker, all
}

// BenchmarkFanOut signals to all members of a room. What it allocates is the
// entry and the copy of its data, however many the members are.
func BenchmarkFanOut(b *testing.B) {
	said := json.RawMessage(`{"type":"candidate","candidate":"udp 192.0.2.1 50000 typ host"}`)
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			r := rooms.NewMemory(rooms.Config{})
			defer r.Close()
			talker, heard := fill(b, r, members)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				must(b, talker.Signal(ctx, "", said))
			}
			b.StopTimer()
			if heard.n != b.N*members {
				b.Fatalf("%d deliveries of %d signals to %d members", heard.n, b.N, members)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(heard.n), "ns/delivery")
		})
	}
}

// BenchmarkJoinLeave has one more member come and go.
func BenchmarkJoinLeave(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			r := rooms.NewMemory(rooms.Config{})
			defer r.Close()
			fill(b, r, members)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				m, _, err := r.Join(ctx, "lobby", rooms.Member{ID: "guest"}, new(counter))
				must(b, err)
				must(b, m.Leave(ctx))
			}
		})
	}
}

// TestFanOutAllocatesNothingForAMember compares a room of ten with one of a
// thousand: an allocation for each member would show.
func TestFanOutAllocatesNothingForAMember(t *testing.T) {
	allocations := func(members int) float64 {
		r := rooms.NewMemory(rooms.Config{LogLength: 8})
		defer r.Close()
		var talker rooms.Membership
		for i := range members {
			m, _, err := r.Join(t.Context(), "lobby", rooms.Member{ID: fmt.Sprint(i)}, new(counter))
			must(t, err)
			talker = m
		}
		ctx := context.Background()
		return testing.AllocsPerRun(100, func() { must(t, talker.Signal(ctx, "", json.RawMessage(`1`))) })
	}
	if few, many := allocations(10), allocations(1000); many >= few+10 {
		t.Errorf("a signal to 10 members takes %v allocations, to 1000 %v", few, many)
	}
}
