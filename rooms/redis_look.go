package rooms

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Snapshot implements [Rooms]. A room in which this pod has nobody is read from Redis.
func (s *Redis) Snapshot(ctx context.Context, name string) (Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return Snapshot{}, err
	}
	fail := func(err error) (Snapshot, error) { return Snapshot{}, fmt.Errorf("snapshot of %q: %w", name, err) }
	r, err := s.peek(ctx, name)
	if err != nil {
		return fail(err)
	}
	if r != nil {
		defer s.exit(r)
		r.mu.Lock()
		if len(r.byID) > 0 {
			defer r.mu.Unlock()
			return r.snapshotNow(), nil
		}
		r.mu.Unlock()
	}
	answer, err := s.evalRoom(ctx, readScript, s.keysOf(name), "", 0, "all", 0, 0)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrUnavailable, err))
	}
	st, err := parseState(answer)
	if err != nil {
		return fail(err)
	}
	if len(st.members) == 0 {
		return fail(ErrNoRoom)
	}
	is := Snapshot{Room: name, Cursor: Cursor{Epoch: st.epoch, N: st.n}}
	for _, m := range st.members {
		is.Members = append(is.Members, m.Member)
	}
	return is, nil
}

// List implements [Rooms]. While Redis is out of reach it has the rooms of this pod.
func (s *Redis) List(ctx context.Context) ([]Summary, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.isClosed() {
		return nil, fmt.Errorf("list rooms: %w", ErrClosed)
	}
	list, err := s.listAll(ctx)
	if err != nil {
		list = nil
		for _, r := range s.all() {
			r.mu.Lock()
			if n := len(r.byID); n > 0 {
				list = append(list, Summary{Room: r.name, Members: n})
			}
			r.mu.Unlock()
		}
	}
	slices.SortFunc(list, func(a, b Summary) int { return cmp.Compare(a.Room, b.Room) })
	return list, nil
}

// listAll asks every pod's rooms how many are in them.
func (s *Redis) listAll(ctx context.Context) (list []Summary, err error) {
	names := map[string]bool{}
	err = s.command(ctx, "list", func(ctx context.Context) error {
		pods, err := s.client.ZRange(ctx, s.pod.keys.leases, 0, -1).Result()
		if err != nil {
			return err
		}
		dead, err := s.client.ZRange(ctx, s.pod.keys.dead, 0, -1).Result()
		if err != nil {
			return err
		}
		for _, pod := range append(pods, dead...) {
			rooms, err := s.client.SMembers(ctx, s.pod.keys.rooms(pod)).Result()
			if err != nil {
				return err
			}
			for _, name := range rooms {
				names[name] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(names)), 500) {
		counts := make([]*redis.IntCmd, len(chunk))
		err = s.command(ctx, "list", func(ctx context.Context) error {
			_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, name := range chunk {
					counts[i] = p.HLen(ctx, s.keysOf(name).holds())
				}
				return nil
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, name := range chunk {
			if n := counts[i].Val(); n > 0 {
				list = append(list, Summary{Room: name, Members: int(n)})
			}
		}
	}
	return list, nil
}

// Count implements [Counter].
func (s *Redis) Count() (rooms, members int) {
	for _, r := range s.all() {
		r.mu.Lock()
		if n := len(r.own); n > 0 {
			rooms++
			members += n
		}
		r.mu.Unlock()
	}
	return rooms, members
}

// Held implements [Holder].
func (s *Redis) Held(yield func(room string, m Member) bool) {
	orphans := s.pod.lingering()
	tell := func(room string, members []Member) bool {
		for _, m := range members {
			if !yield(room, m) {
				return false
			}
		}
		return true
	}
	for _, r := range s.all() {
		here := orphans[r.name]
		delete(orphans, r.name)
		if !tell(r.name, r.held(here)) {
			return
		}
	}
	for room, here := range orphans {
		var members []Member
		for _, o := range here {
			members = append(members, o.member())
		}
		if !tell(room, members) {
			return
		}
	}
}

// held returns the members that this pod has in the room, and those of orphans that still are.
func (r *replica) held(orphans []*orphan) []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]Member, 0, len(r.own)+len(orphans))
	for _, h := range r.own {
		members = append(members, h.member.Member)
	}
	for _, o := range orphans {
		switch m := r.byID[o.id]; {
		case m != nil && m.claim.owner == o.owner:
			members = append(members, m.Member)
		case !r.loaded && r.own[o.id] == nil:
			members = append(members, o.member()) // as far as is known here
		}
	}
	return members
}

// Outage implements [Distant].
func (s *Redis) Outage() (longest time.Duration) {
	s.shardsMu.Lock()
	defer s.shardsMu.Unlock()
	for _, h := range s.shards {
		if h.down.Load() {
			longest = max(longest, h.outage(), 1)
		}
	}
	return max(longest, s.pod.overdue())
}

// countOutage counts the time for which Redis is out of reach.
func (s *Redis) countOutage() {
	const every = 250 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			if s.Outage() > 0 && s.config.Observe.Degraded != nil {
				s.config.Observe.Degraded(every)
			}
		}
	}
}
