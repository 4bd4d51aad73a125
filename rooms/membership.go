package rooms

import (
	"context"
	"encoding/json"
	"fmt"
)

// membership is a hold on a member of a room in memory.
type membership struct {
	room   *room
	member *member
	ended  error // ErrTakenOver, ErrNoMember; nil while it holds. The room's lock guards it.
}

var _ Membership = (*membership)(nil)

// end says why the membership is over. The room's lock is held.
func (m *membership) end(why error) { m.ended = why }

// Signal implements [Membership].
func (m *membership) Signal(ctx context.Context, to string, data json.RawMessage) error {
	return m.do(ctx, "signal", func() error {
		return m.room.signal(m.member, to, data)
	})
}

// Update implements [Membership].
func (m *membership) Update(ctx context.Context, data json.RawMessage) error {
	return m.do(ctx, "update", func() error {
		m.member.Data = copyOf(data)
		m.room.publish(Entry{Kind: KindUpdated, Member: m.member.Member}, m.member)
		return nil
	})
}

// SetRights implements [Membership]. It leaves no trace in the log.
func (m *membership) SetRights(ctx context.Context, rights string) error {
	return m.do(ctx, "set rights", func() error {
		m.member.Rights = rights
		return nil
	})
}

// Leave implements [Membership].
func (m *membership) Leave(ctx context.Context) error {
	return m.do(ctx, "leave", func() error {
		m.room.leave(m.member, ReasonLeft)
		return nil
	})
}

// Suspend implements [Membership].
func (m *membership) Suspend(ctx context.Context) error {
	return m.do(ctx, "suspend", func() error {
		switch {
		case m.member.follower == nil: // it lingers already
		case m.room.store.config.Linger < 0:
			m.room.leave(m.member, ReasonLost)
		default:
			m.member.follower = nil
			m.room.store.lingering.add(m, m.room.store.config.TimeNow().Add(m.room.store.config.Linger))
		}
		return nil
	})
}

// lose ends the membership of a member that lingered for too long. Whoever has
// resumed it, or removed it, came first.
func (m *membership) lose() {
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	if m.ended == nil && !m.room.store.closed.Load() {
		m.room.leave(m.member, ReasonLost)
	}
}

// do runs f with the room's lock held, if the membership holds.
func (m *membership) do(ctx context.Context, what string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	err := m.ended
	switch {
	case m.room.store.closed.Load():
		err = ErrClosed
	case err == nil:
		err = f()
	}
	if err != nil {
		return fmt.Errorf("%s in %q: %w", what, m.room.name, err)
	}
	return nil
}
