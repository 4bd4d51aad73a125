package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

// An audience is seats on real sockets, whose peers read only when they are told to.
type audience struct {
	server *Server
	seats  []*seat
	peers  []*net.TCPConn
}

func newAudience(tb testing.TB, n int) *audience {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	a := &audience{server: &Server{}}
	for range n {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		socket, err := l.Accept()
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _, _ = peer.Close(), socket.Close() })
		c := &conn{server: a.server, wire: &wire{Conn: socket, timeout: time.Minute}}
		c.out.limit = 1 << 20
		a.seats = append(a.seats, &seat{conn: c, room: "r", member: "m", begun: true})
		a.peers = append(a.peers, peer.(*net.TCPConn))
	}
	return a
}

// hear reads what n bytes each are.
func (a *audience) hear(tb testing.TB, n int) {
	into := make([]byte, n)
	for _, p := range a.peers {
		if _, err := io.ReadFull(p, into); err != nil {
			tb.Fatal(err)
		}
	}
}

// told is a signal of 700 bytes, as rooms hand it to those who follow.
func told() (*rooms.Entry, frame) {
	data, _ := json.Marshal(string(bytes.Repeat([]byte("x"), 600)))
	e := &rooms.Entry{Room: "r", Cursor: rooms.Cursor{Epoch: "epoch", N: 1}, Kind: rooms.KindSignal, From: "a", Data: data}
	e.Prepared = Prepare(e)
	return e, preparedFrame(e)
}

// deliver tells all of an entry, and waits until that is written.
func (a *audience) deliver(e *rooms.Entry) {
	for _, s := range a.seats {
		s.Deliver(e)
	}
	a.server.running.Wait()
}

// cpu is what this process has used so far.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFanOut tells 5,000 members of one signal: through their seats and queues, and beside that
// by a bare write(2) to each of the same sockets. What counts is CPU-ns/recipient: writers run on
// all cores.
func BenchmarkFanOut(b *testing.B) {
	a := newAudience(b, 5000)
	e, f := told()
	var descriptors []syscall.RawConn
	for _, s := range a.seats {
		raw, err := s.conn.wire.(*wire).Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			b.Fatal(err)
		}
		descriptors = append(descriptors, raw)
	}
	for name, tell := range map[string]func(){
		"gateway": func() { a.deliver(e) },
		"write2": func() {
			for _, raw := range descriptors {
				_ = raw.Control(func(fd uintptr) { _, _ = syscall.Write(int(fd), f) })
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took time.Duration
			for range b.N {
				began := cpu(b)
				tell()
				took += cpu(b) - began
				b.StopTimer()
				a.hear(b, len(f))
				b.StartTimer()
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*len(a.seats)), "CPU-ns/recipient")
		})
	}
}

// Each recipient of a message costs no memory of its own. (The race detector has a pool forget a
// quarter of what is put into it, which makes half an allocation here.)
func TestARecipientAllocatesNothing(t *testing.T) {
	few, many := newAudience(t, 10), newAudience(t, 110)
	e, f := told()
	allocations := func(a *audience) float64 {
		return testing.AllocsPerRun(100, func() {
			a.deliver(e)
			a.hear(t, len(f))
		})
	}
	if got := (allocations(many) - allocations(few)) / 100; got > 0.9 {
		t.Errorf("%v allocations a recipient", got)
	}
}
