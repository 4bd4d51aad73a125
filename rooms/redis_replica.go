package rooms

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// replica is a room over Redis as this pod sees it, while the pod has members in it:
// it follows the room's channel, and what it misses there it reads from the log.
type replica struct {
	view
	store *Redis
	keys  roomKeys

	// store.mu guards these.
	users   int           // calls that are inside
	closing bool          // whoever wants in waits for closed
	watched time.Time     // until when it stays open though nobody is in it; zero: it needn't
	opened  chan struct{} // closed when it is known how the room looks, or that it can't be
	closed  chan struct{} // closed when it is off the map

	shard atomic.Pointer[shard] // where it subscribes; nil: nowhere yet

	syncing chan struct{} // capacity 1: one reconciliation at a time; taken before the view's lock

	// The view's lock guards what follows.
	position uint64              // of the newest change that was applied
	mark     string              // the owner in the newest of those beside the log, or "-"
	loaded   bool                // the view is that of Redis
	stale    bool                // has to be reconciled
	suspect  bool                // by all that there is, not by the log alone
	mending  bool                // somebody is about to
	still    chan struct{}       // nothing may be done without Redis until it is closed; nil: it may
	ahead    map[uint64]change   // by position: came before one that is missing
	strange  map[uint64]change   // by position: of another log than the one that was applied
	stranger string              // the epoch of that one
	past     map[string]bool     // epochs of logs that were left for another one
	arrivals map[string]*arrival // by owner: those who wait to be applied
	waiting  []waiting           // for positions
	fork     *fork               // what was done here without Redis; nil: nothing
	wholer   chan struct{}       // closed when the log has a fork, or more of it; nil: nobody waits for that
	own      map[string]*hold    // by member id
	dead     bool                // Close was called: nobody is told of anything
}

// waiting is a call that waits until a change of its own was applied.
type waiting struct {
	position uint64
	done     chan struct{}
}

// arrival is a Join or a Resume between its script and its being applied.
type arrival struct {
	hold     *hold
	member   Member
	follower Follower
	since    *Cursor // Resume
	asked    bool    // Redis, which may have let it in

	done     bool
	snapshot Snapshot
	missed   []*Entry
	told     bool   // missed is what there was
	apart    bool   // it came in in a fork, of which the log alone can't tell
	at       uint64 // number of the entry at which it came in
}

func newReplica(s *Redis, name string) *replica {
	return &replica{
		view: newView(name, s.config.Config), store: s, keys: s.keysOf(name),
		opened: make(chan struct{}), closed: make(chan struct{}), syncing: make(chan struct{}, 1), mark: "-",
		ahead: map[uint64]change{}, arrivals: map[string]*arrival{}, own: map[string]*hold{}, past: map[string]bool{},
	}
}

// idle reports whether nothing here needs the room any more. The view's lock is held.
func (r *replica) idle() bool {
	return len(r.own) == 0 && len(r.arrivals) == 0 && r.fork == nil && !r.suspect
}

// seen is what the scripts are told that this pod knows.
func (r *replica) seen() (epoch string, position uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch, r.position
}

// accept takes a change, from the channel or as a script's answer: in any order,
// and as often as it comes.
func (r *replica) accept(c change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.dead:
		return
	case !r.loaded:
		r.keepStrange(c) // perhaps it is newer than what is being read
		return
	case c.epoch != r.epoch && r.epoch == "":
		r.epoch = c.epoch // there was no log yet: this one begins after nothing
	case c.epoch != r.epoch:
		r.keepStrange(c)
		r.mend()
		return
	}
	if c.position <= r.position {
		if r.contradicts(&c) {
			r.mend()
		}
		return
	}
	r.ahead[c.position] = c
	if r.fork != nil {
		r.tellApart(&c)
		if len(r.ahead) > maxAhead {
			clear(r.ahead) // it is read from the log when the fork ends
		}
		return
	}
	r.advance()
	if len(r.ahead) > 0 && !r.mending { // else whoever mends looks for it, too
		r.store.mendSoon(r, gapPatience)
	}
}

const (
	// gapPatience is how long a change that came too soon waits for those before
	// it, which may be on another connection.
	gapPatience = 150 * time.Millisecond

	maxAhead = 1 << 15 // changes
)

// keepStrange keeps a change of a log that this pod hasn't gone over to yet.
func (r *replica) keepStrange(c change) {
	if r.stranger != c.epoch || len(r.strange) >= maxAhead {
		r.strange, r.stranger = map[uint64]change{}, c.epoch
	}
	r.strange[c.position] = c
}

