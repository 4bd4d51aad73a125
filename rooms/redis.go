package rooms

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig says how rooms are kept in Redis. Client and Pod are required.
type RedisConfig struct {
	Config

	// Client is made by [DialRedis]. Closing it is the caller's.
	Client redis.UniversalClient

	// Pod is this process's name, which no other that runs may have.
	Pod string

	// Prefix is what all keys and channels begin with. "": "roompass:". It has no braces.
	Prefix string

	// Lease is how long a pod that died counts as living. 0: 10 s.
	Lease time.Duration

	Logger  *slog.Logger // nil discards
	Observe RedisObserver
}

// A RedisObserver is told of what happens, from any goroutine and with locks held: its functions
// must not block, and each may be nil.
type RedisObserver struct {
	Command   func(name string, took time.Duration, err error) // a command or script was done
	Retried   func()                                           // a step was done again, because the room had changed
	GapFilled func()                                           // entries that weren't heard of were read from the log
	Reaped    func()                                           // a member of a pod that died was taken over, to linger
	TakenOver func()                                           // a member resumed here that another pod had
	Merged    func()                                           // a room that went on without Redis was put together again
	Degraded  func(time.Duration)                              // Redis was out of reach for so long since the last call
}

func (c RedisConfig) withDefaults() RedisConfig {
	c.Config = c.Config.withDefaults()
	if c.Prefix == "" {
		c.Prefix = "roompass:"
	}
	if c.Lease == 0 {
		c.Lease = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Redis is [Rooms] over Redis 7 or Valkey: every pod that uses the same keys sees the same
// rooms. It is an [Announcer], a [Counter], a [Holder], a [Cluster] and [Distant] too.
//
// Each pod's own members are the truth, and Redis is what the pods share. What a pod has
// heard of a room it keeps, so that to look at it costs nothing, and that it can go on when
// Redis is gone: then its members talk to each other as before, signals to those on other
// pods get [ErrUnavailable] where they are to one alone and are told later where they are to
// all, and Degraded says that the view may be old. When Redis is back, also without any of
// what it knew, the pods write it again.
//
// Locks are taken in this order: a membership's, a replica's syncing, the map's or a
// shard's, a view's; then those that guard nothing but themselves.
type Redis struct {
	config    RedisConfig
	client    redis.UniversalClient
	cluster   *redis.ClusterClient // nil: none
	database  int                  // of a Redis that isn't a cluster
	pod       *pod
	lingering lingering
	removed   removed // those of rooms that this pod followed: Redis may forget

	ctx  context.Context // ends with Close
	quit context.CancelFunc
	stop <-chan struct{} // ctx's

	mu     sync.Mutex // the map's
	closed bool
	rooms  map[string]*replica

	shardsMu sync.Mutex // which shards there are, and which room is on which
	shards   map[string]*shard

	goesMu sync.Mutex // guards spawn against Close
	ended  bool
	goes   sync.WaitGroup
	mends  chan struct{} // places for rooms that are being reconciled
	turns  chan struct{} // places for steps that Redis is asked for
}

var (
	_ Rooms     = (*Redis)(nil)
	_ Announcer = (*Redis)(nil)
	_ Counter   = (*Redis)(nil)
	_ Holder    = (*Redis)(nil)
	_ Cluster   = (*Redis)(nil)
	_ Distant   = (*Redis)(nil)
)

// NewRedis takes this pod's lease, and returns its view of the rooms. It returns
// [ErrPodTaken] where another process has the pod's name, and waits where one that has
// ended had it, until its lease has run out.
func NewRedis(ctx context.Context, c RedisConfig) (*Redis, error) {
	c = c.withDefaults()
	switch {
	case c.Client == nil || c.Pod == "":
		return nil, errors.New("rooms over Redis need a client and the pod's name")
	case strings.ContainsAny(c.Prefix, "{}"):
		return nil, fmt.Errorf("prefix %q: braces would take all rooms to one node", c.Prefix)
	}
	s := &Redis{
		config: c, client: c.Client,
		lingering: lingering{wake: make(chan struct{}, 1)},
		rooms:     map[string]*replica{}, shards: map[string]*shard{},
		mends: make(chan struct{}, 16), turns: make(chan struct{}, atOnce),
	}
	s.cluster, _ = c.Client.(*redis.ClusterClient)
	if node, ok := c.Client.(*redis.Client); ok {
		s.database = node.Options().DB
	}
	s.ctx, s.quit = context.WithCancel(context.Background())
	s.stop = s.ctx.Done()
	s.pod = newPod(s, c.Pod)
	if err := s.pod.enlist(ctx); err != nil {
		s.quit()
		return nil, fmt.Errorf("take the pod's lease: %w", err)
	}
	s.spawn(func() { s.pod.run(s.ctx) })
	s.spawn(func() { s.lingering.run(s.stop, c.TimeNow) })
	s.spawn(s.countOutage)
	s.spawn(s.sweepOften)
	if s.cluster == nil {
		if node, ok := c.Client.(*redis.Client); ok {
			s.shardsMu.Lock()
			s.shardAt("", node)
			s.shardsMu.Unlock()
		}
	}
	return s, nil
}

// spawn runs f in a goroutine that Close waits for.
func (s *Redis) spawn(f func()) {
	s.goesMu.Lock()
	defer s.goesMu.Unlock()
	if !s.ended {
		s.goes.Go(f)
	}
}

func (s *Redis) keysOf(room string) roomKeys { return newRoomKeys(s.config.Prefix, room, s.database) }

func (s *Redis) observe(happened func()) {
	if happened != nil {
		happened()
	}
}

// Join implements [Rooms].
func (s *Redis) Join(ctx context.Context, name string, m Member, f Follower) (Membership, Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, Snapshot{}, err
	}
	if m.ID == "" {
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, ErrBadMember)
	}
	m.Data = copyOf(m.Data)
	if m.JoinedAt.IsZero() {
		m.JoinedAt = s.config.TimeNow()
	}
	m.JoinedAt = m.JoinedAt.Truncate(time.Millisecond)
	a := &arrival{member: m, follower: f}
	err := s.arrive(ctx, name, a, func(r *replica) (outcome, error) {
		owner, pod := a.hold.key, s.pod.name()
		return r.try(ctx, joinScript, "J "+owner+" 0 "+pod+" "+body(m), m.ID, owner, pod, body(m), max(0, s.config.MaxMembers), rand.Text()[:13])
	}, (*replica).joinHere)
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("join %q: %w", name, err)
	}
	return a.hold, a.snapshot, nil
}

