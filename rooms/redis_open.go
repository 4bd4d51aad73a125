package rooms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// enter returns a room that stays open until exit. The first who comes opens it: the pod
// subscribes to its channel and then reads it, once for all who come after.
func (s *Redis) enter(ctx context.Context, name string) (*replica, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		r := s.rooms[name]
		switch {
		case r == nil:
			r = newReplica(s, name)
			r.users = 1
			s.rooms[name] = r
			s.mu.Unlock()
			s.spawn(func() { s.open(r) })
			return r, s.await(ctx, r, r.opened)
		case r.closing:
			s.mu.Unlock()
			if err := s.await(ctx, nil, r.closed); err != nil {
				return nil, err
			}
		default:
			r.users++
			s.mu.Unlock()
			return r, s.await(ctx, r, r.opened)
		}
	}
}

// await waits for a step of a room. If that doesn't come the room, if any, is left.
func (s *Redis) await(ctx context.Context, r *replica, step <-chan struct{}) (err error) {
	select {
	case <-step:
		return nil
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-s.stop:
		err = ErrClosed
	}
	if r != nil {
		s.exit(r)
	}
	return err
}

// isOpen reports whether this pod follows a room.
func (s *Redis) isOpen(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[name] != nil
}

// peek returns a room if it is open here; nil if it isn't.
func (s *Redis) peek(ctx context.Context, name string) (*replica, error) {
	s.mu.Lock()
	r, closed := s.rooms[name], s.closed
	open := r != nil && !r.closing
	s.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case !open:
		return nil, nil
	}
	return s.enter(ctx, name)
}

// enterAgain is enter for somebody who has a membership there, which keeps it open.
func (s *Redis) enterAgain(r *replica) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	r.users++
	return true
}

// exit says that a call is over. The last one closes the room, if it has no members here.
func (s *Redis) exit(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.users--
	s.closeIdle(r)
}

// tidySoon closes a room that has lost its last member. The view's lock is held.
func (s *Redis) tidySoon(r *replica) {
	s.spawn(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closeIdle(r)
	})
}

// closeIdle closes a room that nobody is in. The map's lock is held.
func (s *Redis) closeIdle(r *replica) {
	if r.users > 0 || r.closing || s.closed {
		return
	}
	r.mu.Lock()
	idle := r.idle()
	r.mu.Unlock()
	if !idle {
		return
	}
	r.closing = true
	s.spawn(func() {
		if h := r.shard.Load(); h != nil {
			h.unsubscribe(s.ctx, r)
		}
		s.pod.leaveRoom(s.ctx, r.name)
		s.mu.Lock()
		defer s.mu.Unlock()
		r.mu.Lock()
		r.dead = true
		r.mu.Unlock()
		delete(s.rooms, r.name)
		close(r.closed)
	})
}

// open subscribes and reads. Where that fails the room is open all the same: with what
// this pod does there, until Redis can be reached.
func (s *Redis) open(r *replica) {
	defer close(r.opened)
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	err := s.load(ctx, r)
	if err == nil {
		return
	}
	if !isRoomsOwn(err) && !errors.Is(err, errBusy) {
		s.trouble(r, err)
	}
	r.mu.Lock()
	r.mend()
	r.mu.Unlock()
}

// openTimeout is how long it may take to open a room when many are opened at a time. When
// Redis doesn't answer, that is found sooner.
const openTimeout = 8 * time.Second

var errNotSubscribed = errors.New("the channel could not be subscribed to in time")

