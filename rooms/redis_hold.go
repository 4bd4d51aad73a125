package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// hold is a membership over Redis.
type hold struct {
	room   *replica
	key    string // names this membership in all of the cluster
	from   string // whose it was when it was taken over without Redis; "*": not known
	member *member

	ops  sync.Mutex // one step at a time, so that what comes twice is known by its sequence
	seq  uint64     // of the newest step
	made Member     // as this membership changed it last: the view may hear of that later; none: it didn't

	// The view's lock guards these.
	anew    bool   // it joined without Redis, which can't have heard of it yet
	unsure  bool   // the log in which it had the member is lost, and the new one may not know of that
	ended   error  // ErrTakenOver, ErrNoMember; nil while it holds
	leaving Reason // why, where it is leaving by its own doing
}

var (
	_ Membership = (*hold)(nil)
	_ owner      = (*hold)(nil)
)

// end says why the membership is over. The view's lock is held.
func (h *hold) end(why error) { h.ended = why }

// standing says why the membership doesn't hold, if it doesn't.
func (h *hold) standing() error {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	if h.ended == nil && h.room.dead {
		return ErrClosed
	}
	return h.ended
}

// Signal implements [Membership].
func (h *hold) Signal(ctx context.Context, to string, data json.RawMessage) error {
	data = copyOf(data)
	return h.do(ctx, "signal", func() error {
		seq := h.seq + 1
		payload := signalPayload(h.key, seq, "-", 0, h.member.ID, to, data)
		return h.say(ctx, seq, to, payload, "", func(sent bool) error {
			return h.room.signalHere(h, seq, to, data, sent)
		})
	})
}

// Update implements [Membership].
func (h *hold) Update(ctx context.Context, data json.RawMessage) error {
	data = copyOf(data)
	return h.change(ctx, "update", 'U', func(m *Member) { m.Data = data })
}

// SetRights implements [Membership]. It is a step of the cursor.
func (h *hold) SetRights(ctx context.Context, rights string) error {
	return h.change(ctx, "set rights", 'G', func(m *Member) { m.Rights = rights })
}

// change replaces something of the member; kind is how the log has it.
func (h *hold) change(ctx context.Context, what string, kind byte, set func(*Member)) error {
	return h.do(ctx, what, func() error {
		seq := h.seq + 1
		m := h.made
		if m.ID == "" {
			h.room.mu.Lock()
			m = h.member.Member
			h.room.mu.Unlock()
		}
		set(&m)
		err := h.say(ctx, seq, "", changePayload(kind, h.key, seq, m), body(m), func(bool) error {
			h.room.changeHere(h, seq, kind, m)
			return nil
		})
		if err == nil {
			h.made = m
		}
		return err
	})
}

// say appends a signal or a change; here does it without Redis, with the view's lock
// held, and is told whether it may have come in there all the same.
func (h *hold) say(ctx context.Context, seq uint64, to, payload, body string, here func(sent bool) error) error {
	r := h.room
	h.seq = seq // whatever becomes of it: it may come in when it seemed to have failed
	for again := false; ; {
		got, err := r.try(ctx, sayScript, payload, h.member.ID, h.key, seq, to, payload, body)
		if err != nil {
			return err
		}
		switch got.status {
		case "ok", "done":
			r.take(ctx, got)
			return nil
		case "nobody":
			return ErrNoRecipient
		case statusAdrift:
			err := r.without(func() error {
				if r.forkNow(); h.ended != nil { // the log may have it as gone
					return h.ended
				}
				return here(got.sent)
			})
			if !errors.Is(err, errStill) {
				return err
			}
			continue
		}
		// Gone or taken, as Redis has it. This pod may have been taken for dead, and
		// then it puts that right and tries again.
		if again {
			return ErrUnavailable
		}
		again = true
		if err := r.settleNow(ctx); err != nil {
			return err
		}
		if err := h.standing(); err != nil {
			return err
		}
	}
}

// without does a step without Redis. It returns errStill where that has to wait.
func (r *replica) without(step func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.dead:
		return ErrClosed
	case r.still != nil:
		return errStill
	}
	return step()
}

// Leave implements [Membership].
func (h *hold) Leave(ctx context.Context) error {
	return h.do(ctx, "leave", func() error { return h.leave(ctx, ReasonLeft) })
}

// leave ends the membership. The follower isn't told. Where that fails, or can't be seen here yet,
// it is tried again later: until the view has it, a log that begins anew would bring the member back.
func (h *hold) leave(ctx context.Context, why Reason) error {
	ended, err := h.drop(why)
	if ended {
		return err
	}
	err = h.leaveNow(ctx, why)
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.ended == nil && !r.dead {
		r.store.lingering.add(h, r.store.config.TimeNow().Add(time.Second))
	}
	return err
}

// drop takes the follower away from a membership that hasn't ended. why is empty where the
// member isn't leaving.
func (h *hold) drop(why Reason) (ended bool, _ error) {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	if h.ended != nil {
		return true, h.ended // what the member has now is somebody else's
	}
	if why != "" {
		h.leaving = why
	}
	h.member.follower = nil
	return false, nil
}

