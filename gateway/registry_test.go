package gateway

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestPingsAreOverdueByTheTimeThatThePodRan(t *testing.T) {
	const timeout = 10 * time.Second
	r := newRegistry(25*time.Second, timeout)
	now := time.Now()
	r.overdue(now)
	r.await(&conn{}, 1)
	now = now.Add(time.Minute) // it stood still
	if late := r.overdue(now); len(late) > 0 {
		t.Error("a pong that waits to be read is overdue")
	}
	for end := now.Add(timeout / 2); now.Before(end); now = now.Add(r.tick) {
		if late := r.overdue(now); len(late) > 0 {
			t.Error("overdue before its time")
		}
	}
	for end := now.Add(timeout); now.Before(end); now = now.Add(r.tick) {
		if late := r.overdue(now); len(late) == 1 {
			return
		}
	}
	t.Error("a pong that doesn't come is never overdue")
}

func TestASessionComesBackOneAtATime(t *testing.T) {
	r := newRegistry(time.Second, time.Second)
	first, err := r.turn(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if other, err := r.turn(t.Context(), "another"); err != nil {
		t.Error(err)
	} else {
		other()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.turn(ctx, "s"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second one meanwhile: %v", err)
	}
	second := make(chan func())
	go func() {
		done, err := r.turn(t.Context(), "s")
		if err != nil {
			t.Error(err)
		}
		second <- done
	}()
	first()
	(<-second)()
	if len(r.turns) > 0 {
		t.Errorf("%d turns are left", len(r.turns))
	}
}