func (s *Redis) load(ctx context.Context, r *replica) error {
	if h := r.shard.Load(); h != nil && h.down.Load() {
		return errNotSubscribed
	}
	sub, err := s.subscribe(ctx, r)
	if err != nil {
		return err
	}
	if s.outOfReach(r) {
		return errNotSubscribed // the shard will
	}
	if err := s.pod.enterRoom(ctx, r.name); err != nil {
		return err
	}
	for !isClosed(sub.ready) {
		select {
		case <-sub.ready:
		case <-ctx.Done():
			return errNotSubscribed
		case <-time.After(100 * time.Millisecond):
			if s.outOfReach(r) {
				return errNotSubscribed
			}
		}
	}
	st, err := r.read(ctx, "", 0, "all", 0)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(&st, nil)
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// subscribe follows r's channel on the node where it lives.
func (s *Redis) subscribe(ctx context.Context, r *replica) (*subscription, error) {
	s.shardsMu.Lock()
	defer s.shardsMu.Unlock()
	h := s.shards[""]
	if s.cluster != nil {
		node, err := s.cluster.MasterForKey(ctx, r.keys.channel)
		if err != nil {
			// The room waits with whichever node is there, and moves when more is known.
			for _, any := range s.shards {
				h = any
			}
			if h == nil {
				return nil, err
			}
		} else {
			h = s.shardAt(node.Options().Addr, node)
		}
	}
	r.shard.Store(h)
	return h.subscribe(ctx, r), nil
}

// shardAt returns the shard of a node, which it makes if need be. shardsMu is held.
func (s *Redis) shardAt(addr string, node *redis.Client) *shard {
	h := s.shards[addr]
	if h == nil {
		h = newShard(s, addr, node)
		s.shards[addr] = h
		s.spawn(func() { h.run(s.ctx) })
	}
	return h
}

// moved looks, after a shard has failed, whether its rooms live elsewhere now, and takes
// them there. It reports whether the shard is over, since all do.
func (s *Redis) moved(ctx context.Context, h *shard) bool {
	if s.cluster == nil {
		return false
	}
	s.cluster.ReloadState(ctx)
	s.shardsMu.Lock()
	defer s.shardsMu.Unlock()
	for _, r := range h.replicas() {
		node, err := s.cluster.MasterForKey(ctx, r.keys.channel)
		if err != nil || node.Options().Addr == h.addr {
			continue
		}
		h.mu.Lock()
		delete(h.rooms, r.keys.channel)
		h.mu.Unlock()
		to := s.shardAt(node.Options().Addr, node)
		r.shard.Store(to)
		to.subscribe(ctx, r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rooms) > 0 {
		return false
	}
	delete(s.shards, h.addr)
	return true
}

// probeChannel is a channel of this pod's own on a shard's node.
func (s *Redis) probeChannel(ctx context.Context, h *shard) (string, error) {
	for i := range 1 << 14 {
		channel := s.config.Prefix + "{probe" + strconv.Itoa(i) + "}:" + s.pod.prefix() + h.name
		if s.cluster == nil {
			return channel, nil
		}
		node, err := s.cluster.MasterForKey(ctx, channel)
		if err != nil {
			return "", err
		}
		if node.Options().Addr == h.addr {
			return channel, nil
		}
	}
	return "", fmt.Errorf("node %s has no slot any more", h.addr)
}

// atOnce is how many channels go in one command.
func (s *Redis) atOnce() int {
	if s.cluster != nil {
		return 1 // they are in different slots
	}
	return subscribeAtOnce
}

// outOfReach reports whether a room's node can't be reached.
func (s *Redis) outOfReach(r *replica) bool {
	h := r.shard.Load()
	return h == nil || h.down.Load()
}

// trouble notes that a command in a room failed.
func (s *Redis) trouble(r *replica, err error) {
	if h := r.shard.Load(); h != nil && s.ctx.Err() == nil {
		h.fail(err)
		h.lookNow()
	}
}

// all returns the rooms that are open here.
func (s *Redis) all() []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*replica, 0, len(s.rooms))
	for _, r := range s.rooms {
		all = append(all, r)
	}
	return all
}

// mendSoon has a room reconciled after a delay. The view's lock is held, and
// mending isn't set.
func (s *Redis) mendSoon(r *replica, delay time.Duration) {
	r.mending = true
	s.spawn(func() {
		for wait := delay; ; wait = min(2*wait+20*time.Millisecond, time.Second) {
			if !s.sleep(wait) || !s.wantsMending(r) {
				return
			}
			select {
			case s.mends <- struct{}{}:
			case <-s.stop:
				return
			}
			err := r.reconcile(s.ctx)
			<-s.mends
			if err != nil && s.ctx.Err() == nil {
				s.config.Logger.Debug("a room can't be reconciled yet", "room", r.name, "error", err)
				if !errors.Is(err, errUnsettled) && !errors.Is(err, errBusy) && !isRoomsOwn(err) {
					s.trouble(r, err)
				}
			}
		}
	})
}

// wantsMending reports whether a room has to be reconciled now. If not, whoever
// finds that it has to, later, begins anew.
func (s *Redis) wantsMending(r *replica) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ahead) > 0 {
		r.stale = true // those before them didn't come
	}
	if r.stale && r.shard.Load() == nil {
		r.mu.Unlock()
		_, _ = s.subscribe(s.ctx, r)
		r.mu.Lock()
	}
	if r.dead || !r.stale || s.outOfReach(r) {
		r.mending = false
		if r.idle() {
			s.tidySoon(r)
		}
		return false
	}
	return true
}

func (s *Redis) sleep(d time.Duration) bool {
	if d <= 0 {
		return s.ctx.Err() == nil
	}
	select {
	case <-s.stop:
		return false
	case <-time.After(d):
		return true
	}
}
