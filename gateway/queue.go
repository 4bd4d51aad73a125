package gateway

import (
	"errors"
	"sync"
)

// errQueueFull says that a frame would put the queue over its bytes.
var errQueueFull = errors.New("the outbound queue is full")

// errQueueClosed says that the close frame is already in the queue.
var errQueueClosed = errors.New("the outbound queue is closed")

// A queue holds the frames that a connection still has to write, in two lanes:
// tokens and pings go ahead of everything else. It is bounded in bytes, not in
// frames, because it is bytes that a slow reader costs.
type queue struct {
	limit int // bytes in the normal lane beyond which put refuses

	mu      sync.Mutex // guards what follows
	urgent  [][]byte
	normal  [][]byte
	bytes   int    // in both lanes and in the batch being written
	puts    uint64 // normal frames ever put
	taken   uint64 // normal frames ever taken
	writing bool   // somebody takes batches, and will until the lanes are empty
	closed  bool   // the close frame is in; nothing may follow
}

// A mark is a place in the normal lane.
type mark uint64

// put appends frames to the normal lane, all or none, and returns their mark.
// start says that the caller has to start a writer.
func (q *queue) put(frames ...[]byte) (at mark, start bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false, errQueueClosed
	}
	n := size(frames)
	if q.bytes+n > q.limit && q.bytes > 0 {
		return 0, false, errQueueFull
	}
	q.normal = append(q.normal, frames...)
	q.puts += uint64(len(frames))
	q.bytes += n
	return mark(q.puts), q.startLocked(), nil
}

// putUrgent appends frames to the urgent lane: always, because a token or a
// ping is small and a peer that takes neither is closed by its missing pong.
// Frames that must not overtake the normal lane's up to after join that lane
// instead; urgent says which it was.
func (q *queue) putUrgent(after mark, frames ...[]byte) (urgent, start bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, false, errQueueClosed
	}
	if urgent = uint64(after) <= q.taken; urgent {
		q.urgent = append(q.urgent, frames...)
	} else {
		q.normal = append(q.normal, frames...)
		q.puts += uint64(len(frames))
	}
	q.bytes += size(frames)
	return urgent, q.startLocked(), nil
}

// close puts the last frame in. With discard, what waits in the normal lane is
// dropped: its reader was too slow for it and will have it from the log.
func (q *queue) close(last frame, discard bool) (start bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, errQueueClosed
	}
	q.closed = true
	if discard {
		q.bytes -= size(q.normal)
		q.taken += uint64(len(q.normal))
		q.normal = nil
	}
	q.normal = append(q.normal, last)
	q.puts++
	q.bytes += len(last)
	return q.startLocked(), nil
}

// shut refuses whatever comes from now on, and forgets what waits: the socket is gone.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.bytes -= size(q.urgent) + size(q.normal)
	q.urgent, q.normal = nil, nil
}

func (q *queue) startLocked() bool {
	if q.writing {
		return false
	}
	q.writing = true
	return true
}

// A batch is written at once, and is bounded so that a token which comes
// meanwhile doesn't wait behind the whole lane.
const (
	batchFrames = 64
	batchBytes  = 64 << 10
)

// take moves the next frames to batch, the urgent ones first. When there are
// none the writer has to end: the next put will ask for a new one.
// written is the size of the batch before, now on the wire.
func (q *queue) take(batch [][]byte, written int) (_ [][]byte, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= written
	q.urgent, batch, n = moveFrames(q.urgent, batch, n)
	before := len(batch)
	q.normal, batch, n = moveFrames(q.normal, batch, n)
	q.taken += uint64(len(batch) - before)
	if len(batch) == 0 {
		q.writing = false
	}
	return batch, n
}

// moveFrames moves frames from a lane until the batch is full, and keeps a
// small lane's memory for the next ones.
func moveFrames(lane, batch [][]byte, n int) ([][]byte, [][]byte, int) {
	i := 0
	for i < len(lane) && len(batch) < batchFrames && n < batchBytes {
		batch = append(batch, lane[i])
		n += len(lane[i])
		i++
	}
	rest := copy(lane, lane[i:])
	clear(lane[rest:])
	if rest == 0 && cap(lane) > 4 {
		return nil, batch, n
	}
	return lane[:rest], batch, n
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// waiting is how many bytes haven't reached the wire.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
