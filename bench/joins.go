package main

import "context"

func measureJoins(ctx context.Context, o options, round int) ([]row, error) {
	ours := o.roompass()
	ours.hmac = true
	is, than, err := sideBySide(round, ours, centrifugal{}, func(s side) (used usage, err error) {
		err = with(ctx, o, s, 1, func(c *cluster, l *load) (err error) {
			used, err = c.arrive(ctx, l, o.connections, o.connectRate)
			return err
		})
		return used, err
	})
	each := func(cpu float64) float64 { return cpu / float64(o.connections) * 1e6 }
	return []row{
		{
			What: "server CPU of a join", Unit: "µs", Ours: each(is.cpu), Beside: each(than.cpu), Peer: peer, Asked: atMost(1),
			How: "connect, join, the members, the others told; tokens by HS256, so without RSA",
		},
		{
			What: "Redis CPU of a join", Unit: "µs", Ours: each(is.redisCPU), Beside: each(than.redisCPU), Peer: peer, Asked: atMost(2),
			How: "the same, by INFO cpu",
		},
	}, err
}
