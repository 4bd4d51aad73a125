package rooms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// shard is one connection that subscribes: to the channels of all rooms that live on one
// node of Redis. Without a cluster there is one.
//
// A subscription can die without a sign: the other end of a half open connection, or a
// primary that isn't one any more, sends nothing for ever. So every second the pod
// publishes to a channel of its own, by the way that everything is published. Where it
// doesn't hear itself in time, it subscribes anew.
type shard struct {
	store *Redis
	addr  string // of the node; empty where there is no cluster
	name  string // of its own, for its probes
	node  *redis.Client

	sayings batcher

	down  atomic.Bool
	since atomic.Int64  // when it went down, after the process began: the wall clock may be set
	look  chan struct{} // capacity 1: probe now

	mu     sync.Mutex
	pubsub *redis.PubSub
	rooms  map[string]*subscription // by channel
	probe  string                   // the channel that it hears itself on
	heard  time.Time                // when it last did
	sent   uint64                   // number of the newest probe
}

// subscription is one room's channel.
type subscription struct {
	room  *replica
	ready chan struct{} // closed at the first confirmation
	done  bool
}

const (
	probeEvery = time.Second
	// probeApart is how long two probes are apart at least, whoever asks for one.
	probeApart = 50 * time.Millisecond
	// deafAfter is how long a subscription may be silent. With the time to subscribe
	// anew it is less than five seconds.
	deafAfter = 3 * time.Second
	// subscribeAtOnce is how many channels are asked for in one command. In a cluster it
	// is one, because a command is about one slot.
	subscribeAtOnce = 200
)

func newShard(s *Redis, addr string, node *redis.Client) *shard {
	return &shard{
		store: s, addr: addr, name: rand.Text()[:8], node: node, sayings: batcher{store: s},
		look: make(chan struct{}, 1), rooms: map[string]*subscription{}, heard: time.Now(),
	}
}

// fail says that the node doesn't answer as it should.
func (h *shard) fail(why error) {
	if !h.down.Swap(true) {
		h.since.Store(int64(time.Since(processBegan)))
		h.store.config.Logger.Warn("redis is out of reach: rooms go on with what this pod knows", "node", h.addr, "error", why)
	}
}

// processBegan: what is noted as so long after it is right also where the wall clock is set.
var processBegan = time.Now()

// outage is how long ago it went down.
func (h *shard) outage() time.Duration {
	return time.Since(processBegan) - time.Duration(h.since.Load())
}

// lookNow has it probed at once.
func (h *shard) lookNow() {
	select {
	case h.look <- struct{}{}:
	default: // it is going to look anyway
	}
}

// recover says that it does again.
func (h *shard) recover() {
	if h.down.Swap(false) {
		h.store.config.Logger.Info("redis is in reach", "node", h.addr, "after", h.outage().Round(time.Millisecond))
	}
	for _, r := range h.replicas() {
		r.mu.Lock()
		if r.stale {
			r.refresh()
		}
		r.mu.Unlock()
	}
}

func (h *shard) replicas() []*replica {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*replica, 0, len(h.rooms))
	for _, sub := range h.rooms {
		all = append(all, sub.room)
	}
	return all
}

// subscribe follows r's channel. The answer is closed when it does.
func (h *shard) subscribe(ctx context.Context, r *replica) *subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &subscription{room: r, ready: make(chan struct{})}
	h.rooms[r.keys.channel] = sub
	if h.pubsub != nil {
		if err := h.pubsub.SSubscribe(ctx, r.keys.channel); err != nil {
			_ = h.pubsub.Close() // the reader subscribes anew
		}
	}
	return sub
}

func (h *shard) unsubscribe(ctx context.Context, r *replica) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sub := h.rooms[r.keys.channel]; sub == nil || sub.room != r {
		return
	}
	delete(h.rooms, r.keys.channel)
	if h.pubsub != nil {
		_ = h.pubsub.SUnsubscribe(ctx, r.keys.channel)
	}
}

// run subscribes, reads and probes until ctx ends.
func (h *shard) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { h.probeLoop(ctx) })
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, time.Second) {
		began := time.Now()
		err := h.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		h.fail(err)
		if h.store.moved(ctx, h) {
			break // all of its rooms are on other nodes now
		}
		if time.Since(began) > 5*time.Second {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

var errDeaf = errors.New("it didn't hear itself")

// follow subscribes to everything and reads until that fails.
func (h *shard) follow(ctx context.Context) error {
	probe, err := h.store.probeChannel(ctx, h)
	if err != nil {
		return err
	}
	pubsub := h.node.SSubscribe(ctx, probe)
	defer pubsub.Close()
	stop := context.AfterFunc(ctx, func() { _ = pubsub.Close() })
	defer stop()
	h.mu.Lock()
	h.pubsub, h.probe, h.heard = pubsub, probe, time.Now()
	channels := slices.Collect(maps.Keys(h.rooms))
	err = nil
	for chunk := range slices.Chunk(channels, h.store.atOnce()) {
		if err = pubsub.SSubscribe(ctx, chunk...); err != nil {
			break
		}
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.pubsub = nil
		h.mu.Unlock()
	}()
	for err == nil {
		var got any
		if got, err = pubsub.ReceiveTimeout(ctx, deafAfter); err == nil {
			err = h.receive(got, probe)
		}
	}
	return err
}

// receive takes what came on the connection.
func (h *shard) receive(got any, probe string) error {
	switch got := got.(type) {
	case *redis.Message:
		if got.Channel == probe {
			h.hear(got.Payload)
			return nil
		}
		h.mu.Lock()
		sub := h.rooms[got.Channel]
		h.mu.Unlock()
		if sub == nil {
			return nil
		}
		c, err := parseMessage(got.Payload)
		if err != nil {
			h.store.config.Logger.Error("a message on a room's channel can't be read", "room", sub.room.name, "error", err)
			return nil
		}
		sub.room.accept(c)
	case *redis.Subscription:
		h.mu.Lock()
		sub := h.rooms[got.Channel]
		h.mu.Unlock()
		if got.Kind == "sunsubscribe" {
			if sub != nil && got.Channel != probe && sub.done {
				return fmt.Errorf("the channel of %q has moved", sub.room.name)
			}
			return nil
		}
		if got.Channel == probe {
			h.lookNow()
		}
		if sub != nil {
			h.confirm(sub)
		}
	}
	return nil
}

// confirm notes that a room's channel is followed. What was published before is in the log.
func (h *shard) confirm(sub *subscription) {
	if !sub.done {
		sub.done = true
		close(sub.ready)
	}
	r := sub.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded || r.fork != nil {
		r.refresh()
	}
}

func (h *shard) hear(payload string) {
	n, err := strconv.ParseUint(payload, 10, 64)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.heard = time.Now()
	newest := n == h.sent
	h.mu.Unlock()
	if newest {
		h.recover()
	}
}

// probeLoop publishes to the shard's own channel, and looks whether it was heard.
func (h *shard) probeLoop(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.look:
		}
		if !h.store.sleep(probeApart) {
			return
		}
		h.mu.Lock()
		h.sent++
		probe, n, pubsub := h.probe, h.sent, h.pubsub
		deaf := pubsub != nil && time.Since(h.heard) > deafAfter
		h.mu.Unlock()
		if deaf {
			h.fail(errDeaf)
			_ = pubsub.Close() // the reader subscribes anew
		}
		if probe == "" {
			continue
		}
		err := h.store.command(ctx, "probe", func(ctx context.Context) error {
			return h.store.client.SPublish(ctx, probe, n).Err()
		})
		if err != nil && ctx.Err() == nil {
			h.fail(err)
		}
	}
}
