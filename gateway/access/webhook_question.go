package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A signer signs by one secret.
type signer = *standardwebhooks.Webhook

const (
	secretPrefix = "whsec_"

	// The lengths of a secret that the specification permits, in bytes.
	shortestSecret = 24
	longestSecret  = 64
)

// newSigners reads the secrets. An error counts them, and shows none.
func newSigners(secrets []string) ([]signer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secret: the app can't tell our questions from a stranger's")
	}
	var signers []signer
	for i, secret := range secrets {
		text, prefixed := strings.CutPrefix(secret, secretPrefix)
		key, err := base64.StdEncoding.Strict().DecodeString(text)
		if !prefixed || err != nil || len(key) < shortestSecret || len(key) > longestSecret {
			return nil, fmt.Errorf("secret %d of %d: write whsec_ and then %d to %d random bytes in base64", i+1, len(secrets), shortestSecret, longestSecret)
		}
		s, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	return signers, nil
}

// asked is what the app is told of a request. What there isn't is left out.
type asked struct {
	Reason     Reason            `json:"reason"`
	Room       string            `json:"room,omitempty"`
	User       any               `json:"user,omitempty"` // a *string once they were found to be somebody: nil is anonymous
	Session    string            `json:"session,omitempty"`
	Credential string            `json:"credential,omitempty"`
	Address    string            `json:"address,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

func (w *Webhook) asked(r Request) asked {
	a := asked{Reason: r.Reason, Room: r.Room, Session: r.Session, Credential: r.Credential, Address: r.Address}
	if r.Reason != Connect {
		user := &r.Person.User
		if *user == "" {
			user = nil
		}
		a.User = user
	}
	for _, name := range w.config.Headers {
		if values := r.Header.Values(name); len(values) > 0 {
			if a.Headers == nil {
				a.Headers = map[string]string{}
			}
			// RFC 9113, section 8.2.3: cookies that came apart belong together so.
			a.Headers[strings.ToLower(name)] = strings.Join(values, "; ")
		}
	}
	return a
}

// A question is one message in the words of Standard Webhooks. It is the same each
// time that it is sent, so that the app may know it again.
type question struct {
	id   string
	body []byte
}

func newQuestion(asked json.RawMessage, at time.Time) (q question, err error) {
	q.id = "msg_" + rand.Text()
	q.body, err = json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{"roompass.access", at.UTC(), asked})
	return q, err
}

// request is q as it is sent at a time, signed by each secret.
func (w *Webhook) request(ctx context.Context, q question, at time.Time) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	signatures := make([]string, len(w.keys))
	for i, key := range w.keys {
		if signatures[i], err = key.Sign(q.id, at, q.body); err != nil {
			return nil, err
		}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "roompass")
	r.Header.Set(standardwebhooks.HeaderWebhookID, q.id)
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return r, nil
}
