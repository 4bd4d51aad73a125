package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// Config says what a [Server] serves. Keys, Issuer, Rooms and Access are
// required; every other field's zero value is the default that it names.
type Config struct {
	Keys   *tokens.KeyRing // served as JWKS, PEM and DER, and what resume secrets are sealed by
	Issuer *tokens.Issuer  // signs with the same keys
	Rooms  rooms.Rooms     // made with [Prepare]
	Access access.Control
	Rules  policy.Rules // the operator's; nil: kept in this process alone

	TokenTTL     time.Duration // from iat to exp; 5 min
	TokenRefresh time.Duration // a new token at the latest so long after the last; 4 min
	VerifierSkew time.Duration // how far the SFU's clock may be ahead; 0
	Signers      int           // signatures at a time; 0 is one a processor

	Pod     string   // this process's name, in logs, among the pods and in each welcome
	Version string   // of the program, for the operator
	Origins []string // scheme://host[:port] that pages may come from, beside our own
	Cookie  string   // its value in the upgrade is a credential, and then only Origins may connect; "" is none
	Client  fs.FS    // client.js, janus.js and react.js, for pages
	Console fs.FS    // the operator's console: index.html, and what it asks for; nil: there is none

	// TrustedProxies are networks and addresses of proxies in front, whose
	// X-Forwarded-For says where a request is from.
	TrustedProxies []string

	Drain time.Duration // what an operator's draining gives clients to move away in; 30 s

	Janus *janus.Config // the front of Janus; its Rooms are the server's. nil: there is none

	Limits Limits

	AdminKeys []AdminKey // open the operator's API; none: it answers that it is off

	// Crash ends the process as if it were killed, where a client asks for it by a
	// message of type crash: for trying out what happens then, and nowhere else. Nil:
	// there is no such type of message.
	Crash func()

	Logger   *slog.Logger          // nil: slog.Default()
	Registry prometheus.Registerer // nil: the metrics are kept but not shown
	TimeNow  func() time.Time      // nil: time.Now
}

// Limits bound what one peer may cost.
type Limits struct {
	MessageBytes    int           // of one message from a client; 64 KiB
	DataBytes       int           // of a member's presence data; 4 KiB
	Rooms           int           // that one connection is in; 16
	MessageRate     float64       // messages a second from one connection, sustained; 30
	MessageBurst    int           // beyond that rate at once; 60
	Unauthenticated int           // sockets from one address that haven't authenticated; 64
	AuthTimeout     time.Duration // from the upgrade to a good auth; 5 s
	Ping            time.Duration // between two pings of an idle connection; 25 s
	Pong            time.Duration // that an answer to a ping may take; 10 s
	QueueBytes      int           // that may wait to be written to one connection; 1 MiB
	SessionMax      time.Duration // from a credential that held to the session's end, resumes included; 12 h
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MessageBytes, 64<<10)
	setDefault(&l.DataBytes, 4<<10)
	setDefault(&l.Rooms, 16)
	setDefault(&l.MessageRate, 30)
	setDefault(&l.MessageBurst, 60)
	setDefault(&l.Unauthenticated, 64)
	setDefault(&l.AuthTimeout, 5*time.Second)
	setDefault(&l.Ping, 25*time.Second)
	setDefault(&l.Pong, 10*time.Second)
	setDefault(&l.QueueBytes, 1<<20)
	setDefault(&l.SessionMax, 12*time.Hour)
	return l
}

func setDefault[T comparable](value *T, is T) {
	var zero T
	if *value == zero {
		*value = is
	}
}

// check says what is wrong with a configuration, in the words of the flags.
func (l Limits) check() error {
	for _, is := range []struct {
		flag string
		good bool
	}{
		{"--max-message-bytes", l.MessageBytes > 0},
		{"--max-data-bytes", l.DataBytes > 0 && l.DataBytes <= l.MessageBytes},
		{"--max-rooms", l.Rooms > 0},
		{"--message-rate", l.MessageRate > 0},
		{"--message-burst", l.MessageBurst > 0},
		{"--max-unauthenticated", l.Unauthenticated > 0},
		{"--auth-timeout", l.AuthTimeout > 0},
		{"--ping", l.Ping > 0},
		{"--pong", l.Pong > 0},
		{"--queue-bytes", l.QueueBytes > 0},
		{"--session-max", l.SessionMax > 0},
	} {
		if !is.good {
			if is.flag == "--max-data-bytes" {
				return errors.New("--max-data-bytes must be above zero and at most --max-message-bytes")
			}
			return fmt.Errorf("%s must be above zero", is.flag)
		}
	}
	return nil
}

// ParseOrigin checks that text is an origin, scheme://host[:port], and nothing
// more, and returns it as browsers write it (RFC 6454, section 6.2).
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not an origin: write https://app.example.com, with a port where it isn't the scheme's own", text)
	}
	return strings.ToLower(u.Scheme + "://" + u.Host), nil
}

// configuredOrigin is an origin as the operator writes it: also with the scheme's
// own port, which browsers leave out.
func configuredOrigin(text string) (string, error) {
	origin, err := ParseOrigin(text)
	scheme, _, _ := strings.Cut(origin, ":")
	return strings.TrimSuffix(origin, map[string]string{"http": ":80", "https": ":443"}[scheme]), err
}
