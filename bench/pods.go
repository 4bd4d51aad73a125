package main

import (
	"cmp"
	"context"
	"fmt"
)

const (
	pairs       = 200 // of clients: one on each pod, in a room of their own
	acrossRate  = 200 // messages a second
	acrossPeer  = "two centrifuge nodes"
	acrossIsHow = "from a client on one pod to one on the other, from when a message was due"
)

// measurePods has messages travel from one pod to another.
func measurePods(ctx context.Context, o options, round int) ([]row, error) {
	ours, other := o.roompass(), centrifugal{}
	is, than, err := sideBySide(round, ours, other, func(s side) (is fanout, err error) {
		err = with(ctx, o, s, 2, func(c *cluster, l *load) (err error) {
			l.roomSize, l.across = 2, true
			if _, err := c.arrive(ctx, l, 2*pairs, o.connectRate); err != nil {
				return err
			}
			l.settle(ctx, l.send(ctx, acrossRate, o.duration/5)) // so that it is warm
			is, err = c.deliver(ctx, l, acrossRate, o.duration)
			return err
		})
		return is, err
	})
	void := cmp.Or(is.void(ours), than.void(other))
	what := func(part string) string { return fmt.Sprintf("latency %s across two pods at %d/s", part, acrossRate) }
	return []row{
		{What: what("p50"), Unit: "ms", Ours: is.p50, Beside: than.p50, Peer: acrossPeer, Asked: atMost(1), Void: void, How: acrossIsHow},
		{What: what("p99"), Unit: "ms", Ours: is.p99, Beside: than.p99, Peer: acrossPeer, Asked: atMost(1), Void: void, How: acrossIsHow},
	}, err
}
