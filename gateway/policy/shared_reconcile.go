package policy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// lookNow has the pod read at once.
func (s *Shared) lookNow() {
	select {
	case s.look <- struct{}{}:
	default: // it is going to look anyway
	}
}

// reconcileOften asks every now and then whether something was missed.
func (s *Shared) reconcileOften(ctx context.Context) {
	ticker := time.NewTicker(s.config.Poll)
	defer ticker.Stop()
	var since time.Time // when Redis was lost; zero: it is there
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.look:
		}
		err := s.reconcile(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && since.IsZero():
			since = time.Now()
			s.config.Logger.Warn("the operator's rules can't be shared: those count that this pod knows", "error", err)
		case err == nil && !since.IsZero():
			s.config.Logger.Info("the operator's rules are shared again", "after", time.Since(since).Round(time.Millisecond))
			since = time.Time{}
		}
	}
}

// reconcile reads what is new, and puts what nobody is known to have. What others put at
// the same time it isn't sure of until it reads again.
func (s *Shared) reconcile(ctx context.Context) error {
	news, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	s.learn(news)
	for chunk := range slices.Chunk(s.unsure(), putOf) {
		done, err := s.put(ctx, chunk, nil)
		if err != nil {
			return err
		}
		s.learn(done)
	}
	return nil
}

// read reads all that came after the place where the pod is, page by page: each rule has
// the version with which it changed last, so that what changes meanwhile is on a later page.
func (s *Shared) read(ctx context.Context) (step, error) {
	s.mu.Lock()
	at := s.at
	s.mu.Unlock()
	is := step{before: at, after: at}
	last, own := at.version, s.own
	for {
		began := milli(s.now())
		answer, err := s.eval(ctx, readScript, is.after.epoch, is.after.version, is.after.chain, last, pageOf, own)
		if err != nil {
			return step{}, err
		}
		own = "" // once is enough
		if len(answer) < 2 {
			return step{}, errPayload
		}
		if ms, err := strconv.ParseInt(answer[0], 10, 64); err == nil {
			s.compareClocks(began, time.UnixMilli(ms), milli(s.now()))
		}
		if answer[1] == "same" {
			return is, nil
		}
		if len(answer) < 6 {
			return step{}, errPayload
		}
		if is.after, err = parsePlace(answer[2], answer[3], answer[4]); err != nil {
			return step{}, err
		}
		if last, err = strconv.ParseUint(answer[5], 10, 64); err != nil {
			return step{}, errPayload
		}
		if answer[1] == "all" {
			// Also where this happens on a later page: what was read before isn't there.
			is.rules, is.all = nil, true
		}
		is.rules = append(is.rules, answer[6:]...)
		if last >= is.after.version {
			return is, nil
		}
	}
}

// compareClocks notes what is sure of the distance between the clocks, given that Redis said what
// time it is between two times of this one.
func (s *Shared) compareClocks(began, redis, ended time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case redis.Before(began):
		s.ahead = redis.Sub(began)
	case redis.After(ended):
		s.ahead = redis.Sub(ended)
	default:
		s.ahead = 0 // nothing says that they differ
	}
}
