package rooms

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// pod is this process among those that share the rooms. It lives while its lease is
// renewed; whose lease has run out is reaped by one of the others. One write a
// heartbeat does that, however many members it has.
//
// A pod that was given up, because it or Redis stood still for too long, comes back under
// a new name, so that whoever is still reaping the old one can't harm it.
type pod struct {
	store  *Redis
	id     string // as the operator gave it
	keys   podKeys
	report report

	mu      sync.Mutex
	life    string // id/something: this life's name
	born    time.Time
	before  []string          // names of earlier lives, newest last
	since   time.Time         // when it was reborn, or heard again, last
	entered map[string]bool   // rooms that are in the set of this life
	orphans map[string]int    // by room: members of other pods that linger here, and whoever is at adopting them
	fosters map[place]*orphan // those that linger here
	beaten  time.Time         // when the lease was renewed last
}

func newPod(s *Redis, id string) *pod {
	p := &pod{store: s, id: id, keys: newPodKeys(s.config.Prefix), orphans: map[string]int{}, fosters: map[place]*orphan{}, beaten: time.Now()}
	p.rename()
	return p
}

func (p *pod) prefix() string { return url.PathEscape(p.id) + "/" }

// rename begins another life.
func (p *pod) rename() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != "" {
		p.before = append(p.before, p.life)
		p.before = p.before[max(0, len(p.before)-8):]
	}
	p.life = p.prefix() + rand.Text()[:8]
	p.entered = map[string]bool{}
	p.born = time.Now()
	p.since = p.born
}

func (p *pod) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

func (p *pod) names() (now string, before []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life, slices.Clone(p.before)
}

// ttl is how long a lease lasts without being renewed. A heartbeat less than Lease, because
// it takes the others up to one to look.
func (p *pod) ttl() time.Duration { return p.store.config.Lease - p.heartbeat() }

func (p *pod) heartbeat() time.Duration { return p.store.config.Lease / 4 }

// enlist takes the lease. Where an earlier life of the pod still has one, it waits until
// that has run out, and returns [ErrPodTaken] when it was renewed instead.
func (p *pod) enlist(ctx context.Context) error {
	for newest := int64(-1); ; {
		answer, err := p.takeLease(ctx, p.prefix())
		if err != nil {
			return err
		}
		if word(answer, 0) == "ok" {
			p.mu.Lock()
			p.beaten = time.Now()
			p.mu.Unlock()
			return nil
		}
		left, err := strconv.ParseInt(word(answer, 1), 10, 64)
		if err != nil {
			return errBadMessage
		}
		if newest >= 0 && left > newest {
			return fmt.Errorf("pod %q: %w", p.id, ErrPodTaken)
		}
		if newest < 0 {
			p.store.config.Logger.Info("waiting for the lease of this pod's earlier life to run out", "left", time.Duration(left)*time.Millisecond)
		}
		newest = left
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(p.heartbeat()/2, time.Duration(left)*time.Millisecond+10*time.Millisecond)):
		}
	}
}

// takeLease asks for the lease of a new life, unless one whose name begins with unless has one.
func (p *pod) takeLease(ctx context.Context, unless string) ([]any, error) {
	return p.store.eval(ctx, enlistScript, []string{p.keys.leases, p.keys.about}, p.name(), p.ttl().Milliseconds(), unless, p.about())
}

// run keeps the lease until the store is closed.
func (p *pod) run(ctx context.Context) {
	ticker := time.NewTicker(p.heartbeat())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.beat(ctx)
		}
	}
}

