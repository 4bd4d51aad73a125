package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

const roomSize = 10

// A side is a server, and what its clients say to it.
type side interface {
	name() string
	// command starts it at address. With cheap its signatures cost next to nothing.
	command(address, redis string, cheap bool) (*exec.Cmd, error)
	url(address string) string
	subprotocol() string
	// entry is what a client says to come into a room and know who is in it.
	entry(room string) []string
	// hasEntered says whether a frame answers the last message of entry.
	hasEntered(frame []byte) bool
	message(room, data string) string
	// recipients is how many get a message, in a full room.
	recipients() int
	// pong is what a frame has to be answered with; "" is nothing.
	pong(frame []byte) string
}

type roompass struct{ o options }

func (roompass) name() string { return "roompass" }

func (r roompass) command(address, redis string, cheap bool) (*exec.Cmd, error) {
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	key := filepath.Join(r.o.dir, "key.pem")
	args := []string{
		"serve", "--listen", address, "--admin-listen", admin, "--redis", "redis://" + redis, "--access", "open",
		"--log-level", "error", "--drain", "1s",
		// All come from one address, and few of them say all there is to say.
		"--max-unauthenticated", strconv.Itoa(r.o.connections + 1), "--message-rate", "100000", "--message-burst", "100000",
	}
	if cheap {
		key = filepath.Join(r.o.dir, "hmac.key")
		secret := []byte(rand.Text() + rand.Text())
		if err := os.WriteFile(key, secret, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--alg", "HS256")
	} else if _, err := os.Stat(key); err != nil {
		if out, err := exec.Command(r.o.roompass, "keygen", "--out", r.o.dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("keygen: %w: %s", err, out)
		}
	}
	return exec.Command(r.o.roompass, append(args, "--key", key)...), nil
}

func (roompass) url(address string) string { return "ws://" + address + "/ws" }
func (roompass) subprotocol() string       { return "roompass.v1" }

func (roompass) entry(room string) []string {
	return []string{`{"type":"auth","id":1}`, `{"type":"join","id":2,"room":"` + room + `"}`}
}

func (roompass) hasEntered(frame []byte) bool {
	return bytes.Contains(frame, []byte(`"type":"joined"`))
}

func (roompass) message(room, data string) string {
	return `{"type":"signal","room":"` + room + `","data":` + data + `}`
}

func (roompass) recipients() int    { return roomSize - 1 }
func (roompass) pong([]byte) string { return "" } // RFC 6455's own, which the library answers

type centrifugal struct{}

func (centrifugal) name() string { return "centrifuge" }

func (centrifugal) command(address, redis string, _ bool) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(self, "serve-centrifuge", address, redis), nil
}

func (centrifugal) url(address string) string { return "ws://" + address + "/connection/websocket" }
func (centrifugal) subprotocol() string       { return "centrifuge-json" }

func (centrifugal) entry(room string) []string {
	return []string{
		`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"` + room + `"}}`, `{"id":3,"presence":{"channel":"` + room + `"}}`,
	}
}

func (centrifugal) hasEntered(frame []byte) bool {
	return bytes.Contains(frame, []byte(`"id":3,"presence"`))
}

func (centrifugal) message(room, data string) string {
	return `{"id":4,"publish":{"channel":"` + room + `","data":` + data + `}}`
}

// The publisher is a subscriber too.
func (centrifugal) recipients() int { return roomSize }

// A frame may hold several messages, a line each; a ping is an empty one.
func (centrifugal) pong(frame []byte) string {
	for line := range bytes.Lines(frame) {
		if string(bytes.TrimSpace(line)) == "{}" {
			return "{}"
		}
	}
	return ""
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
