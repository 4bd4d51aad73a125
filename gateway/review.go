package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/roompass/roompass/gateway/access"
)

const (
	// longestLead is the longest that the app is asked before a token is due: time
	// enough to try again, and little enough for its answer to be news.
	longestLead = 15 * time.Second

	// rulesLead is the longest before a token is due that the operator's rules are
	// looked at: that takes no time.
	rulesLead = time.Second

	// reviewRest is at least between two questions about one membership that the
	// app doesn't answer, and at most half as much more.
	reviewRest = 10 * time.Second
)

// lead is how long before a token is due it is looked at whether it should be.
func (s *Server) lead(refresh time.Duration) time.Duration {
	if s.reviewer == nil {
		return min(rulesLead, refresh/4)
	}
	return min(longestLead, refresh/4)
}

// A review asks the app before each token whether its membership holds. While it
// has no answer the last one does, and tokens go on; for [access.Reviewer.MaxStale].
// One question is under way at a time.
type review struct {
	seat *seat

	keeping sync.Mutex // held while the other pods are told

	mu      sync.Mutex // guards what follows
	allowed time.Time  // when the app said yes
	stale   bool       // it was asked since, in vain
	asking  bool
	again   *time.Timer // to the next question that isn't a token's
	over    bool        // the seat is vacant
}

// begin has the app asked from now on; soon, where it couldn't tell just now.
func (r *review) begin() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale && !r.over {
		r.again = time.AfterFunc(restOf(reviewRest), r.ask)
	}
	r.seat.token.OnDue(r.ask)
}

// confirm notes that the app said yes.
func (r *review) confirm(at time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	was := r.stale
	r.allowed, r.stale = at, false
	r.mu.Unlock()
	if was {
		r.seat.keepRightsSoon()
	}
}

// staleSince is when the app said yes, where it was asked since in vain; else zero.
func (r *review) staleSince() time.Time {
	if r == nil {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stale {
		return time.Time{}
	}
	return r.allowed.Round(time.Millisecond)
}

// isOver says whether the place has ended.
func (r *review) isOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

func restOf(d time.Duration) time.Duration { return d + rand.N(d/2) }

// end ends it. An answer that is still to come counts for nothing.
func (r *review) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.again != nil {
		r.again.Stop()
	}
}

// ask begins a question, and doesn't wait for the answer.
func (r *review) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking || r.over {
		return
	}
	if r.again != nil {
		r.again.Stop() // this is the question that it waits for
	}
	r.asking = r.seat.conn.server.tasks.spawnBrief(func(ctx context.Context) {
		rest := r.settle(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asking = false
		if rest > 0 && !r.over {
			r.again = time.AfterFunc(rest, r.ask)
		}
	})
}

// settle asks, and does what the answer says. It returns how long until the app
// is to be asked again, where that isn't left to the next token.
func (r *review) settle(ctx context.Context) (again time.Duration) {
	s, server := r.seat, r.seat.conn.server
	is, asked := s.conn.is.Load(), server.now()
	answer, err := server.admit(ctx, s.conn.asksAs(*is, access.Refresh, s.room))
	if r.isOver() || s.conn.is.Load() != is || s.knowsBetter(asked) {
		return 0 // it was about another place, or of another credential: those were asked about apart
	}
	switch {
	case err == nil:
		err = s.regrant(ctx, &answer.Grant, asked, byAccess)
		r.confirm(asked)
	case errors.Is(err, access.ErrDenied):
		err = s.deny(ctx, byAccess)
	default:
		return r.unanswered(ctx, err)
	}
	if err != nil {
		server.log.Debug("review", "session", is.session, "room", s.room, "error", err)
	}
	return 0
}

// unanswered keeps the membership for a while, and then not.
func (r *review) unanswered(ctx context.Context, why error) (again time.Duration) {
	s, server := r.seat, r.seat.conn.server
	r.mu.Lock()
	first := !r.stale
	r.stale = true
	left := r.allowed.Add(server.reviewer.MaxStale()).Sub(server.now())
	r.mu.Unlock()
	if left > 0 {
		if first {
			s.keepRightsSoon()
		}
		server.log.Debug("the app can't be asked", "session", s.conn.who().session, "room", s.room, "left", left, "error", why)
		return min(left, restOf(reviewRest))
	}
	s.expire(ctx)
	return 0
}
