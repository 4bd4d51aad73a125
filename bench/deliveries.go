package main

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// A fanout is what deliveries cost at one rate.
type fanout struct {
	reached  float64 // a second
	cpu      float64 // s for a million
	redisCPU float64 // s for a million
	p50, p99 float64 // ms
	expected int64
	received int64
}

// void says why figures of a side say nothing; "" where they do.
func (f fanout) void(s side) string {
	if f.received == f.expected {
		return ""
	}
	return fmt.Sprintf("%s delivered %d of %d", s.name(), f.received, f.expected)
}

func measureDeliveries(ctx context.Context, o options, round int) (rows []row, err error) {
	ours, other := o.roompass(), centrifugal{}
	are, than, err := sideBySide(round, ours, other, func(s side) (all []fanout, err error) {
		err = with(ctx, o, s, 1, func(c *cluster, l *load) error {
			if _, err := c.arrive(ctx, l, o.connections, o.connectRate); err != nil {
				return err
			}
			l.settle(ctx, l.send(ctx, o.rates[0], 2*time.Second)) // so that it is warm
			for _, rate := range o.rates {
				is, err := c.deliver(ctx, l, rate, o.duration)
				if err != nil {
					return err
				}
				all = append(all, is)
			}
			return nil
		})
		return all, err
	})
	if err != nil {
		return nil, err
	}
	for i, rate := range o.rates {
		is, than := are[i], than[i]
		void := cmp.Or(is.void(ours), than.void(other))
		add := func(what, unit string, ours, beside float64, asked bound, how, plot string) {
			rows = append(rows, row{
				What: what + " at " + thousands(float64(rate)) + "/s", Unit: unit, Ours: ours, Beside: beside, Peer: peer, Asked: asked, How: how, Void: void,
				plot: plot, at: float64(rate),
			})
		}
		add("deliveries that came", "1/s", is.reached, than.reached, bound{}, "well under what was offered: an overload, and a latency of the queue", "")
		add("server CPU, 1M deliveries", "s", is.cpu, than.cpu, atMost(0.8), "user and system time of the server's process, by deliveries", "cpu")
		add("Redis CPU, 1M deliveries", "s", is.redisCPU, than.redisCPU, bound{}, "by INFO cpu, by deliveries", "")
		add("latency p50", "ms", is.p50, than.p50, bound{}, "from when a message was due, open loop", "")
		add("latency p99", "ms", is.p99, than.p99, atMost(1), "from when a message was due, open loop", "latency")
	}
	return rows, nil
}

// deliver has messages be delivered at a rate for d.
func (c *cluster) deliver(ctx context.Context, l *load, rate int, d time.Duration) (fanout, error) {
	say("%s: %d deliveries a second", c.side.name(), rate)
	l.reset()
	before, err := c.usage()
	if err != nil {
		return fanout{}, err
	}
	expected := l.send(ctx, rate, d)
	l.settle(ctx, expected)
	after, err := c.usage()
	if err != nil {
		return fanout{}, err
	}
	if err := sleep(ctx, 500*time.Millisecond); err != nil { // what comes twice
		return fanout{}, err
	}
	used, took, received := after.since(before), l.latencies(), l.received.Load()
	millions := float64(max(received, 1)) / 1e6
	return fanout{
		reached: float64(received) / after.at.Sub(before.at).Seconds(), cpu: used.cpu / millions, redisCPU: used.redisCPU / millions,
		p50: float64(took.ValueAtQuantile(50)) / 1000, p99: float64(took.ValueAtQuantile(99)) / 1000,
		expected: expected, received: received,
	}, l.err()
}
