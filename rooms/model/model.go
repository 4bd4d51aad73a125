package model

import "fmt"

// Pod is what one pod knows of the member. Owners are numbers; 0 is none.
type Pod struct {
	Dead, Cut, Stale bool
	Own, From        uint8 // hold.key and hold.from
	Live             bool  // has a socket; else it lingers
	Foster           uint8 // the orphan's owner
	Left             uint8 // an owner whose leaving waits in the fork
	Queue            bool  // the signal waits in the fork
	View, ViewWas    uint8 // whose the member is, as the pod has heard; none: it isn't there
	Lost             bool  // it hasn't gone over yet from a log that is lost
}

const anybody = 255 // hold.from "*"

// State is Redis, two pods and a client.
type State struct {
	Owner, Was    uint8 // the hold; no owner: no member
	At            uint8
	Removed       bool
	Empty, Gone   bool // there is no log; the signal was in one that is lost
	Pods          [2]Pod
	Sock, SockAt  uint8 // the client's newest socket, by its owner
	Out, Apart    bool  // left or kicked; resumed without Redis what another pod has, or may have, too
	Unheard       bool  // a log was lost before all had heard whose the member was
	Usurped       bool  // the newest socket was closed for an older one
	Acked         bool
	Log           uint8 // copies of the signal
	Late          uint8 // the owner of a leave that was sent in vain
	Next          uint8
	Faults, Moves uint8 // that are left
	Flushes       uint8
}

// Mutant leaves a check out, or says too much.
type Mutant struct{ LeaveAnybody, ReclaimWithoutFrom, PushUnchecked, NoteNamesFormer, TakenThoughLost bool }

// Start is a client on pod 0.
func Start(faults, moves, flushes uint8) State {
	s := State{Owner: 1, Sock: 1, Next: 2, Faults: faults, Moves: moves, Flushes: flushes}
	s.Pods[0] = Pod{Own: 1, Live: true, View: 1}
	s.Pods[1] = Pod{View: 1}
	return s
}

// claim is a change in Redis of whose the member is, and the note of it, which says that it was was's.
func (s *State) claim(owner, held, was uint8) {
	s.Owner, s.Was = owner, held
	for i := range s.Pods {
		if q := &s.Pods[i]; !q.Dead && !q.Cut && !q.Stale && !q.Lost {
			q.View, q.ViewWas = owner, was
		}
	}
}

// leave is leave.lua.
func (m Mutant) leave(s *State, owner uint8) {
	if s.Owner == owner || m.LeaveAnybody {
		s.claim(0, 0, 0)
	}
}

// closed is replica.yield: the socket is closed, as taken over or gone. It has to come back where who is the
// newest can't be known, and nowhere else.
func (m Mutant) closed(s *State, p int) {
	q := &s.Pods[p]
	if q.Own != 0 && q.Own == s.Sock {
		s.Sock = 0
		back := s.Apart && q.From != 0 || s.Unheard && q.Lost && !m.TakenThoughLost
		s.Usurped = s.Usurped || !s.Out && !back
	}
	q.Own, q.From, q.Live = 0, 0, false
}

// restore is restore.lua: it begins a new log, if the pod has anything to write.
func restore(s *State, p int) {
	q := &s.Pods[p]
	switch {
	case q.Own != 0:
		s.claim(q.Own, 0, 0)
		s.At = uint8(p)
	case q.View != 0:
		was := q.ViewWas
		if was == 0 {
			was = q.View
		}
		s.claim(s.Next, was, was)
		s.At, q.Foster = uint8(p), s.Next
		s.Next++
	case q.Left == 0 && !q.Queue:
		return
	}
	s.Empty = false
}

