package policy

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// An entry is a rule, and until when it has to be remembered: as long as it counts, and as
// long as any that it took the place of would have. A pod that missed the one that came later
// may bring the earlier one up again until then.
type entry struct {
	Rule
	keep time.Time
}

// newer says whether e takes the place of other. No two that differ are equally new: every pod
// has to come to the same end, in whichever order it hears of them. lua/put.lua says the same.
func (e entry) newer(other entry) bool {
	if c := e.Set.Compare(other.Set); c != 0 {
		return c > 0
	}
	if c := e.Until.Compare(other.Until); c != 0 {
		return c > 0
	}
	return e.Value && !other.Value
}

// join makes one of two about the same.
func join(a, b entry) entry {
	one := a
	if b.newer(a) {
		one = b
	}
	if one.keep = a.keep; b.keep.After(a.keep) {
		one.keep = b.keep
	}
	return one
}

// book is what one pod knows. Entries join in any order to the same, so that whatever is
// heard, twice or late or from wherever, can be put in.
type book struct {
	now    func() time.Time
	teller teller

	mu      sync.RWMutex
	entries map[key]noted
	people  map[person]int // how many entries are about each
	swept   time.Time
}

// A person is a user, or an anonymous member; what is about pods is about nobody.
type person struct{ user, member string }

// noted is an entry in the book.
type noted struct {
	entry
	sure bool // it is as the pods share it; see [Shared.learn]
}

// sweepEvery is how often what is over is looked for, if something changes at all.
const sweepEvery = time.Minute

func newBook(now func() time.Time) *book {
	if now == nil {
		now = time.Now
	}
	return &book{now: now, entries: map[key]noted{}, people: map[person]int{}}
}

// decide puts in rules that were decided here, at a time where they don't say themselves when,
// and returns them as they stand. Nobody else knows of them yet.
func (b *book) decide(rules []Rule, at time.Time, leasts []time.Time) []Rule {
	b.mu.Lock()
	defer b.mu.Unlock()
	stand := make([]Rule, len(rules))
	var news []Rule
	for i, r := range rules {
		if r.Set.IsZero() {
			r.Set = milli(at)
			least := b.least(r.key())
			if leasts != nil {
				least = leasts[i]
			}
			if r.Set.Before(least) {
				r.Set = least
			}
		}
		news = b.note(news, entry{r, r.Until}, false)
		if stand[i] = r; !b.entries[r.key()].Set.IsZero() {
			stand[i] = b.entries[r.key()].Rule
		}
	}
	b.tell(news)
	return stand
}

// least is the earliest time at which a decision comes after the one that is known.
func (b *book) least(k key) time.Time {
	if known, ok := b.entries[k]; ok {
		return known.Set.Add(time.Millisecond)
	}
	return time.Time{}
}

// leasts are the same for some rules.
func (b *book) leasts(rules []Rule) []time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]time.Time, len(rules))
	for i, r := range rules {
		all[i] = b.least(r.key())
	}
	return all
}

// learn puts in what was heard. With sure it is what the pods share at the place where this one
// now is, and with all there is nothing beside it.
func (b *book) learn(entries []entry, sure, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sure && all {
		for k, known := range b.entries {
			known.sure = false
			b.entries[k] = known
		}
	}
	var news []Rule
	for _, e := range entries {
		news = b.note(news, e, sure)
	}
	b.tell(news)
}

// note joins an entry to what is known, and adds its rule to news if it is in force and was not
// known as it is.
func (b *book) note(news []Rule, e entry, sure bool) []Rule {
	now := b.now()
	if !e.keep.After(now) {
		return news
	}
	k := e.key()
	known, ok := b.entries[k]
	one := e
	if ok {
		one = join(known.entry, e)
	} else {
		b.people[person{e.User, e.Member}]++
	}
	b.entries[k] = noted{one, sure && one == e || !sure && ok && known.sure && one == known.entry}
	if ok && one.Rule == known.Rule || !one.Until.After(now) {
		return news
	}
	return append(news, one.Rule)
}

// tell has news told of, and from time to time forgets what is over.
func (b *book) tell(news []Rule) {
	b.teller.tell(news)
	now := b.now()
	if now.Sub(b.swept) < sweepEvery {
		return
	}
	b.swept = now
	for k, known := range b.entries {
		if known.keep.After(now) {
			continue
		}
		delete(b.entries, k)
		who := person{k.user, k.member}
		if b.people[who]--; b.people[who] == 0 {
			delete(b.people, who)
		}
	}
}

// unsure are the entries of which it isn't known that the pods share them.
func (b *book) unsure() (all []entry) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.now()
	for _, known := range b.entries {
		if !known.sure && known.keep.After(now) {
			all = append(all, known.entry)
		}
	}
	return all
}

// stand returns rules as they stand.
func (b *book) stand(rules []Rule) []Rule {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := slices.Clone(rules)
	for i, r := range rules {
		if known, ok := b.entries[r.key()]; ok {
			all[i] = known.Rule
		}
	}
	return all
}

// On implements [Rules].
func (b *book) On(user, member, room string) (v Verdict) {
	if user != "" {
		member = ""
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.people[person{user, member}] == 0 {
		return v
	}
	v.revoke(b.inForce(key{kind: Revoked, user: user, member: member, room: room}))
	if room == "" {
		return v // rights are of rooms
	}
	v.revoke(b.inForce(key{kind: Revoked, user: user, member: member}))
	v.KickUsers = v.right(b.inForce(key{kind: KickUsers, user: user, member: member, room: room}))
	v.JoinHub = v.right(b.inForce(key{kind: JoinHub, user: user, member: member, room: room}))
	return v
}

// right is what was decided about one, where something was.
func (v *Verdict) right(r Rule, ok bool) *bool {
	if !ok {
		return nil
	}
	if v.RightsUntil.IsZero() || r.Until.Before(v.RightsUntil) {
		v.RightsUntil = r.Until
	}
	return new(r.Value)
}

// revoke has a revocation count, where there is one.
func (v *Verdict) revoke(r Rule, ok bool) {
	if !ok || !r.Value {
		return
	}
	v.Revoked = true
	if r.Until.After(v.Until) {
		v.Until = r.Until
	}
}

func (b *book) inForce(k key) (Rule, bool) {
	known, ok := b.entries[k]
	if !ok || !known.Until.After(b.now()) {
		return Rule{}, false
	}
	return known.Rule, true
}

// List implements [Rules].
func (b *book) List() (all []Rule) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.now()
	for _, known := range b.entries {
		isLifted := !known.Value && (known.Kind == Revoked || known.Kind.drains())
		if known.Until.After(now) && !isLifted {
			all = append(all, known.Rule)
		}
	}
	slices.SortFunc(all, func(a, b Rule) int {
		if c := b.Set.Compare(a.Set); c != 0 {
			return c
		}
		return strings.Compare(a.ID(), b.ID())
	})
	return all
}

// Follow implements [Rules].
func (b *book) Follow(f func([]Rule)) { b.teller.follow(f) }
