package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coder/websocket"
)

// A returner is a client that comes back to its session, on another pod. One goroutine has it at a time.
type returner struct {
	n    int
	room string
	conn *websocket.Conn

	session, secret string
	cursor          string
	expires         int64 // of its token, Unix ms
}

// What the gateway says, as far as a returner goes by it.
type said struct {
	Type    string          `json:"type"`
	Code    string          `json:"code"`
	Session string          `json:"session"`
	Secret  string          `json:"secret"`
	Resumed bool            `json:"resumed"`
	Cursor  string          `json:"cursor"`
	Expires int64           `json:"expires_at"` // of a pushed token
	Token   json.RawMessage `json:"token"`      // a text in a push, an object else
	Rooms   []struct {
		Room   string `json:"room"`
		Cursor string `json:"cursor"`
	} `json:"rooms"`
}

// enter comes in for the first time.
func (r *returner) enter(ctx context.Context, url string) error {
	if err := r.greet(ctx, url, fmt.Sprintf(`{"type":"auth","id":1,"credential":"bench-%d"}`, r.n)); err != nil {
		return err
	}
	if err := r.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"join","id":2,"room":%q}`, r.room)); err != nil {
		return err
	}
	return r.until(ctx, "joined")
}

// comeBack resumes elsewhere. What isn't resumed is an error.
func (r *returner) comeBack(ctx context.Context, url string) error {
	_ = r.conn.CloseNow()
	return r.greet(ctx, url, fmt.Sprintf(`{"type":"auth","id":1,"resume":{"session":%q,"secret":%q,"rooms":{%q:%q},"tokens":{%q:%d}}}`,
		r.session, r.secret, r.room, r.cursor, r.room, r.expires))
}

// greet opens a socket, says who it is, and is welcome.
func (r *returner) greet(ctx context.Context, url, auth string) (err error) {
	if r.conn, err = dial(ctx, url, subprotocol); err != nil {
		return err
	}
	if err := r.conn.Write(ctx, websocket.MessageText, []byte(auth)); err != nil {
		return err
	}
	return r.until(ctx, "welcome")
}

// until listens until something was said.
func (r *returner) until(ctx context.Context, kind string) error {
	for {
		if is, err := r.hear(ctx); err != nil || is == kind {
			return err
		}
	}
}

// listen listens until the socket ends.
func (r *returner) listen() {
	for {
		if _, err := r.hear(context.Background()); err != nil {
			return
		}
	}
}

func (r *returner) hear(ctx context.Context) (kind string, err error) {
	_, text, err := r.conn.Read(ctx)
	if err != nil {
		return "", err
	}
	var is said
	if err := json.Unmarshal(text, &is); err != nil {
		return "", err
	}
	if is.Cursor != "" {
		r.cursor = is.Cursor
	}
	switch is.Type {
	case "welcome":
		if r.session != "" && (!is.Resumed || len(is.Rooms) != 1) {
			return "", errors.New("a session wasn't resumed")
		}
		r.session, r.secret = is.Session, is.Secret
		for _, room := range is.Rooms {
			r.cursor = room.Cursor
		}
	case "joined":
		var token struct {
			Expires int64 `json:"expires_at"`
		}
		if err := json.Unmarshal(is.Token, &token); err != nil {
			return "", err
		}
		r.expires = token.Expires
	case "token":
		r.expires = is.Expires
	case "error":
		return "", fmt.Errorf("the gateway refused: %s", is.Code)
	}
	return is.Type, nil
}
