package rooms

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"
)

// settleNow reconciles the room by all that there is.
func (r *replica) settleNow(ctx context.Context) error {
	r.mu.Lock()
	r.stale, r.suspect = true, true
	r.mu.Unlock()
	return r.reconcile(ctx)
}

// errUnsettled says that others changed the room faster than it could be read.
var errUnsettled = errors.New("the room didn't come to rest")

// reconcile makes this pod's view and Redis agree: what was missed is told to those who
// follow, the members that are here are written where they are missing, and what was
// signaled without Redis is appended.
func (r *replica) reconcile(ctx context.Context) error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	for range 6 {
		done, err := r.reconcileOnce(ctx)
		if done || err != nil {
			return err
		}
		r.store.observe(r.store.config.Observe.Retried)
	}
	return errUnsettled
}

func (r *replica) reconcileOnce(ctx context.Context) (done bool, err error) {
	r.mu.Lock()
	if r.dead || !r.stale {
		r.mu.Unlock()
		return true, nil
	}
	epoch, position, last := r.epoch, r.position, r.log.last
	whole := r.suspect || r.fork != nil || !r.loaded
	r.mu.Unlock()

	what := ""
	if whole {
		what = "all"
	}
	st, err := r.read(ctx, epoch, position, what, last)
	if err != nil {
		return false, err
	}
	if !whole && st.epoch == epoch && st.told && st.position >= position {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settle(&st, nil)
		return true, nil
	}
	switch regressed := st.epoch == epoch && st.position < position; {
	case st.epoch == "" || regressed:
		begun, err := r.restore(ctx, epoch, position)
		if begun || err != nil {
			return begun, err
		}
		return false, nil // look again
	}

	verdicts, err := r.reclaim(ctx, st.epoch)
	if err != nil || verdicts == nil {
		return false, err
	}
	for {
		if err := r.push(ctx, st.epoch); err != nil {
			return false, err
		}
		r.mu.Lock()
		epoch, position, last = r.epoch, r.position, r.log.last
		r.mu.Unlock()
		if epoch != st.epoch {
			// Another log, which began with those who were there: all of its entries are new.
			epoch, position, last = st.epoch, 0, 0
		}
		now, err := r.read(ctx, epoch, position, "all", last)
		if err != nil {
			return false, err
		}
		if now.epoch != st.epoch {
			return false, nil
		}
		r.mu.Lock()
		if r.fork != nil && len(r.fork.queue) > 0 {
			r.mu.Unlock()
			continue // more was said meanwhile
		}
		if r.epoch == now.epoch && r.log.last > last && !now.told {
			r.mu.Unlock()
			return false, nil
		}
		r.settle(&now, verdicts)
		r.mu.Unlock()
		return true, nil
	}
}

// restore begins a new log where Redis has lost the old one, or its end. done says that
// there is nothing to keep, so that the room begins with its next member.
func (r *replica) restore(ctx context.Context, epoch string, position uint64) (done bool, err error) {
	args := []any{rand.Text()[:13]}
	pods := map[string]bool{}
	r.mu.Lock()
	if len(r.byID) == 0 && (r.fork == nil || len(r.fork.queue) == 0) {
		r.epoch, r.position = "", 0
		r.log.restart(0)
		clear(r.ahead)
		r.calm()
		r.mu.Unlock()
		return true, nil
	}
	for _, m := range r.order {
		c := m.claim
		if m.owner != nil {
			c.pod = r.store.pod.name()
		}
		if c.pod == "" {
			continue // nobody's: its pod will write it
		}
		c.seq = r.settled(m)
		pods[c.pod] = true
		args = append(args, m.ID, c.hold(), body(m.Member))
	}
	r.mu.Unlock()
	// Were those pods dead too, somebody has to find out.
	for pod := range pods {
		if err := r.store.pod.vouch(ctx, pod, r.name); err != nil {
			return false, err
		}
	}
	_, err = r.store.evalRoom(ctx, restoreScript, r.keys, epoch, position, args...)
	if err == nil {
		r.store.config.Logger.Warn("a room's log was lost: a new one begins", "room", r.name)
	}
	return false, err
}

