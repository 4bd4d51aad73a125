package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/coder/websocket"
)

// serveHandshakes is a server that opens WebSockets and does nothing else.
func serveHandshakes(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		_, _, _ = conn.Read(context.Background())
	}))
}

// handshakes is how long n bare handshakes take with so many servers.
func (o options) handshakes(ctx context.Context, n, servers int) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var urls []string
	for range servers {
		address, err := freeAddress()
		if err != nil {
			return 0, err
		}
		cmd := exec.Command(self, "serve-handshakes", address)
		if err := launch(ctx, cmd, address); err != nil {
			return 0, err
		}
		defer end(cmd)
		urls = append(urls, "ws://"+address+"/")
	}
	say("resume: %d bare handshakes", n)
	conns := make([]*websocket.Conn, n)
	began := time.Now()
	err = each(n, func(i int) (err error) {
		conns[i], err = dial(ctx, urls[i%servers], subprotocol)
		return err
	})
	took := time.Since(began)
	for _, conn := range conns {
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	return took, err
}

// dial opens a socket on which much may come at once: a room's members are in one message.
func dial(ctx context.Context, url, subprotocol string) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	return conn, nil
}
