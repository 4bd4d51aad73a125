package janus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/roompass/roompass/tokens"
)

// A control is the front's own connection to a server, over which it finds out
// whether that is fit and alive, and puts people out. It has one session, with one
// handle of the SFU plugin.
type control struct {
	server  *server
	ws      *websocket.Conn
	session uint64
	handle  uint64
	broken  chan struct{} // closed when the connection is

	mu      sync.Mutex
	waiting map[string]chan answer // by transaction
}

// An answer is what Janus says, as far as the front goes by it.
type answer struct {
	Janus       string `json:"janus"`
	Transaction string `json:"transaction"`
	Data        struct {
		ID uint64 `json:"id"`
	} `json:"data"`
	Error struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	} `json:"error"`
	Plugin struct {
		Data struct {
			Success bool `json:"success"`
			Error   struct {
				Message string `json:"msg"`
			} `json:"error"`
		} `json:"data"`
	} `json:"plugindata"`
}

// An unfitError is why a server isn't used although it can be reached.
type unfitError struct{ why string }

func (e unfitError) Error() string { return e.why }

const (
	askTimeout     = 5 * time.Second  // for an answer of Janus
	keepaliveEvery = 15 * time.Second // Janus forgets a session after 60 s
)

// open connects to the server, and finds out whether it may be used. keyID is the
// key that its plugin verifies tokens by.
func (s *server) open(ctx context.Context) (c *control, keyID string, _ error) {
	ctx, cancel := context.WithTimeout(ctx, 4*askTimeout)
	defer cancel()
	ws, err := s.dial(ctx)
	if err != nil {
		return nil, "", err
	}
	c = &control{server: s, ws: ws, waiting: map[string]chan answer{}, broken: make(chan struct{})}
	go c.listen()
	if keyID, err = c.probe(ctx); err != nil {
		c.close()
		return nil, "", err
	}
	return c, keyID, nil
}

func (c *control) close() {
	_ = c.ws.CloseNow()
	<-c.broken
}

func (c *control) listen() {
	defer close(c.broken)
	for {
		_, text, err := c.ws.Read(context.Background())
		if err != nil {
			return
		}
		var is answer
		if json.Unmarshal(text, &is) != nil || is.Janus == "ack" && !strings.HasPrefix(is.Transaction, keepalivePrefix) {
			continue
		}
		c.mu.Lock()
		waits := c.waiting[is.Transaction]
		delete(c.waiting, is.Transaction)
		c.mu.Unlock()
		if waits != nil {
			waits <- is
		}
	}
}

// What is only acknowledged has a transaction of this beginning.
const keepalivePrefix = "keepalive-"

// ask sends a request, and waits for what isn't only its acknowledgement.
func (c *control) ask(ctx context.Context, prefix string, request object) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transaction, waits := prefix+rand.Text(), make(chan answer, 1)
	c.mu.Lock()
	c.waiting[transaction] = waits
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, transaction)
	}()
	request = c.server.front.sign(append(request, field{"transaction", quote(transaction)}))
	if err := c.ws.Write(ctx, websocket.MessageText, request.encode()); err != nil {
		return answer{}, err
	}
	select {
	case is := <-waits:
		if is.Janus == "error" {
			return is, unfitError{fmt.Sprintf("it answers with error %d, %s", is.Error.Code, is.Error.Reason)}
		}
		return is, nil
	case <-c.broken:
		return answer{}, errors.New("it hung up")
	case <-ctx.Done():
		return answer{}, errors.New("it doesn't answer")
	}
}

func (c *control) attach(ctx context.Context) (uint64, error) {
	is, err := c.ask(ctx, "", object{{"janus", quote("attach")}, {"session_id", number(c.session)}, {"plugin", quote(SFU)}})
	return is.Data.ID, err
}

func (c *control) say(ctx context.Context, handle uint64, body object) (answer, error) {
	return c.ask(ctx, "", object{
		{"janus", quote("message")}, {"session_id", number(c.session)}, {"handle_id", number(handle)}, {"body", body.encode()},
	})
}

// probe makes the session, and looks whether the plugin lets in nobody without a
// token, and whoever has one of ours. Where its key file can't be read the plugin
// lets in everybody.
func (c *control) probe(ctx context.Context) (keyID string, _ error) {
	is, err := c.ask(ctx, "", object{{"janus", quote("create")}})
	if err != nil {
		return "", err
	}
	c.session = is.Data.ID
	if !c.server.front.mayAttach(SFU) {
		return "", nil // there is nothing else to find out
	}
	if c.handle, err = c.attach(ctx); err != nil {
		return "", fmt.Errorf("%s can't be attached: %w", SFU, err)
	}
	room := "roompass-probe-" + rand.Text()
	if is, err = c.join(ctx, room, ""); err != nil {
		return "", err
	}
	if is.Plugin.Data.Success {
		return "", unfitError{"it lets in everybody without a token: its plugin couldn't read auth_key, and goes on without"}
	}
	full := false
	for _, id := range c.server.front.config.Issuer.KeyIDs() {
		token, err := c.server.front.config.Issuer.MintWith(id, tokens.Grant{Room: room, JoinHub: true})
		if err != nil {
			return "", err
		}
		if is, err = c.join(ctx, room, token.JWT); err != nil {
			return "", err
		}
		if is.Plugin.Data.Success {
			return id, nil
		}
		full = full || is.Plugin.Data.Error.Message == serverFull
	}
	if full {
		return "", errors.New("it is full, so nobody knows which key it has")
	}
	return "", unfitError{fmt.Sprintf("it takes no token of ours (%q): give its plugin our public.der as auth_key, and restart it", is.Plugin.Data.Error.Message)}
}

// join tries to be in a room, by a handle that is given up again.
func (c *control) join(ctx context.Context, room, token string) (answer, error) {
	handle, err := c.attach(ctx)
	if err != nil {
		return answer{}, err
	}
	body := object{{"kind", quote("join")}, {"room_id", quote(room)}, {"user_id", quote("roompass-probe")}}
	if token != "" {
		body = append(body, field{"token", quote(token)})
	}
	is, err := c.say(ctx, handle, body)
	if err != nil {
		return is, err
	}
	_, err = c.ask(ctx, "", object{{"janus", quote("detach")}, {"session_id", number(c.session)}, {"handle_id", number(handle)}})
	return is, err
}

// kick has Janus end somebody's sessions.
func (c *control) kick(ctx context.Context, keyID, room, userID string) error {
	token, err := c.server.front.config.Issuer.MintWith(keyID, tokens.Grant{Room: room, KickUsers: true})
	if err != nil {
		return err
	}
	_, err = c.say(ctx, c.handle, object{
		{"kind", quote("kick")}, {"room_id", quote(room)}, {"user_id", quote(userID)}, {"token", quote(token.JWT)},
	})
	return err
}

// hold keeps the session until the server doesn't answer any more, no key of ours is
// the one that it has, or ctx ends.
func (c *control) hold(ctx context.Context, keyID string) {
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.broken:
			return
		case <-tick.C:
		}
		if keyID != "" && !slices.Contains(c.server.front.config.Issuer.KeyIDs(), keyID) {
			return // its key is one of ours no more: it is looked at again
		}
		if _, err := c.ask(ctx, keepalivePrefix, object{{"janus", quote("keepalive")}, {"session_id", number(c.session)}}); err != nil {
			return
		}
	}
}
