package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

const (
	subprotocol = "roompass.v1"

	// watchReadBytes is the longest message that watch takes. A joined lists
	// every member with up to 4 KiB of presence data each, so it is far longer
	// than what the gateway takes from a client.
	watchReadBytes = 1 << 20

	dialTimeout  = 10 * time.Second
	leaveTimeout = 5 * time.Second // for the gateway to answer a leave
)

// Ids of watch's three requests, in the order in which they are sent.
const (
	authID = iota + 1
	joinID
	leaveID
)

// watchCmd sits in a room and prints what it hears. It takes part as any client
// does: the others see it come and go.
type watchCmd struct {
	URL        string `name:"url" required:"" placeholder:"ws://HOST/ws" help:"The gateway's WebSocket address."`
	Room       string `required:"" help:"The room to join."`
	Credential string `placeholder:"TEXT|@FILE" help:"Who you are; with open access, the user id. @FILE reads it from a file."`
	Origin     string `placeholder:"https://APP" help:"The page to say that it is, where the gateway wants to know: with --access-cookie or --access-webhook-header."`
}

// Validate refuses addresses that no WebSocket can have.
func (c *watchCmd) Validate() error {
	if err := checkSocketURL(c.URL); err != nil {
		return err
	}
	if c.Room == "" {
		return errors.New("--room is empty: name the room to join")
	}
	return nil
}

// checkSocketURL says what is wrong with a --url.
func checkSocketURL(address string) error {
	if u, err := url.Parse(address); err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || u.Host == "" {
		return errors.New("--url: give an address like ws://127.0.0.1:8080/ws")
	}
	return nil
}

// Run prints each message on standard output as one line of JSON, tokens
// included, until the gateway closes the connection (an error) or ctx ends: then
// it leaves the room and closes with 1000.
func (c *watchCmd) Run(ctx context.Context, stdio stdio) error {
	credential, err := readAtFile("credential", c.Credential)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, c.URL, c.Origin)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted before there was anything to leave
		}
		return err
	}
	defer conn.CloseNow()

	w := &watcher{conn: conn, out: stdio.out, room: c.Room}
	err = w.watch(ctx, credential)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return closeAdvice(closed)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("the connection to the gateway was lost: run watch again")
	}
	return err
}

// dial opens a connection that speaks roompass.v1. origin may be empty.
func dial(ctx context.Context, address, origin string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	opts := &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPHeader: http.Header{}}
	if origin != "" {
		opts.HTTPHeader.Set("Origin", origin)
	}
	conn, response, err := websocket.Dial(ctx, address, opts)
	if err != nil {
		if why := refusalOf(response); why != "" {
			return nil, fmt.Errorf("the gateway refused: %s: %s", response.Status, why)
		}
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("%s answered %s, not a WebSocket; the gateway's endpoint is /ws of its --listen address",
				redacted(address), response.Status)
		}
		return nil, fmt.Errorf("reach %s: %w", redacted(address), rootCause(err))
	}
	if conn.Subprotocol() != subprotocol {
		conn.CloseNow()
		return nil, fmt.Errorf("%s doesn't speak %s; the gateway's endpoint is /ws of its --listen address", redacted(address), subprotocol)
	}
	conn.SetReadLimit(watchReadBytes)
	return conn, nil
}

