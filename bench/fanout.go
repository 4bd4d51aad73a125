package main

import "context"

// measureFanOut has one frame be written to many, by the gateway's benchmark: sockets and what they
// carry are the same for both.
func measureFanOut(ctx context.Context, o options, _ int) ([]row, error) {
	file, err := o.compile(ctx, "gateway", plainBuild)
	if err != nil {
		return nil, err
	}
	say("fanout: one frame to 5,000")
	all, err := o.goBench(ctx, "gateway", file, "^BenchmarkFanOut$", onAllCores, "-test.count", "3")
	if err != nil {
		return nil, err
	}
	const unit = "CPU-ns/recipient"
	ours, err := all.of("FanOut/gateway", unit)
	if err != nil {
		return nil, err
	}
	bare, err := all.of("FanOut/write2", unit)
	return []row{{
		What: "one frame of 700 B to 5,000", Unit: "recipients a CPU second", Ours: 1e9 / ours, Beside: 1e9 / bare, Peer: "bare write(2)", Asked: atLeast(0.85),
		How: "BenchmarkFanOut in gateway/: through seats and queues",
	}}, err
}
