package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
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
	resume := func() (err error) { is, err = o.comeBack(ctx); return err }
	handshake := func() (err error) { bare, err = o.handshakes(ctx, o.connections, survivors); return err }
	first, second := resume, handshake
	if round%2 == 1 {
		first, second = second, first
	}
	err := first()
	if err == nil {
		err = second()
	}
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
	side := o.roompass()
	side.named = true
	side.flags = []string{"--token-ttl", "40m", "--token-refresh", "30m", "--linger", "60s"}
	c, err := start(ctx, side, o.dir, 1+survivors)
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
	err = each(clients, func(i int, r *returner) error {
		if err := sleep(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(o.connectRate)))); err != nil {
			return err
		}
		return r.enter(ctx, urls[0])
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
	err := each(clients, func(i int, r *returner) error {
		select {
		case <-lost[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		return r.comeBack(ctx, urls[i%len(urls)])
	})
	return time.Since(began), err
}

// each does something with all clients, some at a time, until something goes wrong.
func each(clients []*returner, do func(int, *returner) error) error {
	var all sync.WaitGroup
	var wrong atomic.Pointer[error]
	free := make(chan struct{}, entering)
	for i, r := range clients {
		free <- struct{}{}
		if wrong.Load() != nil {
			break
		}
		all.Go(func() {
			if err := do(i, r); err != nil {
				wrong.CompareAndSwap(nil, &err)
			}
			<-free
		})
	}
	all.Wait()
	if err := wrong.Load(); err != nil {
		return *err
	}
	return nil
}
