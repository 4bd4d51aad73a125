package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

const upgradeRequest = "GET /ws HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: roompass.v1\r\n\r\n"

// A client that sends a byte a second would take long enough to hold a place for nothing.
func TestSlowHandshakeIsCutOff(t *testing.T) {
	t.Parallel()
	gateway := serveDev(t)
	began := time.Now()
	raw, err := net.Dial("tcp", strings.TrimPrefix(gateway.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range len(upgradeRequest) {
			if _, err := io.WriteString(raw, upgradeRequest[i:i+1]); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	})
	_ = raw.SetReadDeadline(began.Add(time.Minute))
	answer, err := io.ReadAll(raw)
	close(stop)
	writer.Wait()
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		t.Fatal("it was let go on for a minute")
	}
	if took := time.Since(began); took > 15*time.Second || strings.Contains(string(answer), "101") {
		t.Errorf("cut off after %v, with %q", took, answer)
	}
}

// A halfOpen is a socket whose client never says who it is, and never answers.
type halfOpen struct {
	net.Conn
	began  time.Time
	stream *bufio.Reader
}

// openHalf upgrades from an address of this machine. With noise it then asks for what it
// may not have.
func openHalf(target, from string, noise bool) (*halfOpen, error) {
	h := &halfOpen{began: time.Now()}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	var err error
	if h.Conn, err = dialer.Dial("tcp", target); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(h, upgradeRequest); err != nil {
		return nil, err
	}
	h.stream = bufio.NewReaderSize(h, 512)
	status, err := h.stream.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return nil, fmt.Errorf("the upgrade is answered %q, %v", status, err)
	}
	for line := ""; line != "\r\n"; {
		if line, err = h.stream.ReadString('\n'); err != nil {
			return nil, err
		}
	}
	if noise {
		const text = `{"type":"join","id":1,"room":"0"}`
		frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // masked by zeros
		if _, err := h.Write(frame); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// end waits until the gateway hangs up, and returns the code of its close frame. Nothing
// of RFC 6455 is answered.
func (h *halfOpen) end() (code uint16, _ error) {
	defer h.Close()
	for {
		var head [2]byte
		_, err := io.ReadFull(h.stream, head[:])
		if err == io.EOF {
			return code, nil
		}
		if err != nil {
			return code, err
		}
		payload := make([]byte, head[1])
		if head[1] > 125 {
			return code, errors.New("a frame of more than 125 bytes")
		}
		if _, err := io.ReadFull(h.stream, payload); err != nil {
			return code, err
		}
		if head[0]&0xf == 8 && len(payload) >= 2 {
			code = binary.BigEndian.Uint16(payload)
		}
	}
}

// builtCommand is the command as it is released: ten thousand goroutines are too many for
// the race detector.
func builtCommand(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "roompass")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return binary
}

// speak has each guest count aloud, a number a second, until stop is called, which
// returns how far they came.
func speak(guests []*guest, room func(i int) string) (stop func() int) {
	quit, n := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			for i, g := range guests {
				text := fmt.Appendf(nil, `{"type":"signal","room":%q,"data":%d}`, room(i), n)
				if err := g.ws.Write(g.t.Context(), websocket.MessageText, text); err != nil {
					g.t.Errorf("a guest can't speak: %v", err)
				}
			}
			n++
			select {
			case <-quit:
				return
			case <-second.C:
			}
		}
	})
	return func() int { close(quit); wg.Wait(); return n }
}

// Ten thousand sockets that never say who they are, from many addresses, with the default
// for each: those who do say lose nothing by them.
func TestHalfOpenSocketsTakeNothingFromOthers(t *testing.T) {
	const (
		crowd, perAddress = 10_000, 64
		deadline, refresh = 10 * time.Second, 3 * time.Second
	)
	listen, operator := loopback(t), loopback(t)
	// Pings would find sooner that nobody answers: that takes longer than the deadline here.
	p := startProcess(t, builtCommand(t), "--dev", "--listen", listen, "--admin-listen", operator, "--drain", "0s",
		"--auth-timeout", deadline.String(), "--pong", "25s", "--token-ttl", "1m", "--token-refresh", refresh.String())
	p.served = served{url: "http://" + listen, operator: "http://" + operator}
	eventually(t, "the process is ready", func() bool {
		response, err := http.Get(p.operator + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	room := func(i int) string { return fmt.Sprint(i % 20) }
	var honest []*guest
	var members []any
	come := func(n int) []*guest {
		first := len(honest)
		for range n {
			g, joined := enter(t, p.served, fmt.Sprint("user", len(honest)), room(len(honest)))
			if joined["type"] != "joined" {
				t.Fatalf("an honest one: %v", joined)
			}
			honest, members = append(honest, g), append(members, joined["member"])
		}
		return honest[first:]
	}
	began := time.Now()
	early := speak(come(60), room)

	halves := make([]*halfOpen, crowd)
	var opening errgroup.Group
	opening.SetLimit(64)
	for i := range halves {
		opening.Go(func() (err error) {
			n := i / perAddress
			halves[i], err = openHalf(listen, fmt.Sprintf("127.1.%d.%d", n/250, n%250+1), i%2 == 1)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		t.Fatal(err)
	}
	var atOnce float64
	eventually(t, "all sockets are there that are within their deadline", func() bool {
		// All of them, but on a machine so busy that the first ones go before the last have come.
		atOnce = p.measure(t, "roompass_connections")
		due := 60.0
		for _, h := range halves {
			if time.Since(h.began) < deadline {
				due++
			}
		}
		return atOnce >= due
	})
	if atOnce == 60 {
		t.Error("none of them was there long enough to be counted")
	}
	late := speak(come(40), room)

	var ending errgroup.Group
	for _, h := range halves {
		ending.Go(func() error {
			code, err := h.end()
			if lasted := time.Since(h.began); err != nil || code != 4401 || lasted < deadline {
				return fmt.Errorf("a half-open socket ended after %v with %d, %v", lasted, code, err)
			}
			return nil
		})
	}
	if err := ending.Wait(); err != nil {
		t.Error(err)
	}
	if n, closed := p.measure(t, "roompass_connections"), p.measure(t, `roompass_closes_total{code="4401"}`); n != 100 || closed != crowd {
		t.Errorf("the gateway counts %v sockets, and %v that it closed", n, closed)
	}

	saidEarly, saidLate := early(), late()
	lasted := time.Since(began)
	for i, g := range honest {
		for j, from := range members {
			if i == j || room(i) != room(j) {
				continue
			}
			said := saidEarly
			if j >= 60 {
				said = saidLate
			}
			eventually(t, "the last word is heard", func() bool {
				got := g.numbers(from)
				return len(got) > 0 && got[len(got)-1] == float64(said-1)
			})
			got := g.numbers(from)
			var want []float64
			for n := int(got[0]); n < said; n++ {
				want = append(want, float64(n))
			}
			if !slices.Equal(got, want) || i < 60 && got[0] != 0 {
				t.Errorf("guest %d heard %v of guest %d", i, got, j)
			}
		}
		if n, least := len(g.all("token")), int(lasted/refresh)-1; i < 60 && n < least {
			t.Errorf("guest %d was pushed %d tokens in %v, want %d", i, n, lasted, least)
		}
		if left := g.all("member_left"); len(left) > 0 || g.ended() != nil {
			t.Errorf("guest %d saw %v leave, and its socket ended with %v", i, left, g.ended())
		}
	}
	if n := p.measure(t, "roompass_token_lapses_total"); n != 0 {
		t.Errorf("%v tokens lapsed", n)
	}
	t.Logf("%v sockets at once; it took %v", atOnce, lasted)
}
