// Package model is a small model of one membership over Redis, and a checker that visits all of
// its states. What it leaves out is said in docs/design.md.
package model

// A Step is something that may happen next.
type Step struct {
	Name string
	To   State
}

// Found is what Check saw. Trace is the shortest way to what is Wrong, if anything is.
type Found struct {
	States, Settled int
	Wrong           string
	Trace           []string
}

// Check visits what can be reached from start, breadth first, and judges each state. A state is
// settled where nothing more can happen.
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
		if len(steps) == 0 {
			found.Settled++
		}
		if found.Wrong = judge(s, len(steps) == 0); found.Wrong != "" {
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