// verdict is what became of a member that this pod says it has.
type verdict struct {
	hold *hold
	word string
}

// reclaim writes this pod's members. nil verdicts: the log is another one by now.
func (r *replica) reclaim(ctx context.Context, epoch string) ([]verdict, error) {
	pod, before := r.store.pod.names()
	if err := r.store.pod.enterRoom(ctx, r.name); err != nil {
		return nil, err
	}
	verdicts := []verdict{}
	var coming strings.Builder
	coming.WriteByte(' ')
	r.mu.Lock()
	var mine []any
	for _, m := range r.order {
		h := r.own[m.ID]
		if h == nil {
			continue
		}
		life := "live"
		if m.follower == nil {
			life = "lingers"
		}
		from := h.from
		if from == "" {
			from = "none" // which no claim says
		}
		mine = append(mine, m.ID, h.key, from, r.settled(m), life, body(m.Member))
		verdicts = append(verdicts, verdict{hold: h})
	}
	for _, a := range r.arrivals {
		coming.WriteString(a.member.ID + " ")
	}
	r.mu.Unlock()
	args := append([]any{pod, " " + strings.Join(before, " ") + " ", coming.String()}, mine...)
	answer, err := r.store.evalRoom(ctx, reclaimScript, r.keys, epoch, 0, args...)
	if err != nil || word(answer, 0) != "ok" {
		return nil, err
	}
	for i := range verdicts {
		verdicts[i].word = word(answer, i+1)
	}
	return verdicts, nil
}

