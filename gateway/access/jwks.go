package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// ErrKeySet says that an address didn't give a JWK Set.
var ErrKeySet = errors.New("the app's keys can't be read")

// errKeysAway says that a key is unknown, and that the address where it may be
// doesn't answer: it can't be told whether the token holds.
var errKeysAway = errors.New("a token names a key that isn't known yet, and the app's keys can't be read")

const (
	// keySetAge is how old the keys get before they are read again.
	keySetAge = 5 * time.Minute

	// keySetRest is at least between two readings for unknown keys, whoever names them.
	keySetRest = 5 * time.Second

	// keySetTimeout bounds one reading, with the wait for its turn.
	keySetTimeout = 10 * time.Second

	// keyWait bounds what whoever shows a token waits for its key.
	keyWait = 7 * time.Second
)

// remoteKeys are at an address. They are read again in the background, and when
// a token names an unknown one; the last good ones stay while that fails.
type remoteKeys struct {
	jwkset.Storage // the library's: asks the address for a key that it doesn't know
	good           *goodKeys
	asking         singleflight.Group
	keys           keyfunc.Keyfunc
	ctx            context.Context // of the readings, which outlive the requests that ask for them
	stop           context.CancelFunc
}

func newRemoteKeys(ctx context.Context, address string, log *slog.Logger) (*remoteKeys, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, errors.New("not an address of a JWK Set: write https://app.example.com/.well-known/jwks.json")
	}
	// What the pod was started with may end; the readings end with close.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	abort := context.AfterFunc(ctx, stop)
	defer abort()
	r := &remoteKeys{
		good: &goodKeys{MemoryJWKSet: jwkset.NewMemoryStorage(), log: log.With("address", u.Redacted())},
		ctx:  lasting, stop: stop,
	}
	source, err := jwkset.NewStorageFromHTTP(address, jwkset.HTTPClientStorageOptions{
		Client: keySetClient(), Ctx: lasting, HTTPTimeout: keySetTimeout, Storage: r.good,
		RefreshInterval: keySetAge,
		RefreshErrorHandler: func(_ context.Context, err error) {
			if lasting.Err() == nil {
				r.good.failed(err)
			}
		},
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("%w from %s: %w", ErrKeySet, u.Redacted(), rootOf(err))
	}
	r.Storage, err = jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
		HTTPURLs:          map[string]jwkset.Storage{address: source},
		RateLimitWaitMax:  keySetTimeout,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(keySetRest), 1),
	})
	if err == nil {
		r.keys, err = keyfunc.New(keyfunc.Options{Ctx: lasting, Storage: r, UseWhitelist: signing})
	}
	if err != nil {
		stop()
		return nil, err
	}
	return r, nil
}

func (r *remoteKeys) keyfunc(ctx context.Context, t *jwt.Token) (any, error) {
	return r.keys.KeyfuncCtx(ctx)(t)
}

func (r *remoteKeys) reload() error { return nil }

func (r *remoteKeys) close() { r.stop() }

// KeyRead implements [jwkset.Storage]. All who ask for unknown keys wait for the
// one reading: after a rotation many come at once with a key that is new.
func (r *remoteKeys) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	key, err := r.good.KeyRead(ctx, id)
	if err == nil {
		return key, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, keyWait, errKeysAway)
	defer cancel()
	select {
	case <-r.asking.DoChan("", func() (any, error) { return r.Storage.KeyRead(r.ctx, id) }):
	case <-ctx.Done():
		return jwkset.JWK{}, context.Cause(ctx)
	}
	if key, err = r.good.KeyRead(ctx, id); err != nil && r.good.away.Load() {
		return jwkset.JWK{}, errKeysAway
	}
	return key, err
}

// goodKeys are those that the address gave last.
type goodKeys struct {
	*jwkset.MemoryJWKSet
	log  *slog.Logger
	away atomic.Bool // the last reading failed
}

// KeyReplaceAll implements [jwkset.Storage]. A set without a key is a mistake,
// and doesn't take the place of one that has some.
func (g *goodKeys) KeyReplaceAll(ctx context.Context, keys []jwkset.JWK) error {
	if !anyUsable(keys) {
		return errNoKeys
	}
	if g.away.Swap(false) {
		g.log.Info("the app's keys can be read again")
	}
	return g.MemoryJWKSet.KeyReplaceAll(ctx, keys)
}

func (g *goodKeys) failed(why error) {
	g.away.Store(true)
	g.log.Warn("the app's keys can't be read: those that are known go on", "error", rootOf(why))
}

// keySetClient asks for one small file every few minutes: it keeps no connection,
// and follows to no other address than the operator's.
func keySetClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport: bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it redirects: give the address that it leads to")
		},
	}
}

// bounded reads no more of an answer than a set of keys takes.
type bounded struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, longestKeySet), response.Body}
	}
	return response, err
}

// rootOf leaves out what the library says it was doing, which we say ourselves.
func rootOf(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
