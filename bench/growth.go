package main

import (
	"context"
	"fmt"
)

// flat is by how much a connection may cost more in a large gateway than in a small one.
const flat = 1.15

// A size is one of those that a gateway is measured at.
type size struct {
	connections, roomSize, pods int
}

// A growth is several sizes that differ in one thing. The first is what the others stand beside.
type growth struct {
	sizes []size
	value func(size) int // of what differs
	where string         // how a value is told
	joins bool           // whether a join shall cost the same: in a larger room more people are told of it
	plots bool
}

func (o options) growths() []growth {
	few := o.growth[0]
	connections := growth{where: "at %d connections", value: func(s size) int { return s.connections }, joins: true, plots: true}
	for _, n := range o.growth {
		connections.sizes = append(connections.sizes, size{n, roomSize, 1})
	}
	rooms := growth{where: "in rooms of %d", value: func(s size) int { return s.roomSize }}
	for _, n := range []int{2, 10, 100, 1000} {
		rooms.sizes = append(rooms.sizes, size{max(few, 1000), n, 1})
	}
	pods := growth{where: "with pods: %d", value: func(s size) int { return s.pods }, joins: true}
	for _, n := range []int{1, 2, 4} {
		pods.sizes = append(pods.sizes, size{n * few, roomSize, n}) // each pod has as many
	}
	return []growth{connections, rooms, pods}
}

// measureGrowth has tokens refreshed often, so that what it takes to keep a connection can be measured.
func measureGrowth(ctx context.Context, o options, _ int) (rows []row, err error) {
	for _, g := range o.growths() {
		var first cost
		for i, s := range g.sizes {
			is, err := o.costs(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("growth: %w", err)
			}
			if i == 0 {
				first = is
			}
			rows = append(rows, g.rows(i, is, first)...)
		}
	}
	return rows, nil
}

// A cost is what one connection takes.
type cost struct {
	memory float64 // KB
	keep   float64 // µs of CPU a second
	join   float64 // µs of CPU
}

// rows are those of the i-th size.
func (g growth) rows(i int, is, first cost) (rows []row) {
	at := g.value(g.sizes[i])
	where := fmt.Sprintf(g.where, at)
	add := func(what, unit, plot string, ours, beside float64, how string) {
		r := row{What: what + " " + where, Unit: unit, Ours: ours, How: how, at: float64(at)}
		if g.plots {
			r.plot = plot
		}
		if i > 0 {
			r.Beside, r.Peer, r.Asked = beside, fmt.Sprintf(g.where, g.value(g.sizes[0])), atMost(flat)
		}
		rows = append(rows, r)
	}
	add("memory of a connection", "KB", "memory", is.memory, first.memory, "RSS of all pods, less what it was before the first came")
	add("CPU to keep a connection", "µs/s", "keep", is.keep, first.keep, "of all pods: a ping and a token by HS256 every 5 s")
	if g.joins {
		add("CPU of a join", "µs", "", is.join, first.join, "of all pods; tokens by HS256")
	}
	return rows
}

// toldAtMost is how many may be told of joins in a second, so that large rooms aren't an overload.
const toldAtMost = 20_000

func (o options) costs(ctx context.Context, s size) (is cost, err error) {
	side := o.personal("--token-ttl", "10s", "--token-refresh", "5s")
	side.hmac = true
	say("growth: %d connections, %d to a room, %d pods", s.connections, s.roomSize, s.pods)
	err = with(ctx, o, side, s.pods, func(c *cluster, l *load) error {
		l.roomSize = s.roomSize
		f, err := c.idle(ctx, l, s.connections, min(o.connectRate, toldAtMost/s.roomSize), o.idle)
		each := float64(s.connections)
		is = cost{f.rss / 1024, f.cpu / each * 1e6, f.join / each * 1e6}
		return err
	})
	return is, err
}
