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

	// reviewRest is at least between two questions about one membership that the
	// app doesn't answer, and at most half as much more.
	reviewRest = 10 * time.Second
)

// reviewLead is how long before a token is due the app is asked.
func reviewLead(refresh time.Duration) time.Duration { return min(longestLead, refresh/4) }

// A review asks the app before each token whether its membership holds. While it
// has no answer the last one does, and tokens go on; for [access.Reviewer.MaxStale].
// One question is under way at a time.
type review struct {
	seat *seat

	mu      sync.Mutex // guards what follows
	allowed time.Time  // when the app said yes
	asking  bool
	again   *time.Timer // to the next question that isn't a token's
	over    bool        // the seat is vacant
}

// confirmed has the app asked about the seat from now on. allowed is when it said
// yes; where that isn't just now, it is asked again soon.
func (s *seat) confirmed(allowed time.Time, soon bool) {
	r := s.review
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed = allowed
	if soon && !r.over {
		r.again = time.AfterFunc(restOf(reviewRest), r.ask)
	}
	r.seat.token.OnDue(r.ask)
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
	r.asking = r.seat.conn.server.tasks.spawn(func(ctx context.Context) {
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
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	is := s.conn.is.Load()
	answer, err := server.admit(ctx, s.conn.asksAs(*is, access.Refresh, s.room))
	if s.conn.is.Load() != is {
		return 0 // the question was of another credential, and it was answered for this one
	}
	switch {
	case err == nil:
		r.mu.Lock()
		r.allowed = server.now()
		r.mu.Unlock()
		err = s.regrant(ctx, &answer.Grant, byAccess)
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
	left := r.allowed.Add(server.reviewer.MaxStale()).Sub(server.now())
	r.mu.Unlock()
	if left > 0 {
		server.log.Debug("the app can't be asked", "session", s.conn.who().session, "room", s.room, "left", left, "error", why)
		return min(left, restOf(reviewRest))
	}
	s.expire(ctx)
	return 0
}
