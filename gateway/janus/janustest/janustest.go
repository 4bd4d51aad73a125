// Package janustest is a Janus for tests: the WebSocket transport with sessions
// and handles, and the SFU plugin's answers to join, kick, data and block. Media it
// has none. It takes its messages as loosely as the real one, and verifies every
// token that it is shown.
package janustest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// A Server is an [http.Handler] for janus-protocol.
type Server struct {
	// Verify says whether a token holds now, and what it is for.
	Verify func(token string) (rooms []string, mayKick, ok bool)

	Open   bool   // it lets in everybody, as the plugin does whose key can't be read
	NoSFU  bool   // the plugin isn't there
	Hangs  bool   // it answers nothing
	Secret string // apisecret that each message needs; "" is none

	mu       sync.Mutex
	next     uint64
	sessions map[uint64]*socket
	handles  map[uint64]*handle
	seen     []Message
	refused  []string
	sockets  []*websocket.Conn
}

type socket struct {
	ws  *websocket.Conn
	out chan []byte
}

type handle struct {
	id, session uint64
	socket      *socket
	room, user  string
	media       string
}

// A Message is one as it came to Janus.
type Message struct {
	Janus       string          `json:"janus"`
	Transaction string          `json:"transaction"`
	SessionID   uint64          `json:"session_id"`
	HandleID    uint64          `json:"handle_id"`
	Plugin      string          `json:"plugin"`
	Token       string          `json:"token"`
	APISecret   string          `json:"apisecret"`
	Body        Body            `json:"body"`
	JSEP        json.RawMessage `json:"jsep"`

	Text string `json:"-"` // the frame
}

// A Body is the plugin's part of a message.
type Body struct {
	Kind      string  `json:"kind"`
	RoomID    string  `json:"room_id"`
	UserID    string  `json:"user_id"`
	Token     string  `json:"token"`
	Whom      *string `json:"whom"`
	Body      string  `json:"body"`
	Subscribe struct {
		Media *string `json:"media"`
	} `json:"subscribe"`
}

// Seen are all messages that came, in order.
func (s *Server) Seen() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Change changes the fields of a server that serves.
func (s *Server) Change(change func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Forget has Seen and Refused begin anew.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.refused = nil, nil
}

// Refused are what joins and kicks were refused for.
func (s *Server) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Cut ends all sockets, as where Janus dies.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ws := range s.sockets {
		_ = ws.CloseNow()
	}
	s.sockets = nil
}

// Occupants are the user ids of who publishes in a room, sorted.
func (s *Server) Occupants(room string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.occupants(room)
}

func (s *Server) occupants(room string) []string {
	all := []string{}
	for _, h := range s.handles {
		if h.room == room && h.media == "" {
			all = append(all, h.user)
		}
	}
	slices.Sort(all)
	return all
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"janus-protocol"}})
	if err != nil {
		return
	}
	ws.SetReadLimit(4 << 20)
	s.mu.Lock()
	if s.sessions == nil {
		s.sessions, s.handles = map[uint64]*socket{}, map[uint64]*handle{}
	}
	s.sockets = append(s.sockets, ws)
	s.mu.Unlock()
	sock := &socket{ws: ws, out: make(chan []byte, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	writing.Go(func() { sock.write(ctx) })
	defer writing.Wait()
	defer cancel()
	defer s.forget(sock)
	for {
		_, text, err := ws.Read(ctx)
		if err != nil {
			return
		}
		// Several messages in a frame are several messages.
		for decoder := json.NewDecoder(strings.NewReader(string(text))); ; {
			m := Message{Text: string(text)}
			if decoder.Decode(&m) != nil {
				break
			}
			s.take(sock, m)
		}
	}
}

// forget ends a socket's sessions with it, as reclaim_session_timeout 0 has it.
func (s *Server) forget(sock *socket) {
	_ = sock.ws.CloseNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, is := range s.sessions {
		if is == sock {
			delete(s.sessions, id)
		}
	}
	for id, h := range s.handles {
		if h.socket == sock {
			s.drop(id)
		}
	}
}

func (s *Server) drop(id uint64) {
	h := s.handles[id]
	delete(s.handles, id)
	if h.room != "" && h.media == "" {
		s.toOthers(h, map[string]any{"event": "leave", "user_id": h.user, "room_id": h.room})
	}
}

func (s *Server) toOthers(h *handle, data map[string]any) {
	for _, other := range s.handles {
		if other != h && other.room == h.room && other.media == "" {
			other.socket.send(event(other, "", data))
		}
	}
}

func event(h *handle, transaction string, data map[string]any) map[string]any {
	m := map[string]any{
		"janus": "event", "session_id": h.session, "sender": h.id,
		"plugindata": map[string]any{"plugin": "janus.plugin.sfu", "data": data},
	}
	if transaction != "" {
		m["transaction"] = transaction
	}
	return m
}

// send may be called with the server's lock held. Who doesn't read is cut off.
func (c *socket) send(message map[string]any) {
	text, _ := json.Marshal(message)
	select {
	case c.out <- text:
	default:
		_ = c.ws.CloseNow()
	}
}

// write sends in order what was put in the queue.
func (c *socket) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case text := <-c.out:
			if c.ws.Write(ctx, websocket.MessageText, text) != nil {
				return
			}
		}
	}
}

