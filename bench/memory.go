package main

import (
	"context"
	"fmt"
	"time"
)

// An idleness is what it takes that all are in their rooms and say nothing.
type idleness struct {
	join     float64 // s of CPU that coming in took
	rss      float64 // bytes a connection
	cpu      float64 // of a core
	commands float64 // of Redis, a second
}

func measureMemory(ctx context.Context, o options, round int) ([]row, error) {
	is, than, err := sideBySide(round, o.roompass(), centrifugal{}, func(s side) (f idleness, err error) {
		err = with(ctx, o, s, 1, func(c *cluster, l *load) (err error) {
			f, err = c.idle(ctx, l, o.connections, o.connectRate, o.idle)
			return err
		})
		return f, err
	})
	return []row{
		{
			What: "memory of an idle connection", Unit: "KB", Ours: is.rss / 1024, Beside: than.rss / 1024, Peer: peer, Asked: atMost(0.6), Limit: 12,
			How: fmt.Sprintf("RSS after %v idle, less RSS before the first came, by connections", o.idle),
		},
		{
			What: "idle: server CPU", Unit: "% of a core", Ours: is.cpu * 100, Beside: than.cpu * 100, Peer: peer, Asked: atMost(0.5),
			How: fmt.Sprintf("over %v, no token due in them", o.idle),
		},
		{
			What: "idle: Redis commands", Unit: "1/s", Ours: is.commands, Beside: than.commands, Peer: peer, Asked: atMost(0.5),
			How: "by INFO stats, those within scripts included",
		},
	}, err
}

// idle has n clients come in, and says what they cost when they have been there for d.
func (c *cluster) idle(ctx context.Context, l *load, n, rate int, d time.Duration) (f idleness, err error) {
	say("%s: %d clients come in, and are idle", c.side.name(), n)
	before, err := c.usage()
	if err != nil {
		return f, err
	}
	joined, err := c.arrive(ctx, l, n, rate)
	if err != nil {
		return f, err
	}
	atRest, err := c.usage()
	if err != nil {
		return f, err
	}
	if err := sleep(ctx, d); err != nil {
		return f, err
	}
	after, err := c.usage()
	if err != nil {
		return f, err
	}
	used, took := after.since(atRest), after.at.Sub(atRest.at).Seconds()
	return idleness{
		join: joined.cpu, rss: after.since(before).rss / float64(n), cpu: used.cpu / took, commands: used.commands / took,
	}, l.err()
}
