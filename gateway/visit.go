package gateway

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/rooms"
)

// A visit is the part of the gateway's other end that is in this process: whoever
// comes by the front of Janus has a connection like those of /ws, with the same
// places, tokens, kicks and revocations, but what it is sent ends here. It
// implements [janus.Visitor].
type visit struct {
	server  *Server
	offered string      // the credential of the upgrade
	header  http.Header // of the upgrade, what is asked about again
	remote  string
	ended   func(janus.Ending)
	conn    *conn // nil until it is known who it is
	waits   bool  // it is counted among its address's sockets that nobody knows

	mu     sync.Mutex // guards what follows
	places map[string]*visitPlace
	over   bool // ended was called, or is of no interest any more
	moving *time.Timer
	closed bool // the close frame came
}

// visitPlace is a place in a room. It implements [janus.Place].
type visitPlace struct {
	visit  *visit
	seat   *seat
	userID string
}

// visits implements [janus.Rooms].
type visits struct{ *Server }

func (s visits) Visit(r *http.Request, ended func(janus.Ending)) (janus.Visitor, error) {
	cookie, err := cookieOf(r, s.cookie, s.limits.MessageBytes)
	if err != nil {
		return nil, err
	}
	remote := s.proxies.client(r)
	if !s.addresses.acquire(remote) {
		return nil, janus.ErrTooMany
	}
	return &visit{
		server: s.Server, offered: cookie, header: s.reviewed(r.Header), remote: remote,
		ended: ended, waits: true, places: map[string]*visitPlace{},
	}, nil
}

// Enter implements [janus.Visitor].
func (v *visit) Enter(ctx context.Context, room, userID, token string) (janus.Place, error) {
	if checkRoom(room) != nil || userID == "" || len(userID) > access.LongestUser {
		return nil, janus.ErrNotAllowed
	}
	v.mu.Lock()
	p := v.places[room]
	v.mu.Unlock()
	if p != nil {
		if p.userID != userID {
			return nil, janus.ErrNotAllowed
		}
		return p, nil
	}
	if v.conn == nil {
		if err := v.begin(ctx, room, userID, token); err != nil {
			return nil, err
		}
		if p := v.place(room); p != nil {
			return p, nil // it has come back
		}
	}
	if holder, err := v.holder(ctx, room, userID); err != nil {
		return nil, err
	} else if holder != nil {
		return nil, janus.ErrNotAllowed
	}
	if err := v.conn.try(request{Type: "join", Room: room, UserID: userID}); err != nil {
		return nil, asVisitError(err)
	}
	place, err := v.occupied(room, userID)
	if err != nil {
		return nil, err
	}
	// Of two who came at the same moment, on two pods, the log has one first.
	if holder, err := v.holder(ctx, room, userID); err != nil || holder != nil && holder.ID != place.seat.member {
		v.Leave(room)
		return nil, cmp.Or(err, janus.ErrNotAllowed)
	}
	return place, nil
}

