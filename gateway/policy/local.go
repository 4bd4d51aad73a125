package policy

import (
	"context"
	"time"
)

// Local is the rules of a single pod, in memory: they end with the process. Without Close no
// goroutine is left when all is told.
type Local struct{ *book }

var _ Rules = (*Local)(nil)

// NewLocal makes rules of one pod. timeNow is nil for the system's clock.
func NewLocal(timeNow func() time.Time) *Local { return &Local{newBook(timeNow)} }

// Set implements [Rules].
func (l *Local) Set(_ context.Context, rules ...Rule) ([]Rule, error) {
	rules, err := checked(rules, l.now())
	if err != nil {
		return nil, err
	}
	return l.decide(rules, l.now(), nil), nil
}

// Close implements [Rules].
func (l *Local) Close() error {
	l.teller.close()
	return nil
}
