package gateway

import (
	"context"
	"sync/atomic"
)

// workers do the requests of all connections, each on a goroutine that has done others before.
// A reader that did its own would need a large stack for it: for as long as it lasts, or until
// the collector shrinks it, and then it has to grow again.
type workers struct {
	tasks  *tasks
	jobs   chan *job // without a buffer: whoever takes one was idle
	parked atomic.Int32
}

// mostParked is how many workers wait for the next job. What more there were end.
const mostParked = 256

// A job is one request. It is its connection's: a connection has one at a time.
type job struct {
	conn *conn
	text []byte
	done chan struct{} // capacity 1
}

func newWorkers(t *tasks) *workers { return &workers{tasks: t, jobs: make(chan *job)} }

// do has a request done, and waits for that.
func (w *workers) do(j *job) {
	select {
	case w.jobs <- j:
	default:
		if !w.tasks.spawn(func(ctx context.Context) { w.work(ctx, j) }) {
			j.conn.handle(j.text) // the server ends
			return
		}
	}
	<-j.done
}

func (w *workers) work(ctx context.Context, j *job) {
	for {
		j.conn.handle(j.text)
		j.done <- struct{}{}
		if w.parked.Add(1) > mostParked {
			w.parked.Add(-1)
			return
		}
		select {
		case j = <-w.jobs:
			w.parked.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}
