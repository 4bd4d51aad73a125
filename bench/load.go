package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/coder/websocket"
)

// A load is all clients of one server.
type load struct {
	side     side
	roomSize int
	across   bool // odd clients say nothing, and of what even ones get nothing counts
	began    time.Time
	conns    []*websocket.Conn
	room     []string
	padding  string

	wrong    atomic.Pointer[error] // the first that befell a client
	ending   atomic.Bool
	received atomic.Int64
	latency  [16]shard
	readers  sync.WaitGroup
}

// A shard is a part of the latencies, so that readers don't wait for each other.
type shard struct {
	mu sync.Mutex
	of *hdrhistogram.Histogram // µs
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Microseconds(), 3)
}

func newLoad(s side) *load {
	l := &load{side: s, roomSize: roomSize, began: time.Now(), padding: strings.Repeat("x", 96)}
	for i := range l.latency {
		l.latency[i].of = newHistogram()
	}
	return l
}

// entering is how many come in at a time: on a slow machine none is late to say who it is.
const entering = 64

// come has n clients come in, rate a second at most, to one address after the other.
func (l *load) come(ctx context.Context, urls []string, n, rate int) error {
	l.conns = make([]*websocket.Conn, n)
	l.room = make([]string, n)
	var all sync.WaitGroup
	free := make(chan struct{}, entering)
	began := time.Now()
	for i := range n {
		l.room[i] = "bench-" + strconv.Itoa(i/l.roomSize)
		if err := sleep(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(rate)))); err != nil {
			l.fail(err)
			break
		}
		if l.err() != nil {
			break
		}
		free <- struct{}{}
		all.Go(func() {
			l.fail(l.enter(ctx, urls[i%len(urls)], i))
			<-free
		})
	}
	all.Wait()
	return l.err()
}

func (l *load) enter(ctx context.Context, url string, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := dial(ctx, url, l.side.subprotocol())
	if err != nil {
		return err
	}
	l.conns[i] = conn
	for _, text := range l.side.entry(l.room[i], i) {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return err
		}
	}
	in := make(chan struct{})
	l.readers.Go(func() { l.fail(l.read(conn, i, in)) })
	select {
	case <-in:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a client isn't in its room: %w", ctx.Err())
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (l *load) read(conn *websocket.Conn, i int, in chan struct{}) error {
	for {
		_, r, err := conn.Reader(context.Background())
		if err != nil {
			return err
		}
		buffer := buffers.Get().(*bytes.Buffer)
		buffer.Reset()
		if _, err := buffer.ReadFrom(r); err != nil {
			return err
		}
		frame := buffer.Bytes()
		if l.counts(i) {
			l.take(frame, i)
		}
		if in != nil && l.side.hasEntered(frame) {
			close(in)
			in = nil
		}
		if pong := l.side.pong(frame); pong != "" {
			err = conn.Write(context.Background(), websocket.MessageText, []byte(pong))
		}
		buffers.Put(buffer)
		if err != nil {
			return err
		}
	}
}

var marker = []byte(`"at":`)

// take finds the messages in a frame by when they were due.
func (l *load) take(frame []byte, i int) {
	for {
		_, rest, found := bytes.Cut(frame, marker)
		if !found {
			return
		}
		frame = rest
		digits, _, _ := bytes.Cut(rest, []byte(","))
		at, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil {
			l.fail(errors.New("a message isn't as it was sent"))
			return
		}
		s := &l.latency[i%len(l.latency)]
		s.mu.Lock()
		_ = s.of.RecordValue(max(1, (time.Since(l.began) - time.Duration(at)).Microseconds()))
		s.mu.Unlock()
		l.received.Add(1)
	}
}

const senders = 4

// counts says whether what a client gets is measured.
func (l *load) counts(i int) bool { return !l.across || i%2 == 1 }

// speaker is who says the i-th message. 7 has no factor with the number of clients, mostly: one room
// after the other.
func (l *load) speaker(i int) int {
	who := i * 7 % len(l.conns)
	if l.across {
		who &^= 1
	}
	return who
}

// recipients is how many there are of a message that count.
func (l *load) recipients() int {
	if l.across {
		return l.roomSize / 2
	}
	return l.side.recipients(l.roomSize)
}

// send sends for d, so that rate messages a second are delivered, and says how many
// ought to be. Each message has the time in it at which it was due: a server that
// slows us down is seen in the latency of all that was due meanwhile.
func (l *load) send(ctx context.Context, rate int, d time.Duration) (expected int64) {
	perSecond := max(1, rate/l.recipients())
	n := int(d.Seconds() * float64(perSecond))
	began := time.Now()
	var sent atomic.Int64
	var all sync.WaitGroup
	for first := range senders {
		all.Go(func() {
			for i := first; i < n && l.err() == nil; i += senders {
				due := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
				if sleep(ctx, time.Until(due)) != nil {
					return
				}
				who := l.speaker(i)
				data := `{"at":` + strconv.FormatInt(int64(due.Sub(l.began)), 10) + `,"x":"` + l.padding + `"}`
				if err := l.conns[who].Write(ctx, websocket.MessageText, []byte(l.side.message(l.room[who], data))); err != nil {
					l.fail(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	all.Wait()
	return sent.Load() * int64(l.recipients())
}

// settle waits until what is expected has come, or nothing more comes.
func (l *load) settle(ctx context.Context, expected int64) {
	for quiet := 0; quiet < 60 && l.received.Load() < expected; quiet++ {
		before := l.received.Load()
		if sleep(ctx, 50*time.Millisecond) != nil {
			return
		}
		if l.received.Load() != before {
			quiet = 0
		}
	}
}

// reset forgets what came so far.
func (l *load) reset() {
	for i := range l.latency {
		l.latency[i].mu.Lock()
		l.latency[i].of.Reset()
		l.latency[i].mu.Unlock()
	}
	l.received.Store(0)
}

func (l *load) latencies() *hdrhistogram.Histogram {
	all := newHistogram()
	for i := range l.latency {
		l.latency[i].mu.Lock()
		all.Merge(l.latency[i].of)
		l.latency[i].mu.Unlock()
	}
	return all
}

// leave ends all clients, and waits for them.
func (l *load) leave() {
	l.ending.Store(true)
	for _, conn := range l.conns {
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	l.readers.Wait()
}

func (l *load) fail(err error) {
	if err == nil || l.ending.Load() {
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed a connection")
	}
	l.wrong.CompareAndSwap(nil, &err)
}

func (l *load) err() error {
	if err := l.wrong.Load(); err != nil {
		return *err
	}
	return nil
}
