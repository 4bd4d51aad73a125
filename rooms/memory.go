package rooms

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is [Rooms] in the memory of one process: all of the cluster is one pod.
// It is an [Announcer], a [Counter], a [Holder] and a [Cluster] of one too. Rooms don't wait for each other.
//
// Locks are taken in this order: a room's, then that of lingering or removed.
type Memory struct {
	config    Config
	rooms     sync.Map // name → *room
	lingering lingering
	removed   removed
	since     time.Time
	report    report

	closed  atomic.Bool
	stop    chan struct{}
	keeping sync.WaitGroup // until stop is closed
}

var (
	_ Rooms     = (*Memory)(nil)
	_ Announcer = (*Memory)(nil)
	_ Counter   = (*Memory)(nil)
	_ Holder    = (*Memory)(nil)
	_ Cluster   = (*Memory)(nil)
)

// NewMemory returns rooms with nobody in them. They hold two goroutines until Close.
func NewMemory(c Config) *Memory {
	s := &Memory{
		config:    c.withDefaults(),
		lingering: lingering{wake: make(chan struct{}, 1)},
		stop:      make(chan struct{}),
	}
	s.since = s.config.TimeNow()
	s.keeping.Go(func() { s.lingering.run(s.stop, s.config.TimeNow) })
	s.keeping.Go(s.sweepOften)
	return s
}

// Join implements [Rooms].
func (s *Memory) Join(ctx context.Context, name string, m Member, f Follower) (Membership, Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, Snapshot{}, err
	}
	if m.ID == "" {
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, ErrBadMember)
	}
	r, err := s.enter(name, true)
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, err)
	}
	defer r.mu.Unlock()
	switch {
	case r.byID[m.ID] != nil:
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, ErrAlreadyMember)
	case s.config.MaxMembers > 0 && len(r.byID) >= s.config.MaxMembers:
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, ErrRoomFull)
	}
	s.removed.forget(place{name, m.ID})
	m.Data = copyOf(m.Data)
	if m.JoinedAt.IsZero() {
		m.JoinedAt = s.config.TimeNow()
	}
	return r.join(m, f), r.snapshot(), nil
}

// Resume implements [Rooms].
func (s *Memory) Resume(ctx context.Context, name string, m Member, since Cursor, f Follower) (Membership, Resumption, error) {
	if err := ctx.Err(); err != nil {
		return nil, Resumption{}, err
	}
	r, current, err := s.find(name, m.ID)
	if err != nil {
		return nil, Resumption{}, fmt.Errorf("resume in %q: %w", name, err)
	}
	defer r.mu.Unlock()
	if current.User != m.User || current.Session != m.Session {
		return nil, Resumption{}, fmt.Errorf("resume in %q: %w", name, ErrWrongOwner)
	}
	missed, known := r.missed(current, since)
	owner := r.takeOver(current, f)
	return owner, Resumption{Snapshot: r.snapshot(), Missed: missed, Gap: !known}, nil
}

// Snapshot implements [Rooms].
func (s *Memory) Snapshot(ctx context.Context, name string) (Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return Snapshot{}, err
	}
	r, err := s.enter(name, false)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot of %q: %w", name, err)
	}
	defer r.mu.Unlock()
	if len(r.byID) == 0 {
		return Snapshot{}, fmt.Errorf("snapshot of %q: %w", name, ErrNoRoom)
	}
	return r.snapshot(), nil
}

// List implements [Rooms].
func (s *Memory) List(ctx context.Context) ([]Summary, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed.Load() {
		return nil, fmt.Errorf("list rooms: %w", ErrClosed)
	}
	var list []Summary
	for r := range s.all {
		r.mu.Lock()
		if n := len(r.byID); n > 0 {
			list = append(list, Summary{Room: r.name, Members: n})
		}
		r.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Summary) int { return cmp.Compare(a.Room, b.Room) })
	return list, nil
}

// Count implements [Counter].
func (s *Memory) Count() (rooms, members int) {
	for r := range s.all {
		r.mu.Lock()
		if n := len(r.byID); n > 0 {
			rooms++
			members += n
		}
		r.mu.Unlock()
	}
	return rooms, members
}

// Held implements [Holder].
func (s *Memory) Held(yield func(room string, m Member) bool) {
	for r := range s.all {
		r.mu.Lock()
		members := r.snapshot().Members
		r.mu.Unlock()
		for _, m := range members {
			if !yield(r.name, m) {
				return
			}
		}
	}
}