func (s *Server) take(sock *socket, m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Hangs {
		return
	}
	s.seen = append(s.seen, m)
	answer := func(fields map[string]any) {
		fields["transaction"] = m.Transaction
		if m.SessionID != 0 {
			fields["session_id"] = m.SessionID
		}
		sock.send(fields)
	}
	refuse := func(code int, reason string) {
		answer(map[string]any{"janus": "error", "error": map[string]any{"code": code, "reason": reason}})
	}
	if s.Secret != "" && m.APISecret != s.Secret {
		refuse(403, "Unauthorized request (wrong or missing secret/token)")
		return
	}
	verb := strings.ToLower(m.Janus)
	if verb == "create" {
		s.next++
		s.sessions[s.next] = sock
		answer(map[string]any{"janus": "success", "data": map[string]any{"id": s.next}})
		return
	}
	// A session isn't bound to a socket: whoever knows it may use it.
	if s.sessions[m.SessionID] == nil {
		refuse(458, "No such session")
		return
	}
	h := s.handles[m.HandleID]
	switch verb {
	case "attach":
		if s.NoSFU && m.Plugin == "janus.plugin.sfu" {
			refuse(460, "No such plugin 'janus.plugin.sfu'")
			return
		}
		s.next++
		s.handles[s.next] = &handle{id: s.next, session: m.SessionID, socket: sock}
		answer(map[string]any{"janus": "success", "data": map[string]any{"id": s.next}})
	case "keepalive", "trickle":
		answer(map[string]any{"janus": "ack"})
	case "detach":
		if h != nil {
			s.drop(m.HandleID)
		}
		answer(map[string]any{"janus": "success"})
	case "destroy":
		for id, h := range s.handles {
			if h.session == m.SessionID {
				s.drop(id)
			}
		}
		delete(s.sessions, m.SessionID)
		answer(map[string]any{"janus": "success"})
	case "message":
		if h == nil {
			refuse(459, "No such handle")
			return
		}
		answer(map[string]any{"janus": "ack"})
		sock.send(event(h, m.Transaction, s.plugin(h, m.Body)))
	default:
		refuse(453, "Unknown request")
	}
}

// plugin is what the SFU answers.
func (s *Server) plugin(h *handle, body Body) map[string]any {
	no := func(why string) map[string]any {
		s.refused = append(s.refused, why)
		return map[string]any{"success": false, "error": map[string]any{"msg": why}}
	}
	switch body.Kind {
	case "join":
		if body.Token == "" && !s.Open {
			return no("Rejecting anonymous join!")
		}
		rooms, _, ok := []string{body.RoomID}, true, true
		if !s.Open {
			rooms, _, ok = s.Verify(body.Token)
		}
		switch {
		case !ok:
			return no("Rejecting join with invalid token!")
		case !slices.Contains(rooms, body.RoomID):
			return no("Rejecting join without permission!")
		case h.room != "":
			return no("Handles may only join once!")
		}
		before := s.occupants(body.RoomID)
		h.room, h.user = body.RoomID, body.UserID
		if body.Subscribe.Media != nil {
			h.media = *body.Subscribe.Media
		} else {
			s.toOthers(h, map[string]any{"event": "join", "user_id": h.user, "room_id": h.room})
		}
		return map[string]any{"success": true, "response": map[string]any{"users": map[string]any{h.room: before}}}
	case "kick":
		if _, mayKick, ok := s.Verify(body.Token); !ok || !mayKick {
			s.refused = append(s.refused, "kick")
			return map[string]any{"success": true}
		}
		for id, other := range s.handles {
			if other.user == body.UserID {
				s.drop(id)
			}
		}
		return map[string]any{"success": true}
	case "data":
		for _, other := range s.handles {
			if other != h && other.media == "" && (body.Whom == nil && other.room == h.room || body.Whom != nil && other.user == *body.Whom) {
				other.socket.send(event(other, "", map[string]any{"event": "data", "body": body.Body}))
			}
		}
	}
	return map[string]any{"success": true}
}