// beat renews the lease, and reaps.
func (p *pod) beat(ctx context.Context) {
	p.mu.Lock()
	life, reap := p.life, "reap"
	if time.Since(p.since) < p.store.config.Lease {
		reap = "" // after an outage all leases are old: give the others time to renew theirs
	}
	p.mu.Unlock()
	patience := 3 * p.store.config.Lease
	answer, err := p.store.eval(ctx, beatScript, []string{p.keys.leases, p.keys.dead, p.keys.about},
		life, p.ttl().Milliseconds(), reap, patience.Milliseconds(), p.about())
	if err != nil {
		if ctx.Err() == nil {
			p.store.config.Logger.Debug("the lease could not be renewed", "error", err)
		}
		return
	}
	p.mu.Lock()
	p.beaten = time.Now()
	if word(answer, 0) == "late" {
		p.since = p.beaten
	}
	p.mu.Unlock()
	switch word(answer, 0) {
	case "late":
	case "lost":
		p.reborn(ctx)
	default:
		for i := range answer[1:] {
			dead := word(answer, i+1)
			p.store.spawn(func() { p.reap(ctx, dead) })
		}
	}
}

// overdue is for how long the lease couldn't be renewed when it should have been; 0: it was.
// Redis may answer and still take nothing, for want of memory or as a replica.
func (p *pod) overdue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late := time.Since(p.beaten) - 2*p.heartbeat(); late > 0 {
		return late
	}
	return 0
}

// reborn begins another life when this one was given up, and writes all members again.
func (p *pod) reborn(ctx context.Context) {
	before := p.name()
	p.rename()
	p.store.config.Logger.Warn("this pod's lease was lost: its members are put right", "life", p.name())
	if _, err := p.takeLease(ctx, "\x00"); err != nil {
		p.store.config.Logger.Warn("no new lease yet", "error", err)
		return // the next beat tries again
	}
	// What is still under the old name is put away like a dead pod's: Redis may have
	// forgotten that it is one.
	_ = p.store.command(ctx, "zadd", func(ctx context.Context) error {
		return p.store.client.ZAddNX(ctx, p.keys.dead, redis.Z{Member: before}).Err()
	})
	for _, r := range p.store.all() {
		r.mu.Lock()
		r.mend()
		r.mu.Unlock()
	}
}

// enterRoom notes that the pod has members in a room, before it has.
func (p *pod) enterRoom(ctx context.Context, room string) error {
	p.mu.Lock()
	entered := p.entered[room]
	p.mu.Unlock()
	if entered {
		return nil
	}
	return p.enterAgain(ctx, room)
}

// enterAgain is enterRoom where Redis may have forgotten.
func (p *pod) enterAgain(ctx context.Context, room string) error {
	life := p.name()
	err := p.store.command(ctx, "sadd", func(ctx context.Context) error {
		return p.store.client.SAdd(ctx, p.keys.rooms(life), room).Err()
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.life == life {
		p.entered[room] = true
	}
	return err
}

// leaveRoom notes that it has none there any more. If that fails, whoever reaps the pod
// looks in vain.
func (p *pod) leaveRoom(ctx context.Context, room string) {
	p.mu.Lock()
	life := p.life
	leaves := p.entered[room] && p.orphans[room] == 0
	if leaves {
		delete(p.entered, room)
	}
	p.mu.Unlock()
	if !leaves {
		return
	}
	_ = p.store.command(ctx, "srem", func(ctx context.Context) error {
		return p.store.client.SRem(ctx, p.keys.rooms(life), room).Err()
	})
}

// retire gives the lease back, so that whoever still lingers here is looked after
// at once.
func (p *pod) retire(ctx context.Context, empty bool) {
	life := p.name()
	_ = p.store.command(ctx, "retire", func(ctx context.Context) error {
		if !empty {
			return p.store.client.ZAddXX(ctx, p.keys.leases, redis.Z{Score: 1, Member: life}).Err()
		}
		if err := p.store.client.HDel(ctx, p.keys.about, life).Err(); err != nil {
			return err
		}
		if err := p.store.client.ZRem(ctx, p.keys.leases, life).Err(); err != nil {
			return err
		}
		return p.store.client.Del(ctx, p.keys.rooms(life)).Err()
	})
}
