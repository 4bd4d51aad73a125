// Package load is many clients of a gateway at once, and what they saw: how long it
// took to come in, when each signal arrived, and whether a token that they held ever
// ran out.
//
// It is an open loop: each signal has the time at which it was meant to be sent, and
// its latency counts from then, however late the generator or the gateway is (there
// is no coordinated omission). Every token that is pushed is verified against the
// gateway's key set, with no tolerance.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what the clients do. URLs, Connections and Duration are required.
type Config struct {
	URLs        []string      // ws:// or wss:// addresses of pods; clients are dealt out over them
	Connections int           // clients, each in one room
	Rooms       int           // that they are dealt out over; 1
	ConnectRate float64       // clients a second that come; 100
	SignalRate  float64       // signals a second that all of them send; 0: none
	Payload     int           // bytes of each signal's data, at least; 64
	Duration    time.Duration // of what comes after all are in

	// Credential is each client's, where {n} stands for its number from 0; "": none.
	Credential string
	Origin     string        // the page that clients say they are; "": none
	Refresh    time.Duration // the gateway's --token-refresh: how old a token gets; 4 min
	Sources    []netip.Addr  // local addresses that connections come from, in turn; none: the system's

	Progress func(Progress) // is called four times a second; nil: nobody looks
}

// A Progress is how far a run is.
type Progress struct {
	Phase       string // "connect", "run" or "leave"
	Done, Total int    // clients that are in, or seconds that have passed
	Received    int64  // signals so far
	Lapses      int64
}

// A run is one that goes on.
type run struct {
	Config
	began   time.Time // what signals' times count from
	keys    *keySet
	clients []*client

	mu                                           sync.Mutex // guards what follows
	report                                       Report
	watch                                        watch
	joins, latency, resumes, lateness, remaining *recorder

	in       atomic.Int64
	sent     atomic.Int64
	expected atomic.Int64
	received atomic.Int64
	disorder atomic.Int64
	lapses   atomic.Int64
	stopping atomic.Bool
	seconds  []second
}

// A second is what happened in one, counted from the start.
type second struct{ Sent, Received, Tokens, Connected atomic.Int64 }

// Run has the clients come, do what config says, and leave. It ends early, with what
// was seen until then, when ctx ends. An error says that there is nothing to report.
func Run(ctx context.Context, config Config) (*Report, error) {
	if len(config.URLs) == 0 || config.Connections < 1 || config.Duration <= 0 {
		return nil, errors.New("a load needs an address, a connection and a duration")
	}
	r := &run{
		Config: config, began: time.Now(),
		joins: newRecorder(), latency: newRecorder(), resumes: newRecorder(), lateness: newRecorder(), remaining: newRecorder(),
	}
	r.Rooms, r.Payload = max(r.Rooms, 1), max(r.Payload, 64)
	if r.ConnectRate <= 0 {
		r.ConnectRate = 100
	}
	if r.Refresh <= 0 {
		r.Refresh = 4 * time.Minute
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what reads the keys again ends with it
	var err error
	if r.keys, err = fetchKeys(ctx, r.URLs[0]); err != nil {
		return nil, err
	}
	r.report = Report{Began: r.began, Errors: map[string]int{}, Closes: map[int]int{}}
	comesIn := time.Duration(float64(r.Connections) / r.ConnectRate * float64(time.Second))
	r.seconds = make([]second, int((comesIn+r.Duration)/time.Second)+60)
	before, _ := readServers(r.URLs)

	stopLooking := r.look(ctx)
	defer stopLooking()
	alive, end := context.WithCancel(context.WithoutCancel(ctx)) // clients leave in good order
	defer end()
	var running sync.WaitGroup
	r.connect(ctx, alive, &running)
	atRest, _ := readServers(r.URLs)
	started, sentBefore := time.Now(), r.received.Load()
	r.signal(ctx)
	r.report.Ran = time.Since(started)
	after, unread := readServers(r.URLs)
	r.settle(ctx)
	r.report.Delivered = r.received.Load() - sentBefore
	r.stopping.Store(true)
	end()
	running.Wait()
	if r.report.Connected == 0 {
		return nil, fmt.Errorf("nobody came in: %s", r.report.why())
	}
	r.report.Servers = compare(before, atRest, after, r.report.Ran)
	r.report.Unread = unread
	r.finish()
	return &r.report, nil
}

// connect has the clients come, at the rate, and returns when the last has or has
// given up, or ctx ends.
func (r *run) connect(ctx, alive context.Context, running *sync.WaitGroup) {
	r.phase("connect", r.Connections)
	start := time.Now()
	var coming sync.WaitGroup
	for n := range r.Connections {
		due := start.Add(time.Duration(float64(n) / r.ConnectRate * float64(time.Second)))
		if !sleepUntil(ctx, due) {
			break
		}
		c := newClient(r, n)
		r.clients = append(r.clients, c)
		coming.Add(1)
		running.Go(func() { c.live(alive, due, coming.Done) })
	}
	coming.Wait()
	r.report.Connected = int(r.in.Load())
	r.report.ConnectTook = time.Since(start)
}

// signal has clients signal, each at its time, for as long as the run lasts.
func (r *run) signal(ctx context.Context) {
	r.phase("run", int(r.Duration.Seconds()))
	start := time.Now()
	end := start.Add(r.Duration)
	in := slices.DeleteFunc(slices.Clone(r.clients), func(c *client) bool { return !c.isIn() })
	if r.SignalRate <= 0 || len(in) == 0 {
		sleepUntil(ctx, end)
		return
	}
	rand.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
	// Several senders: one whose socket is full doesn't delay the others by itself.
	const senders = 4
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := s; ; i += senders {
				due := start.Add(time.Duration(float64(i) / r.SignalRate * float64(time.Second)))
				if due.After(end) || !sleepUntil(ctx, due) {
					return
				}
				in[i%len(in)].signal(due)
			}
		})
	}
	sending.Wait()
}

// settle waits for what is still on its way, for as long as something comes.
func (r *run) settle(ctx context.Context) {
	for quiet := 0; quiet < 10 && r.received.Load() < r.expected.Load() && ctx.Err() == nil; {
		before := r.received.Load()
		time.Sleep(100 * time.Millisecond)
		if quiet++; r.received.Load() > before {
			quiet = 0
		}
	}
	r.phase("leave", 0)
}

// sleepUntil returns false where ctx ends before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// now is the second that it is.
func (r *run) now() *second {
	i := min(int(time.Since(r.began)/time.Second), len(r.seconds)-1)
	return &r.seconds[i]
}
