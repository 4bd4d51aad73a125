package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const (
	busy      = 0.6 // of a core: what signatures shall take
	latest    = 250 * time.Millisecond
	lateness  = "roompass_token_push_lateness_seconds"
	signature = "roompass_token_sign_seconds"
	// meanJitter is where in the refresh time a token falls due on average: between 0.9 and 1 of it.
	meanJitter = 0.95
	// meanCut is how old a token is already when it is signed, on average: iat is in whole seconds.
	meanCut = 500 * time.Millisecond
)

// refreshFor is the refresh time at which so many tokens take as much of a core as they shall.
func refreshFor(members int, signing time.Duration) time.Duration {
	each := time.Duration(float64(members) * float64(signing) / busy)
	return time.Duration(float64(each+meanCut) / meanJitter).Round(time.Millisecond)
}

// ttlFor has the proportion of the defaults, 5 min to 4, in whole seconds.
func ttlFor(refresh time.Duration) time.Duration {
	return (refresh*5/4 + time.Second - 1).Truncate(time.Second)
}

// What `roompass bench` says, as far as it is about tokens. Durations are in ns.
type pushes struct {
	Wanted    int   `json:"wanted"`
	Connected int   `json:"connected"`
	Tokens    int64 `json:"tokens"`
	BadTokens int64 `json:"bad_tokens"`
	Lapses    int64 `json:"lapses"`
	Lateness  struct {
		P999 time.Duration `json:"p999"`
	} `json:"lateness"`
}

// measurePush has tokens fall due so often that a core is busy with signatures for the most part. Who looks whether
// they come in time, and hold, is `roompass bench`, whose clients verify each.
func measurePush(ctx context.Context, o options, _ int) ([]row, error) {
	signing, err := o.signingTime(ctx)
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	refresh := refreshFor(o.members, signing)
	ttl := ttlFor(refresh)
	say("push: a signature takes %v, so %d tokens are refreshed after %v and live %v", signing.Round(time.Microsecond), o.members, refresh, ttl)
	c, err := start(ctx, o.personal("--token-refresh", refresh.String(), "--token-ttl", ttl.String()), o.dir, 1)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	began := time.Now()
	// They come over nearly one refresh time: tokens fall due over all of it, but none before all are in.
	is, err := o.runBench(ctx, c.urls()[0], float64(o.members)/(0.85*refresh.Seconds()), refresh, max(30*time.Second, 2*refresh))
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	took := time.Since(began)
	did, err := readMetrics(ctx, c.servers...)
	if err != nil {
		return nil, err
	}
	void := ""
	if is.Connected < is.Wanted {
		void = fmt.Sprintf("%d of %d clients were in", is.Connected, is.Wanted)
	}
	made := did[lateness+"_count"]
	return []row{
		{
			What: "token push lateness p99.9", Unit: "ms", Ours: float64(is.Lateness.P999) / 1e6, Beside: float64(latest) / 1e6, Peer: "the limit", Asked: atMost(1),
			Void: void, How: fmt.Sprintf("by %d clients, from iat and --token-refresh", o.members),
		},
		{
			What: "pushes made later than that", Unit: "", Ours: made - did[lateness+`_bucket{le="0.25"}`], Beside: made, Peer: "all pushes", Asked: atMost(0.001),
			Void: void, How: "by the server's metric, from when each was due by its jitter",
		},
		{
			What: "tokens that lapsed or didn't hold", Unit: "", Ours: float64(is.Lapses + is.BadTokens), Beside: float64(is.Tokens), Peer: "all tokens", Asked: atMost(0),
			Void: void, How: "each verified by its client when it came, without tolerance",
		},
		{
			What: "signing, while tokens were pushed", Unit: "of a core", Ours: did[signature+"_sum"] / took.Seconds(), Beside: busy, Peer: "what was aimed at",
			Void: void, How: "by the server's metric, over the whole run",
		},
	}, nil
}

// personal is roompass whose clients have tokens of their own.
func (o options) personal(flags ...string) roompass {
	r := o.roompass()
	r.named, r.flags = true, flags
	return r
}

// signingTime is what a signature takes the binary that is measured.
func (o options) signingTime(ctx context.Context) (each time.Duration, err error) {
	const n, rate = 200, 100 // a second: so slowly that none waits for another
	err = with(ctx, o, o.personal(), 1, func(c *cluster, l *load) error {
		if _, err := c.arrive(ctx, l, n, rate); err != nil {
			return err
		}
		is, err := readMetrics(ctx, c.servers...)
		each = time.Duration(is[signature+"_sum"] / max(1, is[signature+"_count"]) * float64(time.Second))
		return err
	})
	if err == nil && each <= 0 {
		err = fmt.Errorf("nothing was signed")
	}
	return each, err
}

// runBench runs `roompass bench`, which fails where a token lapsed but has a report then too.
func (o options) runBench(ctx context.Context, url string, rate float64, refresh, d time.Duration) (is pushes, err error) {
	cmd := exec.CommandContext(ctx, o.binary, "bench", "--url", url, "--json", "-",
		"--connections", strconv.Itoa(o.members), "--rooms", strconv.Itoa(o.members/roomSize), "--connect-rate", strconv.FormatFloat(rate, 'f', 1, 64),
		"--duration", d.String(), "--token-refresh", refresh.String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	failed := cmd.Run()
	if err := json.Unmarshal(out.Bytes(), &is); err != nil {
		return is, fmt.Errorf("roompass bench has no report: %w", failed)
	}
	return is, nil
}
