package gateway

import (
	"encoding/json"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// Replies and events as they go over the wire; see docs/protocol.md. Times are
// Unix milliseconds, durations milliseconds.

// A wireMember is a member as clients see it. An anonymous person's user is null.
type wireMember struct {
	ID       string          `json:"id"`
	User     *string         `json:"user"`
	Data     json.RawMessage `json:"data"`
	JoinedAt int64           `json:"joined_at"`
}

// A wireToken is a token as clients see it.
type wireToken struct {
	Token     string `json:"token"`
	ExpiresAt int64  `json:"expires_at"`
	ExpiresIn int64  `json:"expires_in"` // counted when the message was made: right on any clock
	IssuedAt  int64  `json:"issued_at"`
}

type welcomeReply struct {
	Type       string       `json:"type"`
	ID         int64        `json:"id,omitempty"`
	Session    string       `json:"session"`
	Secret     string       `json:"secret"`
	User       *string      `json:"user"`
	ServerTime int64        `json:"server_time"`
	Pod        string       `json:"pod,omitempty"`
	Resumed    bool         `json:"resumed"`
	Rooms      []roomReply  `json:"rooms"`
	Degraded   bool         `json:"degraded,omitempty"`
	Limits     limitsReport `json:"limits"`

	SessionExpiresIn int64 `json:"session_expires_in"`
}

// A limitsReport tells a client what it has to keep to.
type limitsReport struct {
	MessageBytes      int     `json:"message_bytes"`
	DataBytes         int     `json:"data_bytes"`
	Rooms             int     `json:"rooms"`
	MessagesPerSecond float64 `json:"messages_per_second"`
	Burst             int     `json:"burst"`
	Ping              int64   `json:"ping"`
}

// A roomReply is joined, and the same in welcome for a room that was resumed.
type roomReply struct {
	Type     string            `json:"type,omitempty"`
	ID       int64             `json:"id,omitempty"`
	Room     string            `json:"room"`
	Member   string            `json:"member"`
	Members  []wireMember      `json:"members"`
	Cursor   string            `json:"cursor"`
	Token    *wireToken        `json:"token,omitempty"` // absent where the client's own is still good
	Missed   []json.RawMessage `json:"missed,omitempty"`
	Gap      bool              `json:"gap,omitempty"`
	Degraded bool              `json:"degraded,omitempty"`
}

type leftReply struct {
	Type string `json:"type"`
	ID   int64  `json:"id,omitempty"`
	Room string `json:"room"`
}

type okReply struct {
	Type string `json:"type"`
	ID   int64  `json:"id"`
}

// A provenReply is ok for an auth on a session: that one ends later, and has
// another secret.
type provenReply struct {
	Type             string `json:"type"`
	ID               int64  `json:"id,omitempty"`
	Secret           string `json:"secret"`
	SessionExpiresIn int64  `json:"session_expires_in"`
}

type errorReply struct {
	Type    string `json:"type"`
	ID      int64  `json:"id,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type tokenEvent struct {
	Type string `json:"type"`
	Room string `json:"room"`
	wireToken
}

type memberEvent struct {
	Type   string     `json:"type"`
	Room   string     `json:"room"`
	Cursor string     `json:"cursor"`
	Member wireMember `json:"member"`
}

type memberLeftEvent struct {
	Type   string `json:"type"`
	Room   string `json:"room"`
	Cursor string `json:"cursor"`
	Member string `json:"member"`
	Reason string `json:"reason"`
}

type removedEvent struct {
	Type   string `json:"type"`
	Room   string `json:"room"`
	Reason string `json:"reason"`
}

type drainingEvent struct {
	Type        string `json:"type"`
	ReconnectIn int64  `json:"reconnect_in"`
}

// encode makes a text frame of a message. The messages above consist of strings,
// numbers and JSON that was checked when it came in: they can't fail to encode.
func encode(message any) frame {
	text, err := json.Marshal(message)
	if err != nil {
		panic("gateway: a message that can't be encoded: " + err.Error())
	}
	return textFrame(text)
}

// Prepare encodes an entry of a room's log, once for all who will get it. It is
// made for [rooms.Config]'s Prepare: every store that a [Server] uses needs it.
func Prepare(e *rooms.Entry) any {
	switch e.Kind {
	case rooms.KindJoined:
		return encode(memberEvent{"member_joined", e.Room, e.Cursor.String(), asWireMember(e.Member)})
	case rooms.KindUpdated:
		return encode(memberEvent{"member_updated", e.Room, e.Cursor.String(), asWireMember(e.Member)})
	case rooms.KindLeft:
		return encode(memberLeftEvent{"member_left", e.Room, e.Cursor.String(), e.Member.ID, string(e.Reason)})
	default:
		return encodeSignal(e)
	}
}

// preparedFrame is the entry's frame, made by Prepare.
func preparedFrame(e *rooms.Entry) frame { return e.Prepared.(frame) }

// encodeSignal makes a signal's frame in one go: it is what most frames are. The data is
// passed on as it came.
func encodeSignal(e *rooms.Entry) frame {
	cursor := e.Cursor.String()
	b := make([]byte, headerRoom, headerRoom+len(e.Room)+len(cursor)+len(e.From)+len(e.Data)+64)
	b = append(b, `{"type":"signal","room":`...)
	b = appendString(b, e.Room)
	b = append(b, `,"cursor":`...)
	b = appendString(b, cursor)
	b = append(b, `,"from":`...)
	b = appendString(b, e.From)
	b = append(b, `,"data":`...)
	if e.Data == nil {
		b = append(b, "null"...)
	}
	b = append(b, e.Data...)
	return frameAround(append(b, '}'))
}

// appendString puts a text behind dst as JSON.
func appendString(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a text can't fail
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

func asWireMember(m rooms.Member) wireMember {
	return wireMember{ID: m.ID, User: asWireUser(m.User), Data: m.Data, JoinedAt: m.JoinedAt.UnixMilli()}
}

func asWireUser(user string) *string {
	if user == "" {
		return nil
	}
	return &user
}

func asWireToken(t tokens.Token, now time.Time) wireToken {
	return wireToken{
		Token:     t.JWT,
		ExpiresAt: t.ExpiresAt.UnixMilli(),
		ExpiresIn: t.ExpiresAt.Sub(now).Milliseconds(),
		IssuedAt:  t.IssuedAt.UnixMilli(),
	}
}

// asRoomReply is the state of a room as its member is told.
func asRoomReply(s rooms.Snapshot, member string) roomReply {
	members := make([]wireMember, len(s.Members))
	for i, m := range s.Members {
		members[i] = asWireMember(m)
	}
	return roomReply{Room: s.Room, Member: member, Members: members, Cursor: s.Cursor.String(), Degraded: s.Degraded}
}
