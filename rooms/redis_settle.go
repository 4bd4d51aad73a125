package rooms

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// settle makes the view what Redis has, and tells those who follow what that changes.
// The view's lock is held.
func (r *replica) settle(st *state, verdicts []verdict) {
	r.calm() // what follows may find that it has to be done again
	if st.epoch != r.epoch {
		for _, h := range r.own {
			h.unsure = true // until it is judged
		}
	}
	switch {
	case r.loaded && st.told:
		if st.epoch != r.epoch {
			r.begin(st)
		}
		r.catchUp(st)
		if st.full {
			r.compare(st)
		}
	case r.loaded && st.full && r.hearUp(st):
		r.compare(st)
	case st.full:
		r.replace(st)
	}
	for _, v := range verdicts {
		r.judge(v)
	}
	r.merge()
	r.recognize()
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

// calm ends what wanted a reconciliation.
func (r *replica) calm() { r.stale, r.suspect = false, false }

// merge ends the fork: the view is that of Redis.
func (r *replica) merge() {
	if r.fork != nil {
		r.store.observe(r.store.config.Observe.Merged)
		r.fork = nil
	}
	r.loaded = true
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
		r.apply(c, r.caughtUp(c.n))
	}
	if filled {
		r.store.observe(r.store.config.Observe.GapFilled)
	}
	if st.position >= r.position { // else it was overtaken by what came on the channel
		r.position, r.mark = st.position, st.mark
		r.release()
	}
}

// caughtUp is the cursor that goes with entry n where it isn't the entry's own: after a fork,
// whose entries were all seen before it.
func (r *replica) caughtUp(n uint64) Cursor {
	if r.fork == nil {
		return Cursor{}
	}
	return r.forkCursor(n)
}

// recognize has what came of another log come of this one, if that is it.
func (r *replica) recognize() {
	if r.stranger == r.epoch {
		maps.Copy(r.ahead, r.strange)
		r.strange, r.stranger = nil, ""
	}
}

// begin goes over to another log, of which nothing was applied yet.
func (r *replica) begin(st *state) {
	r.goOver(st.epoch)
	r.epoch, r.position, r.mark = st.epoch, 0, "-"
	r.log.restart(0)
	clear(r.ahead)
	r.recognize()
	for _, m := range r.order {
		m.joinedN = 0 // they were there when it began
	}
	r.releaseAll()
}

// goOver notes that the log is left, where another one has its place. Should Redis come back with a
// copy of it, what is in there was told already.
func (r *replica) goOver(to string) {
	if r.epoch != "" && r.epoch != to {
		r.past[r.epoch] = true
	}
}

// isPast reports whether a log was left for another one.
func (r *replica) isPast(epoch string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.past[epoch]
}

// hearUp applies what came on the channel and was held back. It reports whether that was all;
// if not, nothing was applied.
func (r *replica) hearUp(st *state) bool {
	heard, from := r.ahead, r.position
	if st.epoch != r.epoch {
		if st.epoch != r.stranger {
			return false
		}
		heard, from = r.strange, 0
	}
	for position := from + 1; position <= st.position; position++ {
		if c, ok := heard[position]; !ok || c.epoch != st.epoch {
			return false
		}
	}
	if st.epoch != r.epoch {
		r.begin(st)
	}
	for r.position < st.position {
		c := r.ahead[r.position+1]
		delete(r.ahead, c.position)
		r.position = c.position
		r.apply(&c, r.caughtUp(c.n))
	}
	return true
}

// replace takes the state as a whole: the log can't tell how it came to be. Those who
// follow are told of the difference; of signals that were missed they can't be.
func (r *replica) replace(st *state) {
	missed := r.loaded || r.fork != nil && mayMiss(st, r.fork.name)
	r.goOver(st.epoch)
	r.epoch, r.position = st.epoch, 0 // so that nothing overtook st
	r.log.restart(st.n)
	if r.fork != nil {
		r.fork.entries, r.fork.dropped = nil, r.fork.n
	}
	r.compare(st)
	r.position, r.mark = st.position, st.mark
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

// mayMiss reports whether those who are in a fork from before the room was known may have missed a signal.
// That it may be older than they are here does no harm.
func mayMiss(st *state, fork string) bool {
	return !st.told || slices.ContainsFunc(st.entries, func(c change) bool { return c.kind == 'S' && c.fork != fork })
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
			} else if now.claim.pod == r.store.pod.name() && now.claim.was == "-" {
				r.mend() // whoever asked for it has gone meanwhile
			}
			continue
		}
		m.joinedN = now.joinedN
		if h := r.own[m.ID]; h == nil || h.key != now.claim.owner {
			known := m.Data
			m.Member = now.Member
			if string(known) != string(now.Data) {
				r.announce(Entry{Kind: KindUpdated, Member: m.Member}, m)
			}
		}
		now.claim.seq = max(now.claim.seq, r.seqOf(m, now.claim.owner))
		if m.claim != now.claim {
			r.claimed(m, now.claim)
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
	defer func() { h.from, h.anew, h.unsure = "", false, false }()
	if h.ended != nil {
		return
	}
	switch v.word {
	case "taken":
		r.yield(h)
	case "removed", "lost":
		why := ReasonKicked
		if v.word == "lost" {
			why = cmp.Or(h.leaving, ReasonLost)
		}
		r.announce(left(h.member, why), nil)
		r.remove(h.member)
	}
}
