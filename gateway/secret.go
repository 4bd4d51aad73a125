package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
)

// secretLabel separates the key that seals resume secrets from every other use
// of the signing keys.
const secretLabel = "roompass resume secret v1"

// errSecret says that a resume secret isn't one of ours, or is too old.
var errSecret = errors.New("the resume secret doesn't hold")

// sealer makes and opens resume secrets. A secret proves by itself that its
// bearer has the session, and who they are, on every pod with the same signing
// keys and after every restart: it is a statement with an HMAC (RFC 2104) under
// a key that is derived from the signing keys. It outlives the SFU's token, so
// that a laptop that slept for long can come back.
type sealer struct{ keys *tokens.KeyRing }

// sealed is what a secret states: little more than the person's rights, because
// it comes with each resume.
type sealed struct {
	User      string          `json:"u"`
	KickUsers bool            `json:"k,omitempty"`
	Rooms     []string        `json:"r,omitempty"`
	AnyRoom   bool            `json:"a,omitempty"`
	JoinHub   bool            `json:"h,omitempty"`
	Data      json.RawMessage `json:"d,omitempty"`
	Expires   int64           `json:"e"` // Unix seconds: the session's end
}

// seal makes a secret that holds until the session's end, ends.
func (s sealer) seal(session string, p access.Person, ends time.Time) string {
	text, err := json.Marshal(sealed{
		User: p.User, KickUsers: p.KickUsers, Rooms: p.Rooms, AnyRoom: p.AnyRoom, JoinHub: p.JoinHub, Data: p.Data,
		Expires: ends.Unix(),
	})
	if err != nil {
		panic("gateway: a resume secret that can't be encoded: " + err.Error())
	}
	key, _ := s.keys.DeriveSecret(secretLabel)
	return base64.RawURLEncoding.EncodeToString(append(tag(key, session, text), text...))
}

// open returns whom the session belongs to and when it ends, or errSecret.
func (s sealer) open(session, secret string, now time.Time) (_ access.Person, ends time.Time, _ error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(raw) < sha256.Size {
		return access.Person{}, time.Time{}, errSecret
	}
	_, keys := s.keys.DeriveSecret(secretLabel)
	for _, key := range keys {
		text := raw[sha256.Size:]
		if !hmac.Equal(raw[:sha256.Size], tag(key, session, text)) {
			continue
		}
		var is sealed
		if json.Unmarshal(text, &is) != nil || now.Unix() >= is.Expires {
			return access.Person{}, time.Time{}, errSecret
		}
		return access.Person{
			User: is.User, KickUsers: is.KickUsers, Rooms: is.Rooms, AnyRoom: is.AnyRoom, JoinHub: is.JoinHub, Data: is.Data,
		}, time.Unix(is.Expires, 0), nil
	}
	return access.Person{}, time.Time{}, errSecret
}

func tag(key []byte, session string, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(session))
	h.Write([]byte{0})
	h.Write(text)
	return h.Sum(nil)
}

// newSession makes the private name of a session.
func newSession() string { return rand.Text() }

// visitPrefix begins the names of the sessions of visits, and of no others.
const visitPrefix = "janus-"

// memberID is the public name of a session in a room. It is the same whenever
// the session comes back, says nothing of the session, and differs from room to
// room, so that people can't be followed.
func memberID(session, room string) string {
	h := sha256.New()
	h.Write([]byte(session))
	h.Write([]byte{0})
	h.Write([]byte(room))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15])
}
