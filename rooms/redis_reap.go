package rooms

import (
	"context"
	"crypto/rand"
	"time"
)

// reap takes the members of a dead pod over: they linger here, and whoever resumes them,
// on any pod, has them. It is tried again by another heartbeat if it fails.
func (p *pod) reap(ctx context.Context, dead string) {
	s := p.store
	var names []string
	err := s.command(ctx, "smembers", func(ctx context.Context) (err error) {
		names, err = s.client.SMembers(ctx, p.keys.rooms(dead)).Result()
		return err
	})
	if err != nil {
		return
	}
	members := 0
	for _, name := range names {
		n, err := p.adopt(ctx, dead, name)
		if err != nil {
			s.config.Logger.Warn("a dead pod's members can't be taken over yet", "dead", dead, "room", name, "error", err)
			return
		}
		members += n
	}
	err = s.command(ctx, "bury", func(ctx context.Context) error {
		if err := s.client.Del(ctx, p.keys.rooms(dead)).Err(); err != nil {
			return err
		}
		if err := s.client.HDel(ctx, p.keys.about, dead).Err(); err != nil {
			return err
		}
		return s.client.ZRem(ctx, p.keys.dead, dead).Err()
	})
	if err != nil {
		return
	}
	if members > 0 {
		s.config.Logger.Warn("a pod is gone: its members linger here", "dead", dead, "rooms", len(names), "members", members)
	} else {
		s.config.Logger.Info("a pod is gone", "dead", dead)
	}
}

// adopt takes the members of a dead pod in one room over.
func (p *pod) adopt(ctx context.Context, dead, name string) (int, error) {
	s := p.store
	p.hold(name, 1) // so that the name stays in the set
	defer p.hold(name, -1)
	if err := p.enterRoom(ctx, name); err != nil {
		return 0, err
	}
	k := s.keysOf(name)
	answer, err := s.evalRoom(ctx, adoptScript, k, "", 0, dead, p.name(), adopter()+".")
	if err != nil {
		return 0, err
	}
	for i := 0; i+2 < len(answer); i += 3 {
		s.observe(s.config.Observe.Reaped)
		p.foster(&orphan{s, name, word(answer, i), word(answer, i+1), untoken(word(answer, i+2))})
	}
	return len(answer) / 3, nil
}

// adopter names the owner of an orphan.
func adopter() string { return "a" + rand.Text()[:12] }

// foster lets an orphan linger here.
func (p *pod) foster(o *orphan) {
	p.hold(o.room, 1)
	p.mu.Lock()
	p.fosters[place{o.room, o.id}] = o
	p.mu.Unlock()
	p.store.lingering.add(o, p.store.config.TimeNow().Add(max(0, p.store.config.Linger)))
}

// part forgets an orphan.
func (p *pod) part(o *orphan) {
	at := place{o.room, o.id}
	p.mu.Lock()
	if p.fosters[at] == o { // else it was orphaned again
		delete(p.fosters, at)
	}
	p.mu.Unlock()
	p.hold(o.room, -1)
}

// lingering returns the orphans by room.
func (p *pod) lingering() map[string][]*orphan {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string][]*orphan{}
	for at, o := range p.fosters {
		all[at.room] = append(all[at.room], o)
	}
	return all
}

// hold counts the orphans of a room. Without any, and without members of its own, the pod has
// nothing to do with the room any more.
func (p *pod) hold(room string, n int) {
	p.mu.Lock()
	p.orphans[room] += n
	last := p.orphans[room] == 0
	if last {
		delete(p.orphans, room)
	}
	p.mu.Unlock()
	if last && !p.store.isOpen(room) {
		p.leaveRoom(p.store.ctx, room)
	}
}

// hasOrphans reports whether orphans linger here.
func (p *pod) hasOrphans() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.orphans) > 0
}

// orphan is a member whose pod died.
type orphan struct {
	store                 *Redis
	room, id, owner, user string
}

// member is as much of it as is known without its room.
func (o *orphan) member() Member { return Member{ID: o.id, User: o.user} }

// lose ends it, unless it was resumed.
func (o *orphan) lose() {
	s := o.store
	s.spawn(func() {
		k := s.keysOf(o.room)
		// Its owner is its own, so that nothing else can have it. A room that is open
		// here hears of it on its channel.
		_, err := s.evalRoom(s.ctx, leaveScript, k, "", 0, o.id, o.owner, givenUp, 0)
		switch {
		case err == nil:
			s.pod.part(o)
		case s.ctx.Err() == nil:
			s.lingering.add(o, s.config.TimeNow().Add(time.Second))
		}
	})
}