// refusalOf is what a gateway says that doesn't open a socket, or "" where it was
// another server.
func refusalOf(response *http.Response) string {
	if response == nil || response.Header.Get("Content-Type") != "application/problem+json" {
		return ""
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.NewDecoder(response.Body).Decode(&problem) != nil {
		return ""
	}
	return problem.Detail
}

// A watcher is one connection that prints what it receives.
type watcher struct {
	conn *websocket.Conn
	out  io.Writer
	room string

	leaving bool // the leave is sent: no join may follow it
}

// envelope is the part of a message that watch itself looks at.
type envelope struct {
	Type    string `json:"type"`
	ID      int    `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// request is any of watch's three requests.
type request struct {
	Type       string `json:"type"`
	ID         int    `json:"id"`
	Credential string `json:"credential,omitempty"`
	Room       string `json:"room,omitempty"`
}

// watch returns nil only when ctx ended and the room was left. An error that the
// gateway closed the connection with is a [websocket.CloseError].
func (w *watcher) watch(ctx context.Context, credential string) error {
	// The library closes the connection when the context of a read ends. Leaving
	// needs it open, so reading goes on past the end of ctx.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	received := make(chan []byte)
	var readError error // set before received is closed
	go func() {
		defer close(received)
		readError = w.read(reading, received)
	}()
	defer func() {
		stopReading()
		for range received { // wait for the goroutine
		}
	}()

	// Writes outlive ctx for the same reason.
	if err := w.send(reading, request{Type: "auth", ID: authID, Credential: credential}); err != nil {
		return err
	}
	var (
		interrupted = ctx.Done()
		deadline    <-chan time.Time
	)
	for {
		select {
		case <-interrupted:
			interrupted = nil
			w.leaving = true
			deadline = time.After(leaveTimeout)
			if err := w.send(reading, request{Type: "leave", ID: leaveID, Room: w.room}); err != nil {
				return err
			}
		case <-deadline:
			return errors.New("the gateway didn't answer the leave; others may see this member for a while")
		case message, open := <-received:
			if !open {
				return readError
			}
			done, err := w.handle(reading, message)
			if err != nil || done {
				return err
			}
		}
	}
}

// read hands each message to received until ctx or the connection ends, and
// returns why.
func (w *watcher) read(ctx context.Context, received chan<- []byte) error {
	for {
		_, message, err := w.conn.Read(ctx)
		if err != nil {
			return err
		}
		select {
		case received <- message:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handle prints a message and takes the next step. It is done when the room was
// left and the connection is closed.
func (w *watcher) handle(ctx context.Context, message []byte) (done bool, err error) {
	var line bytes.Buffer
	if err := json.Compact(&line, message); err != nil {
		return false, errors.New("received a frame that is not JSON: this is no roompass gateway")
	}
	line.WriteByte('\n')
	if _, err := w.out.Write(line.Bytes()); err != nil {
		return false, err
	}
	var m envelope
	if err := json.Unmarshal(message, &m); err != nil {
		return false, errors.New("received a frame that is not a message: this is no roompass gateway")
	}
	switch {
	case m.ID == leaveID:
		// The answer to leave may be an error, if the room was never joined:
		// either way there is nothing left to leave.
		return true, w.conn.Close(websocket.StatusNormalClosure, "")
	case m.Type == "error" && (m.ID == authID || m.ID == joinID):
		w.conn.Close(websocket.StatusNormalClosure, "")
		return false, fmt.Errorf("the gateway refused: %s: %s", m.Code, m.Message)
	case m.Type == "welcome" && m.ID == authID && !w.leaving:
		return false, w.send(ctx, request{Type: "join", ID: joinID, Room: w.room})
	}
	return false, nil
}

// send writes one request.
func (w *watcher) send(ctx context.Context, r request) error {
	frame, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return w.conn.Write(ctx, websocket.MessageText, frame)
}

// closeAdvice says why the gateway closed the connection, and what helps.
func closeAdvice(closed websocket.CloseError) error {
	advice := map[websocket.StatusCode]string{
		websocket.StatusServiceRestart: "this pod drains: run watch again",
		websocket.StatusTryAgainLater:  "too busy: run watch again in a while",
		4401:                           "give a --credential that holds",
		4403:                           "this user may not be here, or was removed",
		4429:                           "over the rate limit: run watch again in a while",
	}[closed.Code]
	if advice == "" {
		advice = "docs/protocol.md lists the codes"
	}
	return fmt.Errorf("the gateway closed the connection: %d %q (%s)", closed.Code, closed.Reason, advice)
}

// rootCause cuts the address, which may hold a password, out of net/http's errors.
func rootCause(err error) error {
	var inHTTP *url.Error
	if errors.As(err, &inHTTP) {
		return inHTTP.Err
	}
	return err
}

// redacted is address as it may be shown: without a password or a query.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	u.RawQuery = ""
	return u.Redacted()
}
