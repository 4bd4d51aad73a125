package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// figures are what was measured of one side.
type figures struct {
	RSS          float64  `json:"rss_bytes_per_connection"`
	JoinCPU      float64  `json:"join_cpu_us"`
	JoinRedisCPU float64  `json:"join_redis_cpu_us"`
	IdleCPU      float64  `json:"idle_cpu_percent_of_core"`
	IdleCommands float64  `json:"idle_redis_commands_per_s"`
	Fanout       []fanout `json:"fanout"`
}

// A fanout is what deliveries cost at one rate.
type fanout struct {
	Rate     int     `json:"deliveries_per_s"` // offered
	Reached  float64 `json:"reached_per_s"`
	CPU      float64 `json:"cpu_s_per_million"`
	RedisCPU float64 `json:"redis_cpu_s_per_million"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Expected int64   `json:"expected"`
	Received int64   `json:"received"`
	Void     bool    `json:"void"` // messages were lost, or came twice
}

func measure(ctx context.Context, o options, s side) (f figures, err error) {
	say := func(what string) { fmt.Fprintf(os.Stderr, "%s: %s\n", s.name(), what) }
	say("clients come in")
	err = with(ctx, o, s, true, func(p *pair, l *load) error {
		used, err := p.arrive(ctx, o, l)
		f.JoinCPU = used.cpu / float64(o.connections) * 1e6
		f.JoinRedisCPU = used.redisCPU / float64(o.connections) * 1e6
		return err
	})
	if err != nil {
		return f, err
	}
	err = with(ctx, o, s, false, func(p *pair, l *load) error {
		before, err := p.usage()
		if err != nil {
			return err
		}
		say("clients come in again, and are idle")
		if _, err := p.arrive(ctx, o, l); err != nil {
			return err
		}
		atRest, err := p.usage()
		if err != nil {
			return err
		}
		if err := sleep(ctx, o.idle); err != nil {
			return err
		}
		after, err := p.usage()
		if err != nil {
			return err
		}
		idle := after.since(atRest)
		f.RSS = after.since(before).rss / float64(o.connections)
		f.IdleCPU = idle.cpu / o.idle.Seconds() * 100
		f.IdleCommands = idle.commands / o.idle.Seconds()
		l.settle(ctx, l.send(ctx, o.rates[0], 2*time.Second)) // so that it is warm
		for _, rate := range o.rates {
			say(fmt.Sprintf("%d deliveries a second", rate))
			is, err := p.deliver(ctx, o, l, rate)
			if err != nil {
				return err
			}
			f.Fanout = append(f.Fanout, is)
		}
		return nil
	})
	return f, err
}

// with runs do with a fresh server and clients for it.
func with(ctx context.Context, o options, s side, cheap bool, do func(*pair, *load) error) error {
	p, err := start(ctx, s, o.dir, cheap)
	if err != nil {
		return err
	}
	defer p.stop()
	l := newLoad(s)
	defer l.leave()
	if err := do(p, l); err != nil {
		return err
	}
	return l.err()
}

// arrive has all clients come in, and says what that cost.
func (p *pair) arrive(ctx context.Context, o options, l *load) (usage, error) {
	before, err := p.usage()
	if err != nil {
		return usage{}, err
	}
	if err := l.come(ctx, l.side.url(p.address), o.connections, o.connectRate); err != nil {
		return usage{}, err
	}
	// The last entries still travel to the others in the room.
	if err := sleep(ctx, 2*time.Second); err != nil {
		return usage{}, err
	}
	after, err := p.usage()
	return after.since(before), err
}

func (p *pair) deliver(ctx context.Context, o options, l *load, rate int) (fanout, error) {
	l.reset()
	before, err := p.usage()
	if err != nil {
		return fanout{}, err
	}
	expected := l.send(ctx, rate, o.duration)
	l.settle(ctx, expected)
	after, err := p.usage()
	if err != nil {
		return fanout{}, err
	}
	if err := sleep(ctx, 500*time.Millisecond); err != nil { // what comes twice
		return fanout{}, err
	}
	used, took, received := after.since(before), l.latencies(), l.received.Load()
	millions := float64(max(received, 1)) / 1e6
	return fanout{
		Rate: rate, Reached: float64(received) / after.at.Sub(before.at).Seconds(), CPU: used.cpu / millions, RedisCPU: used.redisCPU / millions,
		P50: float64(took.ValueAtQuantile(50)) / 1000, P99: float64(took.ValueAtQuantile(99)) / 1000,
		Expected: expected, Received: received, Void: received != expected,
	}, l.err()
}