// contradicts reports whether another change than this one has its place: the log lost
// its end, and went on otherwise.
func (r *replica) contradicts(c *change) bool {
	if !c.isEntry() || c.n == 0 || c.n > r.log.last || !r.log.holds(c.n-1) {
		return false
	}
	for rec := range r.log.after(c.n - 1) {
		return rec.owner != c.owner || rec.seq != c.seq || !rec.At.Equal(c.at)
	}
	return false
}

// advance applies what is next, as far as it came.
func (r *replica) advance() {
	for {
		c, ok := r.ahead[r.position+1]
		if !ok {
			break
		}
		delete(r.ahead, c.position)
		r.position = c.position
		r.apply(&c, Cursor{})
	}
	r.release()
}

// release lets those go who wait for what was applied.
func (r *replica) release() {
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiting) bool {
		if w.position <= r.position {
			close(w.done)
		}
		return w.position <= r.position
	})
}

// releaseAll lets everybody go: positions mean something else from here on.
func (r *replica) releaseAll() {
	for _, w := range r.waiting {
		close(w.done)
	}
	r.waiting = nil
}

// await waits until a change was applied, or can't be told of yet.
func (r *replica) await(ctx context.Context, c change) {
	r.mu.Lock()
	if r.epoch != c.epoch || r.position >= c.position || r.fork != nil || r.dead {
		r.mu.Unlock()
		return
	}
	w := waiting{c.position, make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-r.store.stop:
	}
}

// apply folds one change into the view and tells the followers. as is the cursor
// that they get with it, where that isn't the entry's own.
func (r *replica) apply(c *change, as Cursor) {
	m := r.byID[c.member.ID]
	earlier := r.ofEarlier(c, m)
	if !c.isEntry() {
		if r.mark = "-"; c.kind == 'T' {
			r.mark = c.owner
			if !earlier {
				r.applyClaim(c)
			}
		}
		return
	}
	rec := r.log.append(c.entry(r.name))
	rec.origin = c.origin()
	told := rec
	if as.Epoch != "" {
		told = &record{Entry: rec.Entry, origin: rec.origin}
		told.Cursor = as
	}
	if earlier {
		return
	}
	switch c.kind {
	case 'W':
		if r.wholer != nil {
			close(r.wholer)
			r.wholer = nil
		}
	case 'J':
		r.applyJoined(c, m, told)
	case 'U', 'G':
		if m == nil || r.toldApart(c) {
			return
		}
		if r.fork != nil && r.owns(m) {
			return // it was written again as it is here
		}
		if m.claim.owner == c.owner {
			m.claim.seq = max(m.claim.seq, c.seq)
		}
		m.Member = c.member
		if c.kind == 'U' {
			r.deliver(told, m)
		}
	case 'L':
		if m != nil {
			r.applyLeft(c, m, told)
		}
	case 'S':
		if r.toldApart(c) {
			return
		}
		from := r.byID[c.from]
		if from != nil && from.claim.owner == c.owner {
			if c.seq <= from.claim.seq && !r.owns(from) {
				return // told in the log before this one
			}
			from.claim.seq = max(from.claim.seq, c.seq)
		}
		r.deliver(told, from)
	}
}

func (r *replica) applyJoined(c *change, m *member, told *record) {
	if m != nil { // it was here all along: another pod, or this one, wrote it again
		known := m.Member
		m.Member, m.joinedN = c.member, c.n
		r.claimed(m, claim{owner: c.owner, seq: max(c.seq, r.seqOf(m, c.owner)), pod: c.pod, was: "-"})
		if string(known.Data) != string(c.member.Data) {
			told.Kind = KindUpdated
			r.deliver(told, m)
		}
		return
	}
	if r.fork != nil && r.fork.left[c.owner] {
		return // it came and left, as everybody here was told
	}
	m = &member{Member: c.member, joinedN: c.n, claim: claim{owner: c.owner, seq: c.seq, pod: c.pod, was: "-"}}
	r.store.removed.forget(place{r.name, m.ID})
	r.deliver(told, m)
	r.add(m)
	if a := r.arrivals[c.owner]; a != nil {
		r.arrive(a, m)
	} else if c.pod == r.store.pod.name() {
		r.mend() // whoever asked for it has gone meanwhile
	}
}

// owns reports whether a member is this pod's.
func (r *replica) owns(m *member) bool {
	hold := r.own[m.ID]
	return hold != nil && hold.key == m.claim.owner
}