func (h *hold) leaveNow(ctx context.Context, why Reason) error {
	r := h.room
	said := string(why)
	if why == ReasonLost {
		said = givenUp
	}
	got, err := r.try(ctx, leaveScript, "", h.member.ID, h.key, said, 0)
	switch {
	case err != nil:
	case got.status == "ok":
		got.payload = word(got.rest, 2)
		r.take(ctx, got)
		return nil
	case got.status == "gone", got.status == "taken":
		// As Redis has it: this pod may not have heard of it yet.
		err = r.settleNow(ctx)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.dead:
		return ErrClosed
	case h.ended == nil:
		r.leaveHere(h, why) // without Redis
	case got.status != statusAdrift:
		return h.ended
	}
	return nil
}

// Suspend implements [Membership].
func (h *hold) Suspend(ctx context.Context) error {
	return h.do(ctx, "suspend", func() error {
		s := h.room.store
		h.room.mu.Lock()
		lingers := h.ended == nil && h.member.follower == nil
		h.room.mu.Unlock()
		if lingers {
			return nil
		}
		if s.config.Linger < 0 {
			return h.leave(ctx, ReasonLost)
		}
		// Nothing is written: while the pod lives it knows, and when it dies all of its
		// members linger.
		ended, err := h.drop("")
		if !ended {
			s.lingering.add(h, s.config.TimeNow().Add(s.config.Linger))
		}
		return err
	})
}

// lose ends the membership of a member that lingered for too long. Whoever has
// resumed it, or removed it, came first.
func (h *hold) lose() {
	s := h.room.store
	s.spawn(func() {
		h.ops.Lock()
		defer h.ops.Unlock()
		h.room.mu.Lock()
		lingers := h.ended == nil && h.member.follower == nil && !h.room.dead
		why := cmp.Or(h.leaving, ReasonLost)
		h.room.mu.Unlock()
		if !lingers || !s.enterAgain(h.room) {
			return
		}
		defer s.exit(h.room)
		if err := h.leave(s.ctx, why); err != nil && s.ctx.Err() == nil {
			s.config.Logger.Debug("a member can't be taken out", "room", h.room.name, "error", err)
		}
	})
}

// do runs one step, if the membership holds.
func (h *hold) do(ctx context.Context, what string, step func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.ops.Lock()
	defer h.ops.Unlock()
	err := h.standing()
	if err == nil {
		// The room stays open while it is worked on.
		if !h.room.store.enterAgain(h.room) {
			err = ErrClosed
		} else {
			err = step()
			h.room.store.exit(h.room)
		}
	}
	if err != nil {
		return fmt.Errorf("%s in %q: %w", what, h.room.name, err)
	}
	return nil
}

// The answers of try that aren't a script's own.
const statusAdrift = "adrift" // Redis can't be reached: do without

// outcome is what became of a script.
type outcome struct {
	status  string
	where   string // of what it published
	payload string
	sent    bool // adrift: it may have been done all the same
	rest    []any
}

// try runs a script that appends payload, against what this pod has seen of the room; where
// that doesn't fit, the room is reconciled and it runs again.
func (r *replica) try(ctx context.Context, what script, payload string, args ...any) (outcome, error) {
	s := r.store
	for range 4 {
		if err := r.untilMoving(ctx); err != nil {
			return outcome{}, err
		}
		if r.adrift() {
			return outcome{status: statusAdrift}, nil
		}
		epoch, position := r.seen()
		answer, err := r.eval(ctx, what, epoch, position, args...)
		switch {
		case err == nil:
		case isOver(ctx):
			return outcome{}, fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded)
		case errors.Is(err, errBusy):
			return outcome{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case isRoomsOwn(err):
			s.config.Logger.Error("redis refuses a step of a room", "room", r.name, "error", err)
			return outcome{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		default:
			s.trouble(r, err)
			return outcome{status: statusAdrift, sent: true}, nil
		}
		if status := word(answer, 0); status != "astray" {
			return outcome{status: status, where: word(answer, 1), payload: payload, rest: answer}, nil
		}
		s.observe(s.config.Observe.Retried)
		if err := r.settleNow(ctx); err != nil && ctx.Err() != nil {
			return outcome{}, err
		}
	}
	return outcome{}, ErrUnavailable
}

// isOver reports whether a command's time was up because its caller's was: a connection's
// deadline may be a little ahead of its context's.
func isOver(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) < 20*time.Millisecond
}

// take applies what a script of ours published, and waits until it is.
func (r *replica) take(ctx context.Context, got outcome) {
	if got.where == "" {
		return
	}
	c, err := parseAnswer(got.where, got.payload)
	if err != nil {
		r.store.config.Logger.Error("an answer of Redis can't be read", "room", r.name, "error", err)
		return
	}
	r.accept(c)
	r.await(ctx, c)
}

// adrift reports whether this pod has to do without Redis in this room.
func (r *replica) adrift() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.loaded || r.fork != nil || r.store.outOfReach(r)
}