// reconcile is replica.reconcileOnce: reclaim.lua, then push.lua.
func (m Mutant) reconcile(s *State, p int) {
	q := &s.Pods[p]
	push := func() {
		if q.Left != 0 && (s.Owner == q.Left || s.Was == q.Left) {
			s.claim(0, 0, 0)
		}
		if q.Queue && (s.Log == 0 || m.PushUnchecked) {
			s.Log++
		}
		q.Left, q.Queue = 0, false
	}
	if s.Empty {
		if restore(s, p); s.Empty {
			q.Stale, q.Lost = false, false
			return
		}
	}
	if q.Left != 0 && q.Own != 0 {
		push() // pushLeavings
	}
	if q.Own != 0 {
		is := func(o uint8) bool { return o != 0 && (o == s.Owner || o == s.Was) }
		switch {
		case s.Owner != 0 && (is(q.Own) || !m.ReclaimWithoutFrom && (is(q.From) || q.From == anybody)):
			was := uint8(0)
			if m.NoteNamesFormer && s.Owner != q.Own {
				was = s.Owner
			}
			s.claim(q.Own, 0, was)
			s.At, q.From = uint8(p), 0
		case s.Owner != 0 || s.Removed || !q.Live:
			m.closed(s, p)
		default:
			s.claim(q.Own, 0, 0)
			s.At, q.From = uint8(p), 0
		}
	}
	push()
	if q.Own == 0 && int(s.At) == p && s.Was == 0 && s.Owner != q.Foster {
		s.claim(0, 0, 0) // disown
	}
	q.Stale, q.Lost, q.View, q.ViewWas = false, false, s.Owner, s.Was
}

// Next is all that may happen.
func (m Mutant) Next(s State) (steps []Step) {
	step := func(name string, p int, do func(t *State, q *Pod)) {
		t := s
		do(&t, &t.Pods[p])
		chosen := t.Faults < s.Faults || t.Moves < s.Moves || t.Flushes < s.Flushes
		steps = append(steps, Step{fmt.Sprintf("%s, pod %d", name, p), t, chosen})
	}
	if s.Late != 0 {
		step("late leave.lua", 0, func(t *State, _ *Pod) { m.leave(t, s.Late); t.Late = 0 })
	}
	if s.Flushes > 0 && !s.Empty && !s.Removed { // what is on its way is for the log that is lost
		step("Redis is emptied", 0, func(t *State, _ *Pod) {
			t.Flushes--
			t.Owner, t.Was, t.At, t.Late, t.Empty = 0, 0, 0, 0, true
			t.Log, t.Gone = 0, s.Gone || s.Log > 0
			for i := range t.Pods {
				if q := &t.Pods[i]; !q.Dead {
					knows := q.Own
					if knows == 0 {
						knows = q.View
					}
					t.Unheard = t.Unheard || knows != s.Owner
					q.Lost, q.Stale = true, q.Stale || !q.Cut
				}
			}
		})
	}
	for p, q := range s.Pods {
		if q.Dead {
			other := s.Pods[1-p]
			if s.Owner != 0 && int(s.At) == p && !other.Cut {
				step("adopt.lua of the dead", p, adopt(p))
			}
			continue
		}
		if q.Cut {
			step("heals", p, func(_ *State, q *Pod) { q.Cut, q.Stale = false, true })
		} else if q.Stale {
			step("reconcile", p, func(t *State, _ *Pod) { m.reconcile(t, p) })
		} else if q.Own != 0 && q.Own != s.Owner {
			// replica's T or L note. One that names this owner as was has the pod claim.
			step("hears a note", p, func(t *State, q *Pod) {
				if q.Own == s.Was {
					q.Stale = true
				} else {
					m.closed(t, p)
				}
			})
		}
		if !q.Cut && !q.Stale && q.Own == 0 && s.Owner != 0 && int(s.At) == p && s.Was == 0 {
			step("has a stray", p, func(_ *State, q *Pod) { q.Stale = true })
		}
		if q.Own != 0 && !q.Live && !q.Stale {
			step("linger ends", p, func(t *State, _ *Pod) { m.goes(t, p) })
		}
		if q.Foster != 0 && !q.Cut {
			step("orphan.lose", p, func(t *State, q *Pod) { m.leave(t, q.Foster); q.Foster = 0 })
		}
		if s.Moves > 0 && !s.Out {
			move := func(name string, do func(t *State, q *Pod)) {
				step(name, p, func(t *State, q *Pod) { t.Moves--; do(t, q) })
			}
			if s.Sock != 0 && s.Sock == q.Own {
				move("leaves", func(t *State, _ *Pod) { t.Out, t.Sock = true, 0; m.goes(t, p) })
				move("socket drops", func(t *State, q *Pod) { t.Sock, q.Live = 0, false })
				if !s.Acked && (q.Cut || q.Own == s.Owner && !q.Stale) {
					move("signals", func(t *State, q *Pod) {
						t.Acked = true
						if q.Cut {
							q.Queue = true
						} else {
							t.Log++
						}
					})
				}
			}
			if s.Owner != 0 && !q.Cut && !q.Stale {
				move("take.lua", func(t *State, q *Pod) { // the answer comes with it
					t.claim(s.Next, 0, 0)
					t.At = uint8(p)
					t.Sock, t.SockAt, t.Next = s.Next, uint8(p), s.Next+1
					q.Own, q.From, q.Live = s.Next, 0, true
					if o := &t.Pods[1-p]; o.Own != 0 { // its socket is the client's old one
						o.Live = false
					}
				})
				move("kick", func(t *State, _ *Pod) { t.claim(0, 0, 0); t.Removed, t.Out, t.Sock = true, true, 0 })
			}
			if q.Cut && (q.Own != 0 || q.View != 0) {
				move("resumes without Redis", func(t *State, q *Pod) {
					switch { // takeHere
					case q.Own == 0:
						q.From = q.View
					case q.From == 0: // else what Redis knows is older still
						q.From = q.Own
					}
					q.Own, q.Live = s.Next, true
					t.Sock, t.SockAt, t.Next = s.Next, uint8(p), s.Next+1
					taken := s.Owner != 0 && s.Owner != q.From && s.Was != q.From
					adopted := s.Pods[p].Own == 0 && q.ViewWas != 0 // so that it may be taken back
					t.Apart = s.Apart || taken || adopted || s.Pods[1-p].From != 0
					t.Pods[1-p].Live = false // the client has dropped it
				})
			}
		}
		if s.Faults == 0 {
			continue
		}
		fault := func(name string, do func(t *State, q *Pod)) {
			step(name, p, func(t *State, q *Pod) { t.Faults--; do(t, q) })
		}
		if !q.Cut {
			fault("is cut off", func(_ *State, q *Pod) { q.Cut = true })
		}
		if !s.Pods[1-p].Dead {
			fault("dies", func(t *State, q *Pod) {
				if q.Own != 0 && q.Own == s.Sock {
					t.Sock = 0
				}
				*q = Pod{Dead: true}
			})
			if s.Owner != 0 && int(s.At) == p && !s.Pods[1-p].Cut {
				fault("stands still: adopt.lua", func(t *State, q *Pod) { adopt(p)(t, q); q.Stale = true })
			}
		}
		if q.Own != 0 && q.Own == s.Owner && q.Own == s.Sock && !q.Cut && !s.Acked {
			fault("say.lua, its answer lost", func(t *State, q *Pod) {
				t.Acked, t.Log, q.Queue, q.Cut = true, s.Log+1, true, true
			})
		}
		if q.Own != 0 && !q.Live && !q.Cut && !q.Stale && s.Late == 0 {
			fault("leave.lua sent in vain", func(t *State, q *Pod) {
				t.Late, q.Left, q.Own, q.View, q.Cut = q.Own, q.Own, 0, 0, true
			})
		}
	}
	return steps
}

