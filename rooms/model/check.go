// Package model is a small model of one membership over Redis, and a checker that visits all of
// its states. What it leaves out is said in docs/design.md.
package model

import "slices"

// A Step is something that may happen next. Where it is chosen, by a client or as a fault, it needn't
// happen; everything else does, sooner or later.
type Step struct {
	Name   string
	To     State
	Chosen bool
}

// Found is what Check saw. Trace is the shortest way to what is Wrong, if anything is.
type Found struct {
	States, Settled int
	Wrong           string
	Trace           []string
}

// Check visits what can be reached from start, breadth first, and judges each state. A state is
// settled where nothing has to happen any more.
func Check(start State, next func(State) []Step, judge func(s State, settled bool) string) Found {
	type origin struct {
		from State
		by   string
	}
	seen := map[State]origin{start: {}}
	queue := []State{start}
	found := Found{}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		found.States++
		steps := next(s)
		settled := !slices.ContainsFunc(steps, func(step Step) bool { return !step.Chosen })
		if settled {
			found.Settled++
		}
		if found.Wrong = judge(s, settled); found.Wrong != "" {
			for at := s; at != start; at = seen[at].from {
				found.Trace = append([]string{seen[at].by}, found.Trace...)
			}
			return found
		}
		for _, step := range steps {
			if _, ok := seen[step.To]; !ok {
				seen[step.To] = origin{s, step.Name}
				queue = append(queue, step.To)
			}
		}
	}
	return found
}
