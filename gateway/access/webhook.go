package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/roompass/roompass/tokens"
)

// How the app says no. All are [ErrDenied].
var (
	ErrAppRefuses = Denial{"the app doesn't take your credential"}                // 401
	ErrAppForbids = Denial{"the app says that you may not"}                       // 403
	ErrOtherUser  = Denial{"the app says that this credential is another user's"} // another user_id than before
)

var (
	// ErrNoAnswer says that the app was asked, and said neither yes nor no.
	ErrNoAnswer = errors.New("no answer from the app")

	// ErrCircuitOpen says that the app had no answer several times in a row, and
	// isn't asked until some seconds later.
	ErrCircuitOpen = errors.New("the app had no answer lately, and isn't asked again yet")
)

const (
	// circuitFailures are so many questions in a row that the app didn't react to, or
	// only by an error of its own, that it isn't asked for a while.
	circuitFailures = 5

	// circuitRest is how long it isn't, and circuitJitter what a pod adds to that:
	// all pods lose the app at the same time, and needn't come back together.
	circuitRest   = 5 * time.Second
	circuitJitter = 2 * time.Second
)

// WebhookConfig says where the app is asked. URL and Secrets are required.
type WebhookConfig struct {
	URL     string   // http or https; its query never gets into a log
	Secrets []string // whsec_ and base64 of 24 to 64 bytes. Each request is signed by all of them

	Headers  []string      // of the person's upgrade, that the app is shown: Cookie, Authorization
	MaxStale time.Duration // see [Reviewer.MaxStale]; 0 is 15 minutes

	Timeout     time.Duration // of one attempt, with the reading of its answer; 0 is 3 s
	DataBytes   int           // of an answer's data; 0 is 4 KiB
	Concurrency int           // questions at a time; the others wait. 0 is 128

	Transport http.RoundTripper // nil: one of its own
	Logger    *slog.Logger      // told when the app isn't asked for a while; nil discards
	TimeNow   func() time.Time  // nil: time.Now
	Observe   WebhookObserver
}

// A WebhookObserver is told of what happens, from the goroutines of those who
// ask: its functions must not block or ask, and each may be nil.
type WebhookObserver struct {
	// Answered is told of each question but those that their asker gave up: result
	// is yes, no, error, or open where the circuit was. What several share is one.
	Answered func(why Reason, result string, took time.Duration)

	// Circuit is told when the app isn't asked any more, and when it is again.
	Circuit func(open bool)
}

// A Webhook is a [Reviewer] that asks the app, by signed requests as in Standard
// Webhooks 1.0.0.
//
// An answer of 401 or 403 is a no; 200 with an answer in JSON is a yes. After
// anything else it can't be told: the app is asked again where that may help,
// and the error is [ErrNoAnswer], or [ErrCircuitOpen] without a request while the
// app has had no answer for a while. Where ctx ended first, it is ctx's error.
type Webhook struct {
	config  WebhookConfig
	address *url.URL
	keys    []signer

	transport http.RoundTripper
	slots     *semaphore.Weighted
	circuit   *gobreaker.CircuitBreaker[answer]
	asking    singleflight.Group
	answered  atomic.Pointer[time.Time]
}

// NewWebhook says what is wrong with cfg. It doesn't ask anything.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	w := &Webhook{config: cfg.withDefaults()}
	var err error
	// The parser's own error would quote the query.
	if w.address, err = url.Parse(cfg.URL); err != nil || (w.address.Scheme != "https" && w.address.Scheme != "http") || w.address.Host == "" {
		return nil, errors.New("not an address of a webhook: write https://app.example.com/roompass")
	}
	if w.address.User != nil {
		return nil, errors.New("a webhook's address has a user in it: the app knows us by the signature")
	}
	if w.keys, err = newSigners(cfg.Secrets); err != nil {
		return nil, err
	}
	if w.config.Headers, err = shownHeaders(cfg.Headers); err != nil {
		return nil, err
	}
	if w.transport = cfg.Transport; w.transport == nil {
		w.transport = newWebhookTransport(w.config.Concurrency)
	}
	w.slots = semaphore.NewWeighted(int64(w.config.Concurrency))
	w.circuit = gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Timeout:       circuitRest + rand.N(circuitJitter),
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= circuitFailures },
		IsSuccessful:  answers,
		IsExcluded:    func(err error) bool { return errors.As(err, new(givenUp)) || errors.Is(err, ErrCircuitOpen) },
		OnStateChange: func(_ string, from, to gobreaker.State) { w.turned(from, to) },
	})
	began := w.config.TimeNow()
	w.answered.Store(&began)
	return w, nil
}

// answers says whether an app is there, whatever it says: one that stumbles over
// somebody's credential isn't away for the others.
func answers(err error) bool {
	var why *unanswered
	return err == nil || errors.Is(err, ErrDenied) || errors.As(err, &why) && !why.again
}

