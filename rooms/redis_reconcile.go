package rooms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// settleNow reconciles the room by all that there is. Its error is an [ErrUnavailable].
func (r *replica) settleNow(ctx context.Context) error {
	r.mu.Lock()
	r.stale, r.suspect = true, true
	r.mu.Unlock()
	if err := r.reconcile(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// errUnsettled says that others changed the room faster than it could be read.
var errUnsettled = errors.New("the room didn't come to rest")

// reconcile makes this pod's view and Redis agree: what was missed is told to those who
// follow, the members that are here are written where they are missing, and what was
// signaled without Redis is appended.
func (r *replica) reconcile(ctx context.Context) error {
	select {
	case r.syncing <- struct{}{}:
		defer func() { <-r.syncing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer r.move()
	for try := range 6 {
		if try == 2 {
			r.stop() // what goes on without Redis has to be written too: let it wait
		}
		done, err := r.reconcileOnce(ctx)
		if done || err != nil {
			return err
		}
		r.store.observe(r.store.config.Observe.Retried)
	}
	return errUnsettled
}

// errStill says that a step without Redis has to wait.
var errStill = errors.New("the room is being written")

// stop has everything that would be done without Redis wait, until move.
func (r *replica) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.still = make(chan struct{})
}

func (r *replica) move() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.still != nil {
		close(r.still)
		r.still = nil
	}
}

// untilMoving waits until something may be done without Redis.
func (r *replica) untilMoving(ctx context.Context) error {
	r.mu.Lock()
	still := r.still
	r.mu.Unlock()
	if still == nil {
		return nil
	}
	select {
	case <-still:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-r.store.stop:
		return ErrClosed
	}
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

	what := "log"
	if whole {
		what = "head"
	}
	st, err := r.read(ctx, epoch, position, what, last)
	if err != nil {
		return false, err
	}
	if !whole && st.epoch == epoch && st.told && st.position >= position {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case r.dead:
			return true, nil
		case r.fork == nil && r.agrees(&st):
			r.settle(&st, nil)
			return true, nil
		}
		r.suspect = true // what was done without Redis meanwhile has to be written, too
		return false, nil
	}
	if st.epoch == "" || st.epoch == epoch && st.position < position {
		return r.restore(ctx, epoch, position, "")
	}
	if st.epoch != epoch && r.isPast(st.epoch) {
		return r.restore(ctx, st.epoch, st.position, "differs")
	}

	if err := r.pushLeavings(ctx, st.epoch); err != nil {
		return false, err
	}
	mine, err := r.reclaim(ctx, st.epoch)
	if err != nil || mine == nil {
		return false, err
	}
	for range 8 {
		err := r.push(ctx, st.epoch)
		if err == nil { // whose leaving was pushed is gone by now
			err = r.disown(ctx, st.epoch, mine.strays)
			mine.strays = nil
		}
		if err != nil {
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
		if err != nil || now.epoch != st.epoch {
			return false, err
		}
		done, differs := r.settleWith(&now, mine, last)
		switch {
		case done:
			return true, nil
		case differs:
			return r.restore(ctx, epoch, position, "differs")
		case !r.pending(mine):
			return false, nil
		}
	}
	return false, nil
}

// settleWith settles if nothing was done here since the claim that mine is, and reports
// whether the log went on otherwise than it was applied.
func (r *replica) settleWith(now *state, mine *reclaimed, last uint64) (done, differs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch f := r.fork; {
	case r.dead:
		return true, false
	case f != nil && (f.unpushed() || f.steps != mine.steps):
		return false, false
	case r.epoch == now.epoch && r.log.last > last && !now.told:
		return false, false
	case !r.agrees(now):
		return false, true
	}
	r.settle(now, mine.verdicts)
	return true, false
}

// pending reports whether all that was done here since the claim that mine is can be pushed.
func (r *replica) pending(mine *reclaimed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fork != nil && r.fork.unpushed() && r.fork.steps == mine.steps
}

// agrees reports whether what was applied is what Redis has. A copy that lagged when it took
// over may have gone on otherwise. The view's lock is held.
func (r *replica) agrees(st *state) bool {
	if st.epoch != r.epoch || st.position < r.position {
		return true // another log; or what came since st was read
	}
	if len(st.entries) > 0 && r.contradicts(&st.entries[0]) {
		return false
	}
	return st.position-st.n != r.position-r.log.last || st.mark == r.mark
}

// restore begins a new log where Redis has lost the old one, or its end; how is "differs" where
// it went on otherwise, or is one from before. done says that there is nothing to keep, so that the room begins with
// its next member.
func (r *replica) restore(ctx context.Context, epoch string, position uint64, how string) (done bool, err error) {
	pod := r.store.pod.name()
	var members []any
	var orphans []*orphan
	r.mu.Lock()
	if len(r.byID) == 0 && (r.fork == nil || len(r.fork.queue) == 0) {
		r.epoch, r.position, r.mark = "", 0, "-"
		r.log.restart(0)
		clear(r.ahead)
		r.calm()
		r.merge()
		r.mu.Unlock()
		return true, nil
	}
	for _, m := range r.order {
		c := m.claim
		if m.owner != nil {
			c.pod = pod
		} else {
			// Its own pod takes it back when it hears of the new log, if it lives.
			if c.was == "-" {
				c.was = c.owner
			}
			c.owner, c.pod = adopter(), pod
			orphans = append(orphans, &orphan{r.store, r.name, m.ID, c.owner, m.User})
		}
		c.seq = r.settled(m)
		members = append(members, m.ID, c.hold(), body(m.Member))
	}
	r.mu.Unlock()
	args := append([]any{rand.Text()[:13], how, len(members) / 3}, members...)
	out := r.store.removed.of(r.name, r.store.config.TimeNow())
	for _, id := range slices.SortedFunc(maps.Keys(out), func(a, b string) int { return out[a].Compare(out[b]) }) {
		args = append(args, out[id].UnixMilli(), id) // the last one's time is the key's
	}
	if err := r.store.pod.enterAgain(ctx, r.name); err != nil {
		return false, err
	}
	answer, err := r.eval(ctx, restoreScript, epoch, position, args...)
	if err != nil || word(answer, 0) != "ok" {
		return false, err
	}
	r.store.config.Logger.Warn("a room's log was lost: a new one begins", "room", r.name)
	if word(answer, 2) == "adopted" {
		for _, o := range orphans {
			r.store.pod.foster(o)
		}
	}
	return false, nil
}

// verdict is what became of a member that this pod says it has.
type verdict struct {
	hold *hold
	word string
}

// reclaimed is what Redis said of a pod's members.
type reclaimed struct {
	verdicts []verdict
	steps    int     // of the fork, when they were written
	strays   []stray // members that Redis thinks the pod has, and that it didn't name
}

type stray struct{ id, owner string }

// reclaim writes this pod's members. nil: the log is another one by now, or somebody has just
// left and joined again.
func (r *replica) reclaim(ctx context.Context, epoch string) (*reclaimed, error) {
	pod, before := r.store.pod.names()
	if err := r.store.pod.enterAgain(ctx, r.name); err != nil {
		return nil, err
	}
	is := &reclaimed{}
	args := []any{pod, " " + strings.Join(before, " ") + " "}
	r.mu.Lock()
	if r.rejoined() > 0 {
		r.mu.Unlock()
		return nil, nil
	}
	if r.fork != nil {
		is.steps = r.fork.steps
	}
	for _, m := range r.order {
		h := r.own[m.ID]
		if h == nil {
			continue
		}
		life := "live"
		switch {
		case m.follower == nil:
			life = "lingers"
		case h.anew:
			life = "new"
		}
		from := h.from
		if from == "" {
			from = "none" // which no claim says
		}
		knows := uint64(math.MaxInt64)
		if m.claim.owner == h.key { // else its steps aren't counted here
			knows = m.claim.seq
		}
		args = append(args, m.ID, h.key, from, r.settled(m), life, body(m.Member), knows)
		is.verdicts = append(is.verdicts, verdict{hold: h})
	}
	r.mu.Unlock()
	answer, err := r.eval(ctx, reclaimScript, epoch, 0, args...)
	if err != nil {
		r.mayHaveHeard(is)
	}
	if err != nil || word(answer, 0) != "ok" {
		return nil, err
	}
	for i := range is.verdicts {
		is.verdicts[i].word = word(answer, i+1)
	}
	for i := len(is.verdicts) + 1; i+1 < len(answer); i += 2 {
		is.strays = append(is.strays, stray{word(answer, i), word(answer, i+1)})
	}
	return is, nil
}

// mayHaveHeard notes that Redis may have those who joined anew, so that who is removed from now on
// may be one of them. The claim was sent, and has no answer.
func (r *replica) mayHaveHeard(claim *reclaimed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range claim.verdicts {
		v.hold.anew = false
	}
}

// disown takes the strays out that nobody here has.
func (r *replica) disown(ctx context.Context, epoch string, strays []stray) error {
	for _, s := range strays {
		r.mu.Lock()
		_, coming := r.arrivals[s.owner]
		keep := coming || r.own[s.id] != nil
		r.mu.Unlock()
		if keep {
			continue
		}
		if _, err := r.eval(ctx, leaveScript, epoch, 0, s.id, s.owner, string(ReasonLost), 0); err != nil {
			return err
		}
	}
	return nil
}

// pushAtOnce is how many steps, and about how many bytes of them, one script takes.
const (
	pushAtOnce  = 256
	pushedBytes = 256 << 10
)

// rejoined moves what memberships did that left, and whose member is here again, to the front of
// what has to be pushed, and returns how much that is. The view's lock is held.
func (r *replica) rejoined() (n int) {
	if r.fork == nil {
		return 0
	}
	left := map[string]bool{} // owners
	for _, q := range r.fork.queue {
		if h := r.own[q.id]; q.kind == 'L' && h != nil && h.key != q.owner {
			left[q.owner] = true
		}
	}
	if len(left) == 0 {
		return 0
	}
	var theirs, others []forked
	for _, q := range r.fork.queue {
		if left[q.owner] {
			theirs = append(theirs, q)
		} else {
			others = append(others, q)
		}
	}
	r.fork.queue = append(theirs, others...)
	return len(theirs)
}

// pushLeavings has Redis know who left before it is told that the same member is here: it would
// take that for two who want one membership.
func (r *replica) pushLeavings(ctx context.Context, epoch string) error {
	r.mu.Lock()
	n := r.rejoined()
	r.mu.Unlock()
	return r.pushSome(ctx, epoch, n)
}

// push appends what was done without Redis.
func (r *replica) push(ctx context.Context, epoch string) error {
	return r.pushSome(ctx, epoch, math.MaxInt)
}

// pushSome appends the first most steps of it.
func (r *replica) pushSome(ctx context.Context, epoch string, most int) error {
	for most > 0 {
		var args []any
		n, bytes, whole := 0, 0, uint64(0)
		r.mu.Lock()
		if r.fork != nil {
			args = append(args, r.fork.name)
			for _, q := range r.fork.queue[:min(len(r.fork.queue), pushAtOnce, most)] {
				if n > 0 && bytes+len(q.payload) > pushedBytes {
					break
				}
				args = append(args, string(q.kind), q.id, q.owner, q.seq, q.payload)
				n++
				bytes += len(q.payload)
			}
			if n == len(r.fork.queue) && r.fork.unpushed() {
				whole = r.fork.n
				args = append(args, "W", "", "", 0, wholePayload(r.fork.name, whole))
			}
		}
		r.mu.Unlock()
		if n == 0 && whole == 0 {
			return nil
		}
		answer, err := r.eval(ctx, pushScript, epoch, 0, args...)
		if err != nil || word(answer, 0) == "astray" {
			return err // the caller finds out which log there is now
		}
		r.mu.Lock()
		r.fork.bytes -= bytes
		r.fork.queue = r.fork.queue[n:]
		r.fork.whole = max(r.fork.whole, whole)
		r.mu.Unlock()
		if whole > 0 {
			return nil
		}
		most -= n
	}
	return nil
}
