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

// roomSize is how many are in a room, where nothing else is said.
const roomSize = 10

// A side is a server, and what its clients say to it.
type side interface {
	name() string
	// command starts it at address, and what it has for an operator at admin.
	command(address, admin, redis string) (*exec.Cmd, error)
	url(address string) string
	subprotocol() string
	// entry is what the i-th client says to come into a room and know who is in it.
	entry(room string, i int) []string
	// hasEntered says whether a frame answers the last message of entry.
	hasEntered(frame []byte) bool
	message(room, data string) string
	// recipients is how many get a message, in a full room.
	recipients(roomSize int) int
	// pong is what a frame has to be answered with; "" is nothing.
	pong(frame []byte) string
}

type roompass struct {
	binary string
	dir    string   // keys are made here
	hmac   bool     // tokens by HS256, which cost next to nothing
	named  bool     // each client is somebody, and has a token of its own; else those in a room share one
	flags  []string // more of them
}

func (roompass) name() string { return "roompass" }

const subprotocol = "roompass.v1"

// mostFiles is more than a process has sockets here.
const mostFiles = 1 << 20

func (r roompass) command(address, admin, redis string) (*exec.Cmd, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	args := []string{
		"serve", "--listen", address, "--admin-listen", admin, "--redis", "redis://" + redis, "--access", "open",
		"--log-level", "error", "--drain", "1s", "--key", key,
		// All come from one address, and few of them say all there is to say.
		"--max-unauthenticated", strconv.Itoa(mostFiles), "--message-rate", "100000", "--message-burst", "100000",
	}
	if r.hmac {
		args = append(args, "--alg", "HS256")
	}
	return exec.Command(r.binary, append(args, r.flags...)...), nil
}

// key is a file with the key, which is made once for all rounds.
func (r roompass) key() (string, error) {
	file := filepath.Join(r.dir, "key.pem")
	if r.hmac {
		file = filepath.Join(r.dir, "hmac.key")
	}
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if r.hmac {
		return file, os.WriteFile(file, []byte(rand.Text()+rand.Text()), 0o600)
	}
	if out, err := exec.Command(r.binary, "keygen", "--out", r.dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("keygen: %w: %s", err, out)
	}
	return file, nil
}

func (roompass) url(address string) string { return "ws://" + address + "/ws" }
func (roompass) subprotocol() string       { return subprotocol }

func (r roompass) entry(room string, i int) []string {
	credential := ""
	if r.named {
		credential = `,"credential":"bench-` + strconv.Itoa(i) + `"`
	}
	return []string{`{"type":"auth","id":1` + credential + `}`, `{"type":"join","id":2,"room":"` + room + `"}`}
}

func (roompass) hasEntered(frame []byte) bool {
	return bytes.Contains(frame, []byte(`"type":"joined"`))
}

func (roompass) message(room, data string) string {
	return `{"type":"signal","room":"` + room + `","data":` + data + `}`
}

func (roompass) recipients(roomSize int) int { return roomSize - 1 }
func (roompass) pong([]byte) string          { return "" } // RFC 6455's own, which the library answers

type centrifugal struct{}

func (centrifugal) name() string { return "centrifuge" }

func (centrifugal) command(address, _, redis string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(self, "serve-centrifuge", address, redis), nil
}

func (centrifugal) url(address string) string { return "ws://" + address + "/connection/websocket" }
func (centrifugal) subprotocol() string       { return "centrifuge-json" }

func (centrifugal) entry(room string, _ int) []string {
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
func (centrifugal) recipients(roomSize int) int { return roomSize }

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