// occupied notes a place that the connection has.
func (v *visit) occupied(room, userID string) (*visitPlace, error) {
	seat, err := v.conn.seat(room)
	if err != nil {
		return nil, err // and out again
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	p := &visitPlace{visit: v, seat: seat, userID: userID}
	v.places[room] = p
	return p, nil
}

func (v *visit) place(room string) *visitPlace {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.places[room]
}

// In implements [janus.Visitor].
func (v *visit) In(room string) janus.Place {
	if p := v.place(room); p != nil {
		return p
	}
	return nil
}

// holder is the member that came by a front and has a user_id in a room; nil: nobody has.
// What others put into their data themselves doesn't count.
func (v *visit) holder(ctx context.Context, room, userID string) (*rooms.Member, error) {
	snapshot, err := v.server.rooms.Snapshot(ctx, room)
	if errors.Is(err, rooms.ErrNoRoom) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(snapshot.Members, func(m rooms.Member) bool {
		return strings.HasPrefix(m.Session, visitPrefix) && userIDOf(m.Data) == userID
	})
	if i < 0 {
		return nil, nil
	}
	return &snapshot.Members[i], nil
}

// begin finds out who it is, and makes the connection. Whoever was in the room
// under this user_id before, and is the same person, is that member again: the
// socket before is of no use any more, also where nobody knows yet that it is dead.
func (v *visit) begin(ctx context.Context, room, userID, token string) error {
	person, expired, err := v.identify(ctx, token)
	if err != nil {
		return err
	}
	before, err := v.holder(ctx, room, userID)
	if err != nil {
		return err
	}
	again := before != nil && person.User != "" && before.User == person.User && before.Session != ""
	if expired && !again {
		return janus.ErrToken
	}
	// Whoever comes back stays for as long as they might have, and no longer.
	since := v.server.now()
	if again {
		since = before.JoinedAt
	}
	ask := request{Type: "auth", Vouched: &person, Ends: since.Add(v.server.limits.SessionMax)}
	if !ask.Ends.After(v.server.now()) {
		return janus.ErrToken
	}
	if again {
		ask.Resume = &resumption{Session: before.Session, Cursors: map[string]rooms.Cursor{room: {}}, Held: map[string]time.Time{}}
	}
	c := &conn{
		server: v.server, wire: v, remote: v.remote, header: v.header, offered: v.offered, ambient: true, counted: v.waits,
		limiter: rate.NewLimiter(rate.Limit(v.server.limits.MessageRate), v.server.limits.MessageBurst),
	}
	c.out.limit = v.server.limits.QueueBytes
	v.conn, v.waits = c, false
	v.server.running.Add(1)
	v.server.conns.add(c)
	if err := c.try(ask); err != nil {
		return asVisitError(err)
	}
	if again {
		if _, err := c.seat(room); err == nil {
			_, err := v.occupied(room, userID)
			return err
		}
	}
	return nil
}

// identify says who it is: by the credential of the upgrade, or by a token that we
// signed; expired, by one that did hold once.
func (v *visit) identify(ctx context.Context, token string) (_ access.Person, expired bool, _ error) {
	if v.offered == "" && v.header == nil && token != "" {
		claims, expired, err := v.server.keys.VerifyPast(token, v.server.now())
		if err != nil {
			return access.Person{}, false, janus.ErrToken
		}
		return access.Person{User: claims.User, KickUsers: claims.KickUsers, JoinHub: claims.JoinHub, Rooms: claims.Rooms}, expired, nil
	}
	person, err := v.server.access.Authenticate(ctx, access.Request{
		Reason: access.Connect, Credential: v.offered, Address: v.remote, Header: v.header,
	})
	switch {
	case errors.Is(err, access.ErrDenied):
		return person, false, janus.ErrAnonymous
	case err != nil:
		return person, false, err
	}
	return person, false, nil
}

// asVisitError is what the front is told.
func asVisitError(err error) error {
	switch known := asRequestError(err); known.Code {
	case codeNotAllowed:
		return janus.ErrNotAllowed
	case codeRoomFull, codeTooManyRooms:
		return janus.ErrRoomFull
	default:
		return known
	}
}

// Admit implements [janus.Visitor].
func (v *visit) Admit(ctx context.Context) error {
	if v.conn != nil {
		return nil
	}
	person, _, err := v.identify(ctx, "")
	if err != nil {
		return err
	}
	if person.User != "" && v.server.rules.On(person.User, "", "").Revoked {
		return janus.ErrNotAllowed
	}
	v.uncount()
	return nil
}

// uncount ends the visit's being among those whom nobody knows.
func (v *visit) uncount() {
	if v.waits {
		v.waits = false
		v.server.addresses.release(v.remote)
	}
}

// Leave implements [janus.Visitor].
func (v *visit) Leave(room string) {
	v.mu.Lock()
	_, in := v.places[room]
	delete(v.places, room)
	v.mu.Unlock()
	if in {
		_ = v.conn.try(request{Type: "leave", Room: room}) // it may be out already
	}
}

// End implements [janus.Visitor]. An anonymous person can't be known again, and
// its media has ended with the socket: it doesn't linger.
func (v *visit) End(goodbye bool) {
	v.mu.Lock()
	v.over = true
	if v.moving != nil {
		v.moving.Stop()
	}
	v.mu.Unlock()
	v.uncount()
	if v.conn == nil {
		return
	}
	if v.conn.who().person.User == "" {
		v.conn.mu.Lock()
		v.conn.over = true
		v.conn.mu.Unlock()
	}
	if goodbye {
		v.conn.finish(websocket.CloseError{Code: websocket.StatusNormalClosure})
	} else {
		v.conn.finish(io.EOF)
	}
	v.server.running.Done()
}

// Token implements [janus.Place].
func (p *visitPlace) Token(keyID string) string {
	s := p.visit.server
	newest := p.seat.token.Token()
	if newest.KeyID == keyID && newest.ExpiresAt.Sub(s.now()) >= s.margin {
		return newest.JWT
	}
	// The server has an older key, or a newer one; or the schedule is behind.
	signed, err := s.issuer.MintWith(keyID, p.seat.grant())
	if err != nil {
		s.log.Warn("no token could be signed for the front of Janus", "room", p.seat.room, "error", err)
	}
	return signed.JWT
}

// UserID implements [janus.Place].
func (p *visitPlace) UserID() string { return p.userID }

// MayKick implements [janus.Place].
func (p *visitPlace) MayKick() bool { return p.seat.grant().KickUsers }

// Has implements [janus.Place].
func (p *visitPlace) Has(ctx context.Context, userID string) (bool, error) {
	holder, err := p.visit.holder(ctx, p.seat.room, userID)
	return holder != nil, err
}

// Kick implements [janus.Place].
func (p *visitPlace) Kick(ctx context.Context, userID string) error {
	holder, err := p.visit.holder(ctx, p.seat.room, userID)
	if err != nil || holder == nil {
		return cmp.Or(err, janus.ErrNobody)
	}
	if err := p.visit.conn.try(request{Type: "kick", Room: p.seat.room, Member: holder.ID}); err != nil {
		return asVisitError(err)
	}
	return nil
}

// What comes to a visit is what goes over the wire of /ws. These are the fields
// that matter here: it knows its token from the schedule, and the room from the rooms.
type visitMessage struct {
	Type        string `json:"type"`
	Room        string `json:"room"`
	Reason      string `json:"reason"`
	ReconnectIn int64  `json:"reconnect_in"`
}

// writeFrames implements [transport]. It is the peer: it answers pings.
func (v *visit) writeFrames(frames [][]byte) error {
	for _, text := range frames {
		f := frame(text)
		switch f[0] & 0xf {
		case opPing:
			v.conn.pong(context.Background(), f.payload())
		case opClose:
			v.closing(f.payload())
		case opText:
			v.take(f.payload())
		}
	}
	return nil
}

// take hears what ends a place.
func (v *visit) take(text []byte) {
	var m visitMessage
	if json.Unmarshal(text, &m) != nil {
		return
	}
	switch m.Type {
	case "removed":
		v.mu.Lock()
		delete(v.places, m.Room)
		v.mu.Unlock()
		comeBack := m.Reason == reasonUnconfirmed
		v.tell(janus.Ending{ComeBack: comeBack, PutOut: !comeBack, Reason: m.Reason})
	case "draining":
		v.mu.Lock()
		defer v.mu.Unlock()
		if !v.over {
			v.moving = time.AfterFunc(time.Duration(m.ReconnectIn)*time.Millisecond, func() {
				v.tell(janus.Ending{ComeBack: true, Reason: "the pod is going away: come back elsewhere"})
			})
		}
	}
}

// closing hears the close frame.
func (v *visit) closing(payload []byte) {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	code, reason := CloseCode(binary.BigEndian.Uint16(payload)), string(payload[2:])
	comeBack := code != CloseForbidden && code != CloseTakenOver
	v.tell(janus.Ending{ComeBack: comeBack, PutOut: code == CloseForbidden, Reason: reason})
}

// tell tells the front that the visit is over, once.
func (v *visit) tell(why janus.Ending) {
	v.mu.Lock()
	over := v.over
	v.over = true
	v.mu.Unlock()
	if !over {
		v.ended(why)
	}
}

// hasSentClose implements [transport].
func (v *visit) hasSentClose() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// Close implements [transport].
func (v *visit) Close() error {
	v.tell(janus.Ending{ComeBack: true, Reason: "the connection was cut"})
	return nil
}

// The peer needs no time.

func (v *visit) SetReadDeadline(time.Time) error { return nil }
func (v *visit) hasHungUp() bool                 { return false }
func (v *visit) linger()                         {}
func (v *visit) end()                            {}

// withUserID adds a user_id to presence data, by which those who meet in Janus know
// each other in the room.
func withUserID(data json.RawMessage, userID string) json.RawMessage {
	if userID == "" {
		return data
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(data, &fields) != nil || fields == nil {
		fields = map[string]json.RawMessage{}
	}
	fields["user_id"], _ = json.Marshal(userID) // a text can't fail
	text, _ := json.Marshal(fields)
	return text
}

// userIDOf is the user_id in presence data; "" is none.
func userIDOf(data json.RawMessage) string {
	var is struct {
		UserID string `json:"user_id"`
	}
	_ = json.Unmarshal(data, &is)
	return is.UserID
}
