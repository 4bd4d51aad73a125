package janus

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/gateway/janus/janustest"
)

// BenchmarkForward has a browser ask Janus, and wait for the answer, through the front
// and through a proxy that knows only TCP. What the front costs is the difference, in
// time and in the CPU of the whole process, which is the browser's and Janus's too.
func BenchmarkForward(b *testing.B) {
	janus := httptest.NewServer(&janustest.Server{})
	defer janus.Close()
	address := janus.Listener.Addr().String()

	f, err := New(Config{
		Servers: []string{"ws://" + address}, Rooms: everybody{}, Plugins: []string{"janus.plugin.echotest"},
		MessageRate: 1e9, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	front := httptest.NewServer(f)
	defer func() { front.Close(); f.Close(); stop(); running.Wait() }()

	proxy := plainProxy(b, address)
	for name, frame := range map[string]string{
		"trickle": `{"janus":"trickle","transaction":"t","session_id":SESSION,"handle_id":HANDLE,"candidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host","sdpMid":"0","sdpMLineIndex":0}}`,
		"sdp": `{"janus":"trickle","transaction":"t","session_id":SESSION,"handle_id":HANDLE,"candidate":{"completed":true},"jsep":{"type":"offer","sdp":"` +
			strings.Repeat(`a=rtpmap:111 opus/48000/2\r\n`, 150) + `"}}`,
	} {
		for way, at := range map[string]string{"front": front.Listener.Addr().String(), "tcp": proxy} {
			b.Run(name+"/"+way, func(b *testing.B) { askOften(b, at, frame) })
		}
	}
}

func askOften(b *testing.B, at, frame string) {
	ctx := context.Background()
	ws, _, err := websocket.Dial(ctx, "ws://"+at, &websocket.DialOptions{Subprotocols: []string{Subprotocol}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ask := func(text string) string {
		if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			b.Fatal(err)
		}
		_, answer, err := ws.Read(ctx)
		if err != nil {
			b.Fatal(err)
		}
		return string(answer)
	}
	id := func(answer string) string {
		_, rest, _ := strings.Cut(answer, `"id":`)
		n, _, ok := strings.Cut(rest, "}")
		if !ok {
			b.Fatal(answer)
		}
		return n
	}
	session := id(ask(`{"janus":"create","transaction":"c"}`))
	handle := id(ask(`{"janus":"attach","transaction":"a","session_id":` + session + `,"plugin":"janus.plugin.echotest"}`))
	frame = strings.NewReplacer("SESSION", session, "HANDLE", handle).Replace(frame)
	if answer := ask(frame); !strings.Contains(answer, `"ack"`) {
		b.Fatal(answer)
	}
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		ask(frame)
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpu is what the process has used, in ns.
func cpu(b *testing.B) int64 {
	var is syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &is); err != nil {
		b.Fatal(err)
	}
	return is.Utime.Nano() + is.Stime.Nano()
}

// plainProxy passes bytes on.
func plainProxy(b *testing.B, to string) string {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listen.Close() })
	go func() {
		for {
			browser, err := listen.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = browser.Close()
				return
			}
			for _, way := range [][2]net.Conn{{browser, server}, {server, browser}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	return listen.Addr().String()
}

// everybody may be everywhere.
type everybody struct{}

func (everybody) Visit(*http.Request, func(Ending)) (Visitor, error) { return everybody{}, nil }
func (everybody) Enter(context.Context, string, string, string) (Place, error) {
	return nil, ErrNotAllowed
}
func (everybody) Admit(context.Context) error { return nil }
func (everybody) Leave(string)                {}
func (everybody) In(string) Place             { return nil }
func (everybody) End(bool)                    {}
