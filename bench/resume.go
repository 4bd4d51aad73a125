package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// survivors are the pods that clients come back to.
const survivors = 2

// A comeback is what it took that all came back.
type comeback struct {
	took   time.Duration
	signed float64 // signatures of the pods that are left
}

// measureResume kills the pod that all clients are on. As many of them come back at a time as bare
// handshakes are made, as fast as that goes.
func measureResume(ctx context.Context, o options, round int) ([]row, error) {
	var is comeback
	var bare time.Duration
	err := inTurns(round,
		func() (err error) { is, err = o.comeBack(ctx); return err },
		func() (err error) { bare, err = o.handshakes(ctx, o.connections, survivors); return err })
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	return []row{
		{
			What: "all are back after a SIGKILL of their pod", Unit: "s", Ours: is.took.Seconds(), Beside: bare.Seconds(), Peer: "bare handshakes", Asked: atMost(3),
			How: fmt.Sprintf("%d clients, all resumed on %d other pods, %d at a time, from the SIGKILL", o.connections, survivors, entering),
		},
		{
			What: "signatures made for them", Unit: "", Ours: is.signed, Beside: float64(o.connections), Peer: "all clients", Asked: atMost(0),
			How: "by the server's metric; all tokens were good for long",
		},
	}, nil
}

func (o options) comeBack(ctx context.Context) (is comeback, err error) {
	c, err := start(ctx, o.personal("--token-ttl", "40m", "--token-refresh", "30m", "--linger", "60s"), o.dir, 1+survivors)
	if err != nil {
		return is, err
	}
	defer c.stop()
	clients := make([]*returner, o.connections)
	defer func() {
		for _, r := range clients {
			if r != nil && r.conn != nil {
				_ = r.conn.CloseNow()
			}
		}
	}()
	for i := range clients {
		clients[i] = &returner{n: i, room: "bench-" + strconv.Itoa(i/roomSize)}
	}
	say("resume: clients come in")
	urls := c.urls()
	began := time.Now()
	err = each(len(clients), func(i int) error {
		if err := sleep(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(o.connectRate)))); err != nil {
			return err
		}
		return clients[i].enter(ctx, urls[0])
	})
	if err != nil {
		return is, err
	}
	before, err := readMetrics(ctx, c.servers[1:]...)
	if err != nil {
		return is, err
	}
	say("resume: their pod is killed")
	if is.took, err = c.loseFirst(ctx, clients); err != nil {
		return is, err
	}
	if err := sleep(ctx, 2*time.Second); err != nil { // for a signature that comes after
		return is, err
	}
	after, err := readMetrics(ctx, c.servers[1:]...)
	is.signed = after.since(before)[signature+"_count"]
	return is, err
}

// loseFirst kills the first pod, and waits until all its clients are on the others.
func (c *cluster) loseFirst(ctx context.Context, clients []*returner) (time.Duration, error) {
	urls := c.urls()[1:]
	lost := make([]chan struct{}, len(clients))
	for i, r := range clients {
		lost[i] = make(chan struct{})
		go func() { r.listen(); close(lost[i]) }()
	}
	if err := sleep(ctx, 2*time.Second); err != nil { // what they were told is read
		return 0, err
	}
	began := time.Now()
	if err := c.servers[0].cmd.Process.Kill(); err != nil {
		return 0, err
	}
	err := each(len(clients), func(i int) error {
		select {
		case <-lost[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		return clients[i].comeBack(ctx, urls[i%len(urls)])
	})
	return time.Since(began), err
}

// each does something for n clients, so many at a time as come in, until something goes wrong.
func each(n int, do func(i int) error) error {
	all, ctx := errgroup.WithContext(context.Background())
	all.SetLimit(entering)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		all.Go(func() error { return do(i) })
	}
	return all.Wait()
}
