package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// A keySet verifies tokens by the keys that the gateway publishes. It is not the
// gateway's own code.
type keySet struct{ keyfunc.Keyfunc }

// fetchKeys reads the keys of the pod that has a WebSocket address. They are read
// again when a token names another one.
func fetchKeys(ctx context.Context, address string) (*keySet, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address can't be read")
	}
	at.Scheme = map[string]string{"ws": "http", "wss": "https"}[at.Scheme]
	at.Path, at.RawQuery, at.User = "/.well-known/jwks.json", "", nil
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(at.String())
	if err != nil {
		return nil, fmt.Errorf("the gateway's keys can't be read: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the gateway's keys can't be read: %s answers %s", at, response.Status)
	}
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{at.String()})
	if err != nil {
		return nil, fmt.Errorf("the gateway's keys can't be read: %w", err)
	}
	return &keySet{keys}, nil
}

type claims struct {
	jwt.RegisteredClaims
	Rooms []string `json:"room_ids"`
}

// verify takes a token that holds at a time, and is for a room.
func (k *keySet) verify(text, room string, now time.Time) (token, error) {
	var is claims
	parser := jwt.NewParser(jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithValidMethods([]string{"RS512", "RS256", "ES256", "EdDSA"}))
	if _, err := parser.ParseWithClaims(text, &is, k.KeyfuncCtx(context.Background())); err != nil {
		return token{}, err
	}
	if !slices.Contains(is.Rooms, room) {
		return token{}, errors.New("a token for another room")
	}
	if is.IssuedAt == nil {
		return token{}, errors.New("a token without iat")
	}
	return token{is.ExpiresAt.Time, is.IssuedAt.Time}, nil
}