// seqOf is the last sequence of an owner, if the member is its.
func (r *replica) seqOf(m *member, owner string) uint64 {
	if m.claim.owner == owner {
		return m.claim.seq
	}
	return 0
}

func (r *replica) applyLeft(c *change, m *member, told *record) {
	if r.livesOn(c, m) {
		r.mend() // it is written again
		return
	}
	r.bar(c)
	r.deliver(told, nil)
	r.remove(m)
}

// livesOn reports whether a member that was given up is still here: others took this pod for dead,
// or waited in vain for somebody who had resumed here, which Redis wasn't told or has lost.
func (r *replica) livesOn(c *change, m *member) bool {
	hold := r.own[m.ID]
	return hold != nil && hold.leaving == "" && m.follower != nil && c.givenUp
}

// bar notes who may not resume.
func (r *replica) bar(c *change) {
	if bars(c.reason) && r.store.config.RemovedFor > 0 {
		r.store.removed.add(place{r.name, c.member.ID}, r.store.config.TimeNow().Add(r.store.config.RemovedFor))
	}
}

// remove takes m out of the view.
func (r *replica) remove(m *member) {
	r.drop(m)
	delete(r.own, m.ID)
	if r.idle() {
		r.store.tidySoon(r)
	}
}

// applyClaim notes whose a member is now.
func (r *replica) applyClaim(c *change) {
	if m := r.byID[c.member.ID]; m != nil {
		r.claimed(m, claim{owner: c.owner, pod: c.pod, was: c.was, seq: r.seqOf(m, c.owner)})
	}
}

// claimed notes a claim, and ends what it contradicts.
func (r *replica) claimed(m *member, now claim) {
	before := m.claim
	m.claim = now
	if a := r.arrivals[now.owner]; a != nil {
		if before.pod != now.pod {
			r.store.observe(r.store.config.Observe.TakenOver)
		}
		r.handOver(m, nil, nil)
		r.arrive(a, m)
		return
	}
	hold := r.own[m.ID]
	switch {
	case hold == nil:
		if now.pod == r.store.pod.name() && now.was == "-" {
			r.mend() // whoever asked for it has gone meanwhile
		}
	case hold.key == now.owner:
	case now.was == hold.key:
		r.mend() // adopted by a pod that took this one for dead
	default:
		r.yield(hold)
	}
}

// yield ends a hold on a member that is another pod's. Whose socket is the newer one isn't known where it
// resumed here without Redis, or the log was lost: then whoever wrote a new one may know of an older owner
// only. It has to come back, and then it is the newest for sure.
func (r *replica) yield(h *hold) {
	m := h.member
	if f := m.follower; f != nil && (h.from != "" || h.unsure) {
		m.follower = nil
		f.Detached(ErrGap)
	}
	r.handOver(m, nil, nil)
	delete(r.own, m.ID)
	if r.idle() {
		r.store.tidySoon(r)
	}
}

// arrive lets somebody in who has just been applied.
func (r *replica) arrive(a *arrival, m *member) {
	delete(r.arrivals, a.hold.key)
	if pod := r.store.pod.name(); m.claim.pod != pod {
		if m.claim.pod != "" {
			r.mend() // this pod has another name by now
		}
		m.claim.pod = pod
	}
	a.hold.member = m
	m.owner, m.follower = a.hold, a.follower
	r.own[m.ID] = a.hold
	m.sawFork, m.sawN = "", 0
	if a.since != nil {
		if _, fork, n := unfork(*a.since); r.fork == nil || r.fork.name != fork {
			m.sawFork, m.sawN = fork, n
		}
		a.missed, a.told = r.missed(m, *a.since)
	}
	a.done, a.apart, a.at, a.snapshot = true, r.fork != nil, r.log.last, r.snapshotNow()
}

// has reports whether somebody has come in.
func (r *replica) has(a *arrival) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return a.done
}

func (r *replica) snapshotNow() Snapshot {
	s := r.snapshot()
	s.Cursor = r.cursorNow()
	s.Degraded = !r.loaded || r.fork != nil || r.store.outOfReach(r)
	return s
}

// mend has the room reconciled soon. The view's lock is held.
func (r *replica) mend() {
	r.suspect = true
	r.refresh()
}

// refresh has what is new in the log read soon. The view's lock is held.
func (r *replica) refresh() {
	r.stale = true
	if !r.mending {
		r.store.mendSoon(r, 0)
	}
}
