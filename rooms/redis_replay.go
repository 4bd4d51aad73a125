package rooms

import (
	"context"
	"slices"
	"time"
)

// wholePatience is how long somebody who comes back with the cursor of a fork waits until the
// pod of that fork has written it, but not longer than a quarter of the time that they have: there may
// be other rooms. Its pod writes it as soon as it has Redis.
const wholePatience = 2 * time.Second

// awaitWhole waits until all that was seen of a fork is in the log here.
func (r *replica) awaitWhole(ctx context.Context, since Cursor) {
	most := wholePatience
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/4)
	}
	patience := time.NewTimer(most)
	defer patience.Stop()
	for {
		r.mu.Lock()
		wait := r.lacks(since)
		r.mu.Unlock()
		if wait == nil {
			return
		}
		select {
		case <-wait:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		case <-r.store.stop:
			return
		}
	}
}

// lacks returns what is closed when the log has more of the fork of a cursor; nil: it has what was
// seen of it, or that can't be known here. The view's lock is held.
func (r *replica) lacks(since Cursor) <-chan struct{} {
	base, fork, n := unfork(since)
	if fork == "" || r.fork != nil || !r.loaded || r.store.outOfReach(r) || base.Epoch != r.epoch || !r.log.holds(base.N) {
		return nil
	}
	if isWhole(slices.Collect(r.log.after(base.N)), fork, n) {
		return nil
	}
	if r.wholer == nil {
		r.wholer = make(chan struct{})
	}
	return r.wholer
}

// isWhole reports whether the log says that it has a fork up to number n.
func isWhole(recs []*record, fork string, n uint64) bool {
	return n == 0 || slices.ContainsFunc(recs, func(rec *record) bool { return rec.whole && rec.fork == fork && rec.forkN >= n })
}

// hasUnnamed reports whether there are signals of members without a fork's name: as long as the log
// doesn't have a fork whole, each may be one that the fork told too, which isn't noted yet.
func hasUnnamed(recs []*record) bool {
	return slices.ContainsFunc(recs, func(rec *record) bool {
		return rec.Kind == KindSignal && rec.fork == "" && rec.From != ""
	})
}

// missed returns what m would have got since a cursor; false: the view can't tell.
func (r *replica) missed(m *member, since Cursor) ([]*Entry, bool) {
	base, fork, forkN := unfork(since)
	now := r.store.config.TimeNow()
	r.log.trim(now)
	if base.Epoch != r.epoch || base.N < m.joinedN || !r.log.holds(base.N) {
		return nil, false
	}
	recs := slices.Collect(r.log.after(base.N))
	ours := r.fork != nil && r.fork.name == fork
	if !ours && !isWhole(recs, fork, forkN) && (hasUnnamed(recs) || r.fork != nil) {
		// What that fork told may yet come without its name, from what was sent to Redis in vain; and
		// this fork's cursors can't say what was seen of that one.
		return nil, false
	}
	if r.fork != nil {
		more, ok := r.fork.after(fork, forkN, m)
		if !ok {
			return nil, false
		}
		// What the fork tells the log may have by now, while it is being merged.
		recs = slices.DeleteFunc(recs, func(rec *record) bool { return rec.Kind != 0 && r.fork.told[step{rec.owner, rec.seq}] })
		recs = append(recs, more...)
	}
	return r.unseen(m.ID, recs, fork, forkN), true
}

// unseen returns those entries that are for a member which has seen n of a fork.
func (r *replica) unseen(id string, recs []*record, fork string, n uint64) []*Entry {
	inFork := func(rec *record) bool { return fork != "" && rec.fork == fork && rec.forkN <= n }
	told := map[step]bool{}
	for _, rec := range recs {
		if rec.Kind == 0 && inFork(rec) {
			told[step{rec.owner, rec.seq}] = true
		}
	}
	var unseen []*Entry
	for _, rec := range recs {
		if rec.Kind != 0 && rec.IsFor(id) && !inFork(rec) && !told[step{rec.owner, rec.seq}] {
			unseen = append(unseen, r.ready(rec))
		}
	}
	return unseen
}

// fetch reads from the log what the view doesn't keep any more, for a member that came
// in at entry number at. It answers nil, false where that is gone from the log too.
func (r *replica) fetch(ctx context.Context, m *member, since Cursor, at uint64) ([]*Entry, bool) {
	base, fork, forkN := unfork(since)
	r.mu.Lock()
	epoch, position := r.epoch, r.position
	can := base.Epoch == epoch && base.N >= m.joinedN && base.N <= at
	r.mu.Unlock()
	if !can {
		return nil, false
	}
	state, err := r.read(ctx, epoch, position, "log", base.N)
	if err != nil || !state.told || state.epoch != epoch {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch {
		return nil, false
	}
	var older, all []*record
	first := r.log.last - uint64(r.log.kept) // the number before the first that is kept
	for i := range state.entries {
		c := &state.entries[i]
		if c.n <= base.N {
			continue
		}
		if c.n > at {
			break
		}
		rec := &record{Entry: c.entry(r.name), origin: c.origin()}
		if c.n > first {
			for kept := range r.log.after(c.n - 1) {
				rec = kept // so that it is prepared once
				break
			}
		} else {
			older = append(older, rec)
		}
		all = append(all, rec)
	}
	if !isWhole(all, fork, forkN) && hasUnnamed(all) {
		return nil, false
	}
	missed := r.unseen(m.ID, all, fork, forkN)
	if len(older) > 0 && older[len(older)-1].Cursor.N == first {
		r.log.prepend(older, r.store.config.TimeNow())
	}
	r.store.observe(r.store.config.Observe.GapFilled)
	return missed, true
}