// Resume implements [Rooms].
func (s *Redis) Resume(ctx context.Context, name string, m Member, since Cursor, f Follower) (Membership, Resumption, error) {
	if err := ctx.Err(); err != nil {
		return nil, Resumption{}, err
	}
	a := &arrival{member: m, follower: f, since: &since}
	err := s.arrive(ctx, name, a, func(r *replica) (outcome, error) {
		owner, pod := a.hold.key, s.pod.name()
		return r.try(ctx, takeScript, "T "+owner+" "+pod+" - "+m.ID, m.ID, owner, pod, token(m.User), token(m.Session))
	}, (*replica).takeHere)
	if err != nil {
		return nil, Resumption{}, fmt.Errorf("resume in %q: %w", name, err)
	}
	if !a.told && !a.apart {
		a.missed, a.told = a.hold.room.fetch(ctx, a.hold.member, since, a.at)
	}
	return a.hold, Resumption{Snapshot: a.snapshot, Missed: a.missed, Gap: !a.told}, nil
}

// arrive lets a in by a script, or where Redis can't be reached by here.
func (s *Redis) arrive(ctx context.Context, name string, a *arrival, ask func(*replica) (outcome, error), here func(*replica, *arrival) error) error {
	r, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.exit(r)
	if a.since != nil {
		r.awaitWhole(ctx, *a.since)
	}
	a.hold = &hold{room: r, key: rand.Text()[:13]}
	r.mu.Lock()
	r.arrivals[a.hold.key] = a
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.arrivals, a.hold.key)
		r.mu.Unlock()
	}()

	for {
		got, err := ask(r)
		if err == nil {
			err = arrivalError(got.status)
		}
		if errors.Is(err, ErrNoMember) && s.removed.has(place{name, a.member.ID}, s.config.TimeNow()) {
			err = ErrRemoved
		}
		if err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if errors.Is(err, ErrUnavailable) {
				r.mend() // it may have been done all the same
			}
			return err
		}
		r.take(ctx, got)
		adrift := got.status == statusAdrift
		a.asked = a.asked || got.sent || !adrift
		if !adrift && !r.has(a) {
			// It was done by an attempt whose answer was lost, or in a log that this pod
			// hasn't seen yet.
			err := r.settleNow(ctx)
			if err != nil && ctx.Err() != nil {
				return err
			}
			adrift = err != nil
		}
		if r.has(a) {
			return nil
		}
		err = r.without(func() error {
			switch {
			case a.done:
				return nil
			case a.hold.ended != nil:
				return a.hold.ended
			case !adrift:
				return ErrTakenOver // by another socket, sooner than this pod heard of it
			}
			return here(r, a)
		})
		if !errors.Is(err, errStill) {
			return err
		}
	}
}

