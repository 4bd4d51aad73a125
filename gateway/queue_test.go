package gateway

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// taken empties a queue and returns its frames as text.
func taken(q *queue) (all []string) {
	written := 0
	for {
		batch, n := q.take(nil, written)
		if len(batch) == 0 {
			return all
		}
		for _, f := range batch {
			all = append(all, string(f))
		}
		written = n
	}
}

func frames(text ...string) (f [][]byte) {
	for _, t := range text {
		f = append(f, []byte(t))
	}
	return f
}

func TestTokensGoAheadOfOtherTraffic(t *testing.T) {
	q := queue{limit: 100}
	_, start, _ := q.put(frames("a", "b")...)
	if !start {
		t.Error("the first frame starts no writer")
	}
	if _, start, _ := q.putUrgent(0, frames("token", "ping")...); start {
		t.Error("a second writer is started")
	}
	if diff := cmp.Diff([]string{"token", "ping", "a", "b"}, taken(&q)); diff != "" {
		t.Error(diff)
	}
	if q.waiting() != 0 {
		t.Errorf("%d bytes wait in an empty queue", q.waiting())
	}
}

func TestTokenDoesNotOvertakeTheReplyThatItsRoomBeginsWith(t *testing.T) {
	q := queue{limit: 100}
	at, _, _ := q.put(frames("joined")...)
	q.putUrgent(at, frames("early")...)
	if diff := cmp.Diff([]string{"joined", "early"}, taken(&q)); diff != "" {
		t.Error(diff)
	}
	q.put(frames("later")...)
	q.putUrgent(at, frames("token")...)
	if diff := cmp.Diff([]string{"token", "later"}, taken(&q)); diff != "" {
		t.Error(diff)
	}
}

func TestQueueIsBoundedInBytesAndEndsWithItsCloseFrame(t *testing.T) {
	q := queue{limit: 10}
	if _, _, err := q.put(frames("0123456789")...); err != nil {
		t.Error(err)
	}
	if _, _, err := q.put(frames("x")...); !errors.Is(err, errQueueFull) {
		t.Errorf("over the limit: %v", err)
	}
	if _, _, err := q.putUrgent(0, frames("token")...); err != nil {
		t.Errorf("a token over the limit: %v", err)
	}
	if _, err := q.close(frame("bye"), true); err != nil {
		t.Error(err)
	}
	if _, _, err := q.put(frames("x")...); !errors.Is(err, errQueueClosed) {
		t.Errorf("after the close: %v", err)
	}
	if diff := cmp.Diff([]string{"token", "bye"}, taken(&q)); diff != "" {
		t.Error(diff)
	}
}

func TestFramesAreThoseOfRFC6455(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		payload := []byte(strings.Repeat("x", n))
		f := textFrame(payload)
		if !bytes.Equal(f.payload(), payload) {
			t.Errorf("the payload of %d bytes isn't what was framed", n)
		}
	}
	for _, is := range []struct{ got, want []byte }{
		{textFrame([]byte("Hello")), []byte{0x81, 5, 'H', 'e', 'l', 'l', 'o'}}, // the example of section 5.7
		{textFrame(make([]byte, 256))[:4], []byte{0x81, 0x7e, 1, 0}},
		{textFrame(make([]byte, 65536))[:10], []byte{0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}},
		{closeFrame(CloseCode(websocket.StatusServiceRestart), "x"), []byte{0x88, 3, 3, 0xf4, 'x'}},
		{pingFrame(1), []byte{0x89, 8, 0, 0, 0, 0, 0, 0, 0, 1}},
	} {
		if diff := cmp.Diff([]byte(is.want), is.got[:len(is.want)]); diff != "" {
			t.Error(diff)
		}
	}
	if got := closeFrame(CloseBadFrame, strings.Repeat("x", 200)); len(got) != 127 {
		t.Errorf("a close frame of %d bytes", len(got))
	}
}