// Pods implements [Cluster]: there is this process alone, without a name.
func (s *Memory) Pods(ctx context.Context) ([]Pod, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed.Load() {
		return nil, fmt.Errorf("list pods: %w", ErrClosed)
	}
	return []Pod{{Self: true, Since: s.since, Status: s.report.now()}}, nil
}

// Report implements [Cluster].
func (s *Memory) Report(status func() json.RawMessage) { s.report.set(status) }

// Remove implements [Rooms].
func (s *Memory) Remove(ctx context.Context, name, id string, why Reason) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, m, err := s.find(name, id)
	if err != nil {
		if errors.Is(err, ErrRemoved) {
			err = ErrNoMember // whoever was put out already isn't there either
		}
		return fmt.Errorf("remove from %q: %w", name, err)
	}
	defer r.mu.Unlock()
	if bars(why) && s.config.RemovedFor > 0 {
		s.removed.add(place{name, id}, s.config.TimeNow().Add(s.config.RemovedFor))
	}
	r.remove(m, why)
	return nil
}

// Announce implements [Announcer].
func (s *Memory) Announce(ctx context.Context, name, to string, data json.RawMessage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.enter(name, false)
	if err != nil {
		return fmt.Errorf("announce in %q: %w", name, err)
	}
	defer r.mu.Unlock()
	if len(r.byID) == 0 {
		return fmt.Errorf("announce in %q: %w", name, ErrNoRoom)
	}
	if err := r.signal(nil, to, data); err != nil {
		return fmt.Errorf("announce in %q: %w", name, err)
	}
	return nil
}

// enter returns a room with its lock held. Where there is none it makes one, or
// returns [ErrNoRoom].
func (s *Memory) enter(name string, create bool) (*room, error) {
	for {
		found, ok := s.rooms.Load(name)
		switch {
		case ok:
		case s.closed.Load():
			return nil, ErrClosed
		case !create:
			return nil, ErrNoRoom
		default:
			// 13 of 32 letters: 65 bits, so that no two lives of a room meet.
			found, _ = s.rooms.LoadOrStore(name, newRoom(s, name, rand.Text()[:13]))
		}
		r := found.(*room)
		r.mu.Lock()
		// Looked at under the lock, because Close goes through all the locks
		// after it has set it.
		if s.closed.Load() {
			r.mu.Unlock()
			return nil, ErrClosed
		}
		if !s.drop(r) {
			return r, nil
		}
		r.mu.Unlock()
	}
}

// find returns a room with its lock held and a member of it; else [ErrRemoved],
// [ErrNoMember] or [ErrClosed] as they are.
func (s *Memory) find(name, id string) (*room, *member, error) {
	r, err := s.enter(name, false)
	if err == nil {
		if m := r.byID[id]; m != nil {
			return r, m, nil
		}
		r.mu.Unlock()
	} else if !errors.Is(err, ErrNoRoom) {
		return nil, nil, err
	}
	if s.removed.has(place{name, id}, s.config.TimeNow()) {
		return nil, nil, ErrRemoved
	}
	return nil, nil, ErrNoMember
}

// drop takes a room away if its time is over, and reports whether it is gone.
// The room's lock is held.
func (s *Memory) drop(r *room) bool {
	if !r.gone && r.expired(s.config.TimeNow()) {
		r.gone = true
	}
	if r.gone {
		s.rooms.CompareAndDelete(r.name, r)
	}
	return r.gone
}

// all yields the rooms, none of them locked.
func (s *Memory) all(yield func(*room) bool) {
	s.rooms.Range(func(_, r any) bool { return yield(r.(*room)) })
}

// sweepOften drops now and then what nobody would look at any more, until Close. What is
// too old is never handed out; this is about memory alone.
func (s *Memory) sweepOften() {
	ticker := time.NewTicker(max(s.config.LogAge/2, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			s.sweep(s.config.TimeNow())
		}
	}
}

func (s *Memory) sweep(now time.Time) {
	for r := range s.all {
		r.mu.Lock()
		if !s.drop(r) {
			r.log.trim(now)
		}
		r.mu.Unlock()
	}
	s.removed.sweep(now)
}

// Close implements [Rooms]. It may be called more than once.
func (s *Memory) Close() error {
	if !s.closed.Swap(true) {
		close(s.stop)
	}
	s.keeping.Wait()
	for r := range s.all {
		r.mu.Lock() // whoever is inside gets out first
		r.gone = true
		s.rooms.CompareAndDelete(r.name, r)
		r.mu.Unlock()
	}
	return nil
}