// arrivalError is what a script's answer means to somebody who wants in.
func arrivalError(status string) error {
	switch status {
	case "there":
		return ErrAlreadyMember
	case "full":
		return ErrRoomFull
	case "gone":
		return ErrNoMember
	case "removed":
		return ErrRemoved
	case "wrong":
		return ErrWrongOwner
	}
	return nil
}

// Remove implements [Rooms]. It returns [ErrUnavailable] while Redis is out of reach: only
// there it can be kept in mind who may not resume.
func (s *Redis) Remove(ctx context.Context, name, id string, why Reason) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bar := int64(0)
	if bars(why) && s.config.RemovedFor > 0 {
		bar = s.config.RemovedFor.Milliseconds()
	}
	got, err := s.ask(ctx, name, leaveScript, id, "", string(why), bar)
	if err == nil && got.status == "gone" {
		err = ErrNoMember
	}
	if err != nil {
		return fmt.Errorf("remove from %q: %w", name, err)
	}
	return nil
}

// Announce implements [Announcer]. It returns [ErrUnavailable] while Redis is out of reach;
// after that error it may still have been done.
func (s *Redis) Announce(ctx context.Context, name, to string, data json.RawMessage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	got, err := s.ask(ctx, name, announceScript, to, signalPayload("-", 0, "-", 0, "", to, data))
	switch {
	case err != nil:
	case got.status == "empty":
		err = ErrNoRoom
	case got.status == "nobody":
		err = ErrNoRecipient
	}
	if err != nil {
		return fmt.Errorf("announce in %q: %w", name, err)
	}
	return nil
}

// ask runs a script on a room from outside. Where the room is open here it returns when
// what it did is seen here too.
func (s *Redis) ask(ctx context.Context, name string, what script, args ...any) (outcome, error) {
	r, err := s.peek(ctx, name)
	if err != nil {
		return outcome{}, err
	}
	if r == nil {
		answer, err := s.evalRoom(ctx, what, s.keysOf(name), "", 0, args...)
		if err != nil {
			return outcome{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return outcome{status: word(answer, 0)}, nil
	}
	defer s.exit(r)
	got, err := r.try(ctx, what, "", args...)
	switch {
	case err != nil:
		return outcome{}, err
	case got.status == statusAdrift:
		return outcome{}, ErrUnavailable
	case got.where == "":
		return got, nil
	}
	if got.payload = word(got.rest, 2); got.payload != "" {
		r.take(ctx, got) // who was put out is gone here, also where an outage begins
		return got, nil
	}
	if head, _, ok := words(got.where+" ", 4); ok {
		if c, err := parseHead(head); err == nil {
			r.await(ctx, c) // it comes by the channel
		}
	}
	return got, nil
}

// sweepOften drops now and then who may resume again.
func (s *Redis) sweepOften() {
	for s.sleep(time.Minute) {
		s.removed.sweep(s.config.TimeNow())
	}
}

// Close implements [Rooms]. What still lingers here is looked after by the other pods. It
// may be called more than once.
func (s *Redis) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		s.goes.Wait()
		return nil
	}
	s.goesMu.Lock()
	s.ended = true
	s.goesMu.Unlock()
	s.quit()
	s.goes.Wait()
	open := s.all()
	s.pod.retire(context.Background(), len(open) == 0 && !s.pod.hasOrphans())
	for _, r := range open {
		r.mu.Lock() // whoever is inside gets out first
		r.dead = true
		r.releaseAll()
		r.mu.Unlock()
	}
	return nil
}

func (s *Redis) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
