//go:build soak

package soak

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A balancer is the network between clients and pods. It deals connections out over the pods
// that answer /livez, and can be broken for each pod by itself.
type balancer struct {
	listen net.Listener
	pods   []*pod

	mu     sync.Mutex // guards what follows
	change *sync.Cond
	ways   map[*pod]*way
	closed bool
}

// A way is that to one pod.
type way struct {
	up     bool
	frozen bool          // nothing passes, without a sign
	delay  time.Duration // of whatever passes, each way
	conns  map[*passage]bool
}

// A passage is one connection.
type passage struct{ client, pod net.Conn }

func balance(t testing.TB, pods []*pod) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listen: l, pods: pods, ways: map[*pod]*way{}}
	b.change = sync.NewCond(&b.mu)
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, p := range pods {
		b.ways[p] = &way{conns: map[*passage]bool{}}
		running.Go(func() { b.probe(p, stop) })
	}
	running.Go(func() { b.accept(&running) })
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
		b.set(func() { b.closed = true })
		for _, p := range pods {
			b.cut(p)
		}
		running.Wait()
	})
	return b
}

func (b *balancer) url() string { return "ws://" + b.listen.Addr().String() + "/ws" }

// probe looks whether the pod lives. It goes by /livez: a client may come in without Redis too.
func (b *balancer) probe(p *pod, stop <-chan struct{}) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		response, err := client.Get(p.operator + "/livez")
		up := err == nil && response.StatusCode == http.StatusOK
		if err == nil {
			_ = response.Body.Close()
		}
		b.set(func() { b.ways[p].up = up })
		select {
		case <-time.After(300 * time.Millisecond):
		case <-stop:
			return
		}
	}
}

func (b *balancer) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.change.Broadcast()
}

func (b *balancer) freeze(p *pod, frozen bool) { b.set(func() { b.ways[p].frozen = frozen }) }

func (b *balancer) slow(p *pod, delay time.Duration) { b.set(func() { b.ways[p].delay = delay }) }

// cut resets all connections to a pod.
func (b *balancer) cut(p *pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.ways[p].conns {
		c.reset()
		delete(b.ways[p].conns, c)
	}
	b.change.Broadcast()
}

func (c *passage) reset() {
	for _, end := range []net.Conn{c.client, c.pod} {
		_ = end.(*net.TCPConn).SetLinger(0)
		_ = end.Close()
	}
}

// pick chooses among the pods that are up; among all, if none is.
func (b *balancer) pick() *pod {
	b.mu.Lock()
	defer b.mu.Unlock()
	var up []*pod
	for _, p := range b.pods {
		if b.ways[p].up {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		up = b.pods
	}
	return up[rand.IntN(len(up))]
}

func (b *balancer) accept(running *sync.WaitGroup) {
	for {
		client, err := b.listen.Accept()
		if err != nil {
			return
		}
		running.Go(func() { b.carry(client) })
	}
}

func (b *balancer) carry(client net.Conn) {
	p := b.pick()
	to, err := net.DialTimeout("tcp", p.listen, time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &passage{client, to}
	b.set(func() { b.ways[p].conns[c] = true })
	defer b.set(func() { delete(b.ways[p].conns, c) })
	var other sync.WaitGroup
	other.Go(func() { b.copy(p, c, client, to) })
	b.copy(p, c, to, client)
	other.Wait()
}

// copy carries one direction. When it ends, the other one does.
func (b *balancer) copy(p *pod, c *passage, to, from net.Conn) {
	defer func() { _, _ = c.client.Close(), c.pod.Close() }()
	buffer := make([]byte, 4<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if b.pass(p, c) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				c.reset()
			}
			b.pass(p, c) // the end takes as long as what came before it
			return
		}
	}
}

// pass waits for as long as the network has it. It reports whether the connection is cut.
func (b *balancer) pass(p *pod, c *passage) (cut bool) {
	b.mu.Lock()
	delay := b.ways[p].delay
	b.mu.Unlock()
	time.Sleep(delay)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.ways[p].frozen && !b.closed && b.ways[p].conns[c] {
		b.change.Wait()
	}
	return !b.ways[p].conns[c]
}
