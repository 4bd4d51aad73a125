package redistest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy is a network between a pod and its server that can be broken.
type Proxy struct {
	t      testing.TB
	listen net.Listener

	mu      sync.Mutex // guards what follows
	change  *sync.Cond
	backend string
	frozen  bool // nothing passes
	conns   map[*proxied]bool
	closed  bool
}

// proxied is one connection through the proxy.
type proxied struct {
	client, server net.Conn
	subscribes     bool
}

// Through starts a proxy to a server; it ends with the test.
func Through(s *Server) *Proxy {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	p := &Proxy{t: s.t, listen: l, backend: s.Addr(), conns: map[*proxied]bool{}}
	p.change = sync.NewCond(&p.mu)
	go p.accept()
	s.t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.change.Broadcast()
		p.mu.Unlock()
		p.Cut()
	})
	return p
}

// URL is the server's, by way of the proxy.
func (p *Proxy) URL() string { return "redis://" + userInfo() + p.listen.Addr().String() }

// Port is where it listens, on 127.0.0.1.
func (p *Proxy) Port() int { return p.listen.Addr().(*net.TCPAddr).Port }

// To has connections that are made from now on lead to another server.
func (p *Proxy) To(s *Server) { p.set(func() { p.backend = s.Addr() }) }

// Freeze lets nothing pass any more, without a sign: what is sent waits.
func (p *Proxy) Freeze() { p.set(func() { p.frozen = true }) }

// Mute lets nothing pass any more to the connections that have subscribed, without a sign. New
// ones are as they should be.
func (p *Proxy) Mute() {
	p.set(func() {
		for c := range p.conns {
			if c.subscribes {
				delete(p.conns, c) // its copying goroutine finds that out
			}
		}
	})
}

// Thaw lets everything pass again.
func (p *Proxy) Thaw() { p.set(func() { p.frozen = false }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.change.Broadcast()
}

// Cut resets all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		for _, end := range []net.Conn{c.client, c.server} {
			_ = end.(*net.TCPConn).SetLinger(0)
			_ = end.Close()
		}
		delete(p.conns, c)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		go func() {
			p.pass(nil)
			p.mu.Lock()
			backend := p.backend
			p.mu.Unlock()
			server, err := net.DialTimeout("tcp", backend, time.Second)
			if err != nil {
				_ = client.Close()
				return
			}
			c := &proxied{client: client, server: server}
			p.mu.Lock()
			p.conns[c] = true
			p.mu.Unlock()
			go p.copy(c, server, client, true)
			p.copy(c, client, server, false)
		}()
	}
}

// pass waits while nothing passes, and reports whether c is muted for good.
func (p *Proxy) pass(c *proxied) (muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen && !p.closed {
		p.change.Wait()
	}
	return c != nil && !p.conns[c]
}

func (p *Proxy) copy(c *proxied, to, from net.Conn, up bool) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if up && bytes.Contains(bytes.ToLower(buffer[:n]), []byte("ssubscribe")) {
			p.set(func() { c.subscribes = true })
		}
		if p.pass(c) {
			_, _ = io.Copy(io.Discard, from) // half open: it looks as if nothing were sent
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
