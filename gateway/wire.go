package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// Sizes of the buffers between the library and the socket. net/http hands over
// 4 KiB each; an idle connection keeps these for as long as it lasts. The write
// buffer holds the largest frame that the library writes itself, a control
// frame of 127 bytes.
const (
	readBufferBytes  = 512
	writeBufferBytes = 128
)

// A transport carries a connection's frames to its peer.
type transport interface {
	// writeFrames writes frames. A close frame may only be the last.
	writeFrames(frames [][]byte) error
	// hasSentClose says whether a close frame went out.
	hasSentClose() bool
	// SetReadDeadline bounds how long the next message may take to come.
	SetReadDeadline(time.Time) error
	// hasHungUp says whether the peer is gone, as far as that can be seen without reading.
	hasHungUp() bool
	// linger waits a little for the peer to take the close frame and hang up.
	linger()
	// Close ends it at once.
	Close() error
	// end frees what is left, when nobody reads any more.
	end()
}

// A wire is the socket below a WebSocket. The library reads through it and
// writes its replies to control frames; everything else the gateway writes here
// as ready frames, so that one message to many is framed once.
//
// The write deadline is checked before every write: it stays set, and would otherwise
// fail a later one.
type wire struct {
	net.Conn
	ws      *websocket.Conn // what reads through it
	early   []byte          // what the client sent before the upgrade was done
	timeout time.Duration   // for one write

	mu        sync.Mutex // one write at a time, and:
	closeSent bool       // a close frame is out: nothing may follow it
	until     time.Time  // the write deadline
}

// Read serves what the HTTP server had read ahead, then the socket.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		if w.early = w.early[n:]; len(w.early) == 0 {
			w.early = nil
		}
		return n, nil
	}
	return w.Conn.Read(p)
}

// Write is for the library, which writes whole control frames through its
// buffer. After a close frame they are dropped, as RFC 6455, section 5.5.1 wants.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closeSent {
		return len(p), nil
	}
	w.closeSent = len(p) > 0 && p[0]&0xf == opClose
	if err := w.bound(); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// bound gives the next write at least timeout, and at most twice that, so that most writes needn't
// set a deadline.
func (w *wire) bound() error {
	now := time.Now()
	if w.until.Sub(now) >= w.timeout {
		return nil
	}
	w.until = now.Add(2 * w.timeout)
	return w.Conn.SetWriteDeadline(w.until)
}

// errCloseSent says that a close frame went out before these frames.
var errCloseSent = errors.New("the connection is closing")

// writeFrames implements [transport], in one call to the kernel.
func (w *wire) writeFrames(frames [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closeSent {
		return errCloseSent
	}
	w.closeSent = frames[len(frames)-1][0]&0xf == opClose
	if err := w.bound(); err != nil {
		return err
	}
	if len(frames) == 1 {
		_, err := w.Conn.Write(frames[0])
		return err
	}
	// A copy costs less than writev(2), for which each connection would keep memory.
	joined := joinedFrames.Get().(*bytes.Buffer)
	defer joinedFrames.Put(joined)
	joined.Reset()
	for _, f := range frames {
		joined.Write(f)
	}
	_, err := w.Conn.Write(joined.Bytes())
	return err
}

var joinedFrames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// hasSentClose says whether a close frame went out, ours or the library's.
func (w *wire) hasSentClose() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closeSent
}

// hasHungUp implements [transport]: the socket has ended, or the next frame on it is a close frame. It is
// for whoever does a request, while nobody reads. Where the socket isn't one of the system, or more
// than that, it is false.
func (w *wire) hasHungUp() (gone bool) {
	socket, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool {
		var next [1]byte
		n, _, err := syscall.Recvfrom(int(fd), next[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = err == nil && (n == 0 || next[0]&0xf == opClose) || errors.Is(err, syscall.ECONNRESET)
		return true
	})
	return gone
}

// linger waits a little for the peer to take our close frame and hang up:
// closing a socket with unread bytes resets it, and the frame would be lost.
func (w *wire) linger() {
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = w.SetReadDeadline(time.Now().Add(closeWait))
	_, _ = io.CopyN(io.Discard, w.Conn, lingerBytes)
}

// lingerBytes bounds what a peer that doesn't hang up may still send.
const lingerBytes = 4 << 20

// end implements [transport].
func (w *wire) end() { _ = w.ws.CloseNow() }

// isEnd says that err is a socket's end rather than a breach of the protocol.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrDeadlineExceeded)
}

// hijacker gives the library a wire in place of net/http's connection, and
// small buffers in place of its large ones.
type hijacker struct {
	http.ResponseWriter
	timeout time.Duration
	wire    *wire
}

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = &wire{Conn: conn, timeout: h.timeout}
	if n := buffered.Reader.Buffered(); n > 0 {
		early, err := buffered.Reader.Peek(n)
		if err != nil {
			return nil, nil, err
		}
		h.wire.early = append([]byte(nil), early...)
	}
	return h.wire, bufio.NewReadWriter(
		bufio.NewReaderSize(h.wire, readBufferBytes),
		bufio.NewWriterSize(h.wire, writeBufferBytes),
	), nil
}