func (cfg WebhookConfig) withDefaults() WebhookConfig {
	if cfg.MaxStale <= 0 {
		cfg.MaxStale = 15 * time.Minute
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.DataBytes <= 0 {
		cfg.DataBytes = 4 << 10
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 128
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.TimeNow == nil {
		cfg.TimeNow = time.Now
	}
	if cfg.Observe.Answered == nil {
		cfg.Observe.Answered = func(Reason, string, time.Duration) {}
	}
	if cfg.Observe.Circuit == nil {
		cfg.Observe.Circuit = func(bool) {}
	}
	return cfg
}

// shownHeaders takes the names of headers that prove who somebody is: what else
// a browser sends is none of the app's business here.
func shownHeaders(names []string) ([]string, error) {
	var shown []string
	for _, name := range names {
		name = http.CanonicalHeaderKey(name)
		if name != "Cookie" && name != "Authorization" {
			return nil, fmt.Errorf("header %q isn't shown to the app: choose from Cookie, Authorization", name)
		}
		shown = append(shown, name)
	}
	slices.Sort(shown)
	return slices.Compact(shown), nil
}

// Close closes the connections that wait for the next question.
func (w *Webhook) Close() {
	if t, ok := w.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// MaxStale implements [Reviewer].
func (w *Webhook) MaxStale() time.Duration { return w.config.MaxStale }

// Answered implements [Reviewer].
func (w *Webhook) Answered() time.Time { return *w.answered.Load() }

// Headers implements [Reviewer].
func (w *Webhook) Headers() []string { return slices.Clone(w.config.Headers) }

// Authenticate implements [Control]. Without a user_id in the answer the person
// is anonymous.
func (w *Webhook) Authenticate(ctx context.Context, r Request) (Person, error) {
	a, err := w.ask(ctx, r)
	if err != nil {
		return Person{}, err
	}
	p := Person{JoinHub: a.joinHub, KickUsers: a.kickUsers, Data: a.data}
	if a.user != nil {
		p.User = *a.user
	}
	return p, nil
}

// Admit implements [Control]. What a person may do is what this answer says,
// whatever the one before said.
func (w *Webhook) Admit(ctx context.Context, r Request) (Admission, error) {
	a, err := w.ask(ctx, r)
	if err != nil {
		return Admission{}, err
	}
	return Admission{Grant: a.grant(r), Data: a.data}, nil
}

// grant is what the answer to r permits.
func (a answer) grant(r Request) tokens.Grant {
	return tokens.Grant{User: r.Person.User, Room: r.Room, JoinHub: a.joinHub, KickUsers: a.kickUsers, Extra: a.claims}
}

// ask asks the app. Identical questions for a next token share one answer while
// it is on its way. Others don't: a credential may be good for one use.
func (w *Webhook) ask(ctx context.Context, r Request) (answer, error) {
	switch {
	case len(r.Credential) > longestCredential:
		return answer{}, Denial{fmt.Sprintf("it is longer than %d bytes", longestCredential)}
	case !utf8.ValidString(r.Credential):
		return answer{}, Denial{"it is not UTF-8"} // JSON would show another one in its place
	}
	asked, err := json.Marshal(w.asked(r))
	if err != nil {
		return answer{}, err
	}
	if r.Reason != Refresh {
		return w.askAlone(ctx, r, asked)
	}
	for {
		// What is asked has the session and the room in it, and the credential.
		shared := w.asking.DoChan(string(asked), func() (any, error) { return w.askAlone(ctx, r, asked) })
		select {
		case got := <-shared:
			if errors.As(got.Err, new(givenUp)) && ctx.Err() == nil {
				continue // it was another's question, who left
			}
			a, _ := got.Val.(answer)
			return a, got.Err
		case <-ctx.Done():
			return answer{}, givenUp{ctx.Err()}
		}
	}
}

// askAlone asks one question, unless the circuit is open.
func (w *Webhook) askAlone(ctx context.Context, r Request, asked []byte) (answer, error) {
	began := w.config.TimeNow()
	q, err := newQuestion(asked, began)
	if err != nil {
		return answer{}, err
	}
	a, err := w.circuit.Execute(func() (answer, error) { return w.try(ctx, r, q) })
	result := "error"
	switch {
	case err == nil:
		result = "yes"
	case errors.Is(err, ErrDenied):
		result = "no"
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests), errors.Is(err, ErrCircuitOpen):
		result, err = "open", ErrCircuitOpen
	case errors.As(err, new(givenUp)):
		return answer{}, err
	}
	now := w.config.TimeNow()
	if result == "yes" || result == "no" {
		w.answered.Store(&now)
	}
	w.config.Observe.Answered(r.Reason, result, now.Sub(began))
	return a, err
}

// turned tells that the circuit opened or closed. One that lets a question
// through to see, and opens again, was open all along.
func (w *Webhook) turned(from, to gobreaker.State) {
	shown := url.URL{Scheme: w.address.Scheme, Host: w.address.Host, Path: w.address.Path}
	log := w.config.Logger.With("address", shown.String())
	switch {
	case from == gobreaker.StateClosed:
		log.Warn("the app has no answers: it isn't asked for some seconds")
		w.config.Observe.Circuit(true)
	case to == gobreaker.StateClosed:
		log.Info("the app has answers again")
		w.config.Observe.Circuit(false)
	}
}