// push appends what was signaled without Redis.
func (r *replica) push(ctx context.Context, epoch string) error {
	for {
		r.mu.Lock()
		if r.fork == nil || len(r.fork.queue) == 0 {
			r.mu.Unlock()
			return nil
		}
		next := r.fork.queue[0]
		r.mu.Unlock()
		answer, err := r.store.evalRoom(ctx, sayScript, r.keys, epoch, 0,
			next.id, next.owner, next.seq, "", next.payload, "", "late")
		if err != nil {
			return err
		}
		switch word(answer, 0) {
		case "astray":
			return nil // the caller finds out
		case "done":
			// It came in when its answer didn't come out. Those who resume with a
			// cursor of the fork have seen it.
			_, err := r.store.evalRoom(ctx, announceScript, r.keys, epoch, 0, "", next.alias)
			if err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.fork.bytes -= len(next.payload)
		r.fork.queue = r.fork.queue[1:]
		r.mu.Unlock()
	}
}

// settle makes the view what Redis has, and tells those who follow what that changes.
// The view's lock is held.
func (r *replica) settle(st *state, verdicts []verdict) {
	switch {
	case r.loaded && st.told:
		if st.epoch != r.epoch {
			r.begin(st)
		}
		r.catchUp(st)
		if st.full {
			r.compare(st)
		}
	case r.loaded && st.epoch == r.epoch && r.hearUp(st.position):
		r.compare(st)
	case st.full:
		r.replace(st)
	}
	for _, v := range verdicts {
		r.judge(v)
	}
	r.loaded = true
	r.calm()
	for position, c := range r.ahead {
		if c.epoch != r.epoch || position <= r.position {
			delete(r.ahead, position)
		}
	}
	r.advance()
	if len(r.ahead) > 0 {
		r.stale = true
	}
}

// calm ends the fork, and what wanted a reconciliation.
func (r *replica) calm() {
	if r.fork != nil {
		r.store.observe(r.store.config.Observe.Merged)
		r.fork = nil
	}
	r.stale, r.suspect, r.loaded = false, false, true
}

// catchUp applies the entries that were missed.
func (r *replica) catchUp(st *state) {
	filled := false
	for i := range st.entries {
		c := &st.entries[i]
		if c.n <= r.log.last {
			continue
		}
		filled = true
		as := Cursor{}
		if r.fork != nil {
			as = r.forkCursor(c.n)
		}
		r.apply(c, as)
	}
	if filled {
		r.store.observe(r.store.config.Observe.GapFilled)
	}
	if st.position >= r.position { // else it was overtaken by what came on the channel
		r.position = st.position
		r.release()
	}
}

// begin goes over to another log, of which nothing was applied yet.
func (r *replica) begin(st *state) {
	r.epoch, r.position = st.epoch, 0
	r.log.restart(0)
	for _, m := range r.order {
		m.joinedN = 0 // they were there when it began
	}
	r.releaseAll()
}

// hearUp applies what was held back while the fork lasted, and reports whether that is all
// up to a position.
func (r *replica) hearUp(position uint64) bool {
	for r.position < position {
		c, ok := r.ahead[r.position+1]
		if !ok || c.epoch != r.epoch {
			return false
		}
		delete(r.ahead, c.position)
		r.position = c.position
		as := Cursor{}
		if r.fork != nil {
			as = r.forkCursor(c.n)
		}
		r.apply(&c, as)
	}
	return true
}

// replace takes the state as a whole: the log can't tell how it came to be. Those who
// follow are told of the difference; of signals that were missed they can't be.
func (r *replica) replace(st *state) {
	missed := r.loaded && r.epoch == st.epoch // by this pod alone; others have it in the log
	r.epoch, r.position = st.epoch, st.position
	r.log.restart(st.n)
	if r.fork != nil {
		r.fork.entries, r.fork.dropped = nil, r.fork.n
	}
	r.position = 0 // so that nothing overtook it
	r.compare(st)
	r.position = st.position
	slices.SortStableFunc(r.order, byJoining)
	r.releaseAll()
	if !missed {
		return
	}
	for _, m := range r.order {
		if m.follower != nil {
			// It has to come back and take the state as a whole.
			f := m.follower
			m.follower = nil
			f.Detached(ErrGap)
			h := r.own[m.ID]
			r.store.lingering.add(h, r.store.config.TimeNow().Add(max(0, r.store.config.Linger)))
		}
	}
}

// compare puts right whose the members are, and tells of those of whom the log didn't. The
// pod's own are judged by what Redis said of them.
func (r *replica) compare(st *state) {
	if st.position < r.position {
		return // it was overtaken by what came on the channel
	}
	is := make(map[string]*member, len(st.members))
	for _, m := range st.members {
		is[m.ID] = m
	}
	for _, m := range slices.Clone(r.order) {
		if is[m.ID] == nil && r.own[m.ID] == nil {
			r.announce(left(m, ReasonLost), nil)
			r.remove(m)
		}
	}
	for _, now := range st.members {
		m := r.byID[now.ID]
		if m == nil {
			m = &member{Member: now.Member, joinedN: now.joinedN, claim: now.claim}
			r.announce(Entry{Kind: KindJoined, Member: m.Member}, m)
			r.add(m)
			if a := r.arrivals[now.claim.owner]; a != nil {
				r.arrive(a, m)
			}
			continue
		}
		known := m.Member
		m.Member, m.joinedN = now.Member, now.joinedN
		if m.claim.owner == now.claim.owner {
			m.claim.pod, m.claim.was = now.claim.pod, now.claim.was
		}
		if m.claim == now.claim {
			continue
		}
		now.claim.seq = max(now.claim.seq, r.seqOf(m, now.claim.owner))
		r.claimed(m, now.claim)
		if string(known.Data) != string(now.Data) {
			r.announce(Entry{Kind: KindUpdated, Member: m.Member}, m)
		}
	}
}

// announce delivers what isn't in the log as if it were. The view's lock is held.
func (r *replica) announce(e Entry, cause *member) {
	e.Room, e.Cursor, e.At = r.name, r.cursor(), time.Now()
	r.deliver(&record{Entry: e}, cause)
}

// judge does what Redis says of a member that this pod thought to have.
func (r *replica) judge(v verdict) {
	h := v.hold
	h.from = ""
	if h.ended != nil {
		return
	}
	switch v.word {
	case "taken":
		r.handOver(h.member, nil, nil)
		delete(r.own, h.member.ID)
		if r.idle() {
			r.store.tidySoon(r)
		}
	case "removed", "lost":
		why := ReasonKicked
		if v.word == "lost" {
			why = ReasonLost
		}
		r.announce(left(h.member, why), nil)
		r.remove(h.member)
	}
}
