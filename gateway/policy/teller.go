package policy

import (
	"slices"
	"sync"
)

// teller tells whoever follows what is new. It has a goroutine only while there is something
// to tell.
type teller struct {
	mu      sync.Mutex
	f       func([]Rule)
	waiting []Rule
	telling bool
	closed  bool
	wg      sync.WaitGroup
}

func (t *teller) follow(f func([]Rule)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.f = f
}

// tell has rules told of, after those before.
func (t *teller) tell(rules []Rule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(rules) == 0 || t.f == nil || t.closed {
		return
	}
	t.waiting = append(t.waiting, rules...)
	if !t.telling {
		t.telling = true
		t.wg.Go(t.run)
	}
}

func (t *teller) run() {
	for {
		t.mu.Lock()
		batch, f := newest(t.waiting), t.f
		t.waiting = nil
		if len(batch) == 0 {
			t.telling = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		f(batch)
	}
}

// close waits until all is told.
func (t *teller) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}

// newest leaves each rule in once, as it came last: who was revoked and let in again while
// nobody listened wasn't revoked.
func newest(rules []Rule) []Rule {
	if len(rules) < 2 {
		return rules
	}
	seen := make(map[key]bool, len(rules))
	var all []Rule
	for _, r := range slices.Backward(rules) {
		if !seen[r.key()] {
			seen[r.key()] = true
			all = append(all, r)
		}
	}
	slices.Reverse(all)
	return all
}