// goes is hold.leave, with Redis or into the fork.
func (m Mutant) goes(t *State, p int) {
	q := &t.Pods[p]
	if q.Cut || q.Stale {
		q.Left = q.Own
		if q.From != 0 {
			q.Left = q.From
		}
		q.View = 0
	} else {
		m.leave(t, q.Own)
	}
	q.Own, q.From, q.Live = 0, 0, false
}

// adopt is adopt.lua, and pod.foster.
func adopt(dead int) func(*State, *Pod) {
	return func(t *State, _ *Pod) {
		was := t.Was
		if was == 0 {
			was = t.Owner
		}
		t.claim(t.Next, was, was)
		t.At = uint8(1 - dead)
		t.Pods[1-dead].Foster = t.Next
		t.Next++
	}
}

// Judge says what is wrong with a state.
func Judge(s State, settled bool) string {
	switch {
	case s.Log > 1:
		return "a signal is in the log twice"
	case s.Usurped:
		return "the newest socket was closed for an older one"
	case !settled:
		return ""
	case s.Acked && s.Log == 0 && !s.Gone && !s.Pods[0].Dead && !s.Pods[1].Dead: // a fork dies with its pod
		return "a signal was lost"
	case s.Pods[0].Own != 0 && s.Pods[1].Own != 0:
		return "two owners"
	case s.Sock != 0 && (s.Owner != s.Sock || s.Pods[s.SockAt].Own != s.Sock):
		return "a client that is connected is no member"
	case s.Sock == 0 && s.Owner != 0:
		return "a member without a socket stays"
	}
	return ""
}
