package gateway

import (
	"context"
	"sync"
	"sync/atomic"
)

// workers do the requests of all connections, each on a goroutine that has done others before.
// A reader that did its own would need a large stack for it: for as long as it lasts, or until
// the collector shrinks it, and then it would have to grow again.
type workers struct {
	tasks  *tasks
	jobs   chan *job // without a buffer: whoever takes one was idle
	used   sync.Pool // of jobs
	parked atomic.Int32
}

// mostParked is how many workers wait for the next job. Any more end.
const mostParked = 256

// A job is one request.
type job struct {
	conn *conn
	text []byte
	done chan struct{} // capacity 1
}

func newWorkers(t *tasks) *workers {
	return &workers{
		tasks: t, jobs: make(chan *job),
		used: sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }},
	}
}

// handle has a connection's request done, and waits for that.
func (w *workers) handle(c *conn, text []byte) {
	j := w.used.Get().(*job)
	defer w.used.Put(j)
	j.conn, j.text = c, text
	select {
	case w.jobs <- j:
	default:
		if !w.tasks.spawn(func(ctx context.Context) { w.work(ctx, j) }) {
			c.handle(text) // the server ends
			return
		}
	}
	<-j.done
	j.conn, j.text = nil, nil
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
