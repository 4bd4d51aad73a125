//go:build soak

package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// A keyring verifies tokens by the keys that the pods publish, with no tolerance but for nbf where
// a pod's clock was set ahead. None of the gateway's own code is in it.
type keyring struct {
	world *world

	mu   sync.Mutex
	keys keyfunc.Keyfunc
}

type claims struct {
	jwt.RegisteredClaims
	Rooms []string `json:"room_ids"`
}

// verify takes a token that holds now, for a user in a room, and returns when it expires.
func (k *keyring) verify(pod *pod, text, user, room string) (time.Time, error) {
	is, err := k.parse(text)
	if errors.Is(err, jwt.ErrTokenUnverifiable) { // the key is new
		if err := k.fetch(pod.name); err != nil {
			return time.Time{}, err
		}
		is, err = k.parse(text)
	}
	now, ahead := time.Now(), pod.ahead()
	switch {
	case err != nil:
		return time.Time{}, err
	case is.ExpiresAt == nil || !now.Before(is.ExpiresAt.Time):
		return time.Time{}, fmt.Errorf("it has expired: %v", is.ExpiresAt)
	case is.NotBefore == nil || now.Add(ahead).Before(is.NotBefore.Time):
		return time.Time{}, fmt.Errorf("it doesn't hold yet: %v, and the pod's clock was ahead by %v at most", is.NotBefore, ahead)
	case is.Subject != user || !slices.Equal(is.Rooms, []string{room}):
		return time.Time{}, fmt.Errorf("a token for %s in %v", is.Subject, is.Rooms)
	}
	if now.Before(is.NotBefore.Time) {
		k.world.count("tokens that didn't hold yet by nbf, from a pod whose clock was ahead")
	}
	return is.ExpiresAt.Time, nil
}

func (k *keyring) parse(text string) (*claims, error) {
	k.mu.Lock()
	keys := k.keys
	k.mu.Unlock()
	if keys == nil {
		return nil, jwt.ErrTokenUnverifiable
	}
	var is claims
	_, err := jwt.ParseWithClaims(text, &is, keys.Keyfunc, jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"RS512"}))
	return &is, err
}

// fetch reads the keys of the pod that the token came from; of another one, if that is gone.
func (k *keyring) fetch(from string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var last error
	for _, p := range k.world.from(from) {
		raw, err := read("http://" + p.listen + "/.well-known/jwks.json")
		if err != nil {
			last = err
			continue
		}
		k.keys, err = keyfunc.NewJWKSetJSON(raw)
		return err
	}
	return fmt.Errorf("no pod shows its keys: %w", last)
}

// read gets what is at an address.
func read(url string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return ask(request, 2*time.Second)
}

// ask sends a request by a connection of its own, and returns the answer's body; one that isn't a
// success is an error. What is read answers with 200.
func ask(request *http.Request, most time.Duration) ([]byte, error) {
	client := &http.Client{Timeout: most, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	well := response.StatusCode == http.StatusOK || request.Method != http.MethodGet && response.StatusCode/100 == 2
	if err == nil && !well {
		err = fmt.Errorf("%s %s: %s %s", request.Method, request.URL, response.Status, bytes.TrimSpace(body))
	}
	return body, err
}
