package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"
)

const (
	// attempts are made for one question at most.
	attempts = 3

	// longestAnswer is more than any answer takes, in bytes, and as much as is read.
	longestAnswer = 64 << 10

	// longestPause is the longest between two attempts: who asks is waiting.
	longestPause = 10 * time.Second
)

// unanswered says why there is no answer. It is [ErrNoAnswer]. The reason has
// nothing of the answer's text in it, which may repeat the question.
type unanswered struct {
	why   error
	again bool          // another attempt may have one
	after time.Duration // not sooner, as the app said; 0 is when we like
}

func (u *unanswered) Error() string   { return ErrNoAnswer.Error() + ": " + u.why.Error() }
func (u *unanswered) Unwrap() []error { return []error{ErrNoAnswer, u.why} }

// givenUp says that whoever asked didn't wait for the answer: it says nothing of
// the app.
type givenUp struct{ why error }

func (g givenUp) Error() string { return "the app's answer was not waited for: " + g.why.Error() }
func (g givenUp) Unwrap() error { return g.why }

// try makes attempts, when it is q's turn, until there is an answer or another one
// can't help. The turn is over after the last: behind a crowd's first attempts
// nobody would find out for long that the app hangs.
func (w *Webhook) try(ctx context.Context, r Request, q question) (answer, error) {
	if err := w.slots.Acquire(ctx, 1); err != nil {
		return answer{}, givenUp{err}
	}
	defer w.slots.Release(1)
	between := newPauses(ctx)
	var last *unanswered
	a, err := backoff.Retry(ctx, func() (answer, error) {
		a, err := w.attempt(ctx, r, q)
		if errors.As(err, &last) && last.again {
			between.asked = last.after
			return a, err
		}
		return a, backoff.Permanent(err)
	}, backoff.WithBackOff(between), backoff.WithMaxTries(attempts), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil || errors.Is(err, ErrDenied) || ctx.Err() == nil:
		return a, err
	case last == nil || errors.Is(ctx.Err(), context.Canceled):
		return answer{}, givenUp{ctx.Err()}
	default: // the app had its chance before the time was over
		return answer{}, last
	}
}

// attempt asks once.
func (w *Webhook) attempt(ctx context.Context, r Request, q question) (answer, error) {
	// Those who waited for their turn, or to try again, don't go on knocking.
	if w.circuit.State() == gobreaker.StateOpen {
		return answer{}, ErrCircuitOpen
	}
	bounded, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	request, err := w.request(bounded, q, w.config.TimeNow())
	if err != nil {
		return answer{}, err
	}
	// Not through a client, which would read where a redirect leads to.
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		return answer{}, broken(ctx, bounded, err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	// To the end in each case: the connection is used again.
	body, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer+1))
	if no := w.refusal(response); no != nil {
		return answer{}, no
	}
	if err != nil {
		return answer{}, broken(ctx, bounded, err)
	}
	a, err := parseAnswer(body, w.config.DataBytes)
	if err == nil {
		err = a.check(r)
	}
	if err != nil && !errors.Is(err, ErrDenied) {
		err = &unanswered{why: err}
	}
	return a, err
}

// refusal is what a status other than 200 says.
func (w *Webhook) refusal(response *http.Response) error {
	code := response.StatusCode
	// The status's own text is the app's.
	status := fmt.Errorf("status %d", code)
	switch {
	case code == http.StatusOK:
		return nil
	case code == http.StatusUnauthorized:
		return ErrAppRefuses
	case code == http.StatusForbidden:
		return ErrAppForbids
	case code >= 300 && code < 400:
		// CWE-918: a question has credentials in it, and goes where the operator said.
		return &unanswered{why: fmt.Errorf("%w: the webhook redirects; give the address that it leads to", status)}
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return &unanswered{why: status, again: true, after: retryAfter(response.Header, w.config.TimeNow())}
	}
	return &unanswered{why: status}
}

// broken is why an answer didn't come, or not to its end.
func broken(ctx, attempt context.Context, err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	why := errors.New("the connection broke, or what came over it isn't HTTP")
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return givenUp{ctx.Err()}
	case attempt.Err() != nil:
		why = errors.New("it takes too long")
	case errors.As(err, &certificate):
		why = certificate
	case errors.As(err, &network):
		why = network
	}
	return &unanswered{why: why, again: true}
}

// retryAfter reads the header (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// pauses are those between attempts: random ones from nothing to a bound that
// doubles, so that those who failed together don't come back together.
type pauses struct {
	*backoff.ExponentialBackOff
	ctx   context.Context // of the question, whose pauses they are
	asked time.Duration   // by the app: not less
}

func newPauses(ctx context.Context) *pauses {
	return &pauses{ctx: ctx, ExponentialBackOff: &backoff.ExponentialBackOff{
		// Factor 1 around the interval is from nothing to twice of it.
		InitialInterval: 125 * time.Millisecond, Multiplier: 2, RandomizationFactor: 1, MaxInterval: longestPause,
	}}
}

// NextBackOff implements [backoff.BackOff]. It stops where the time would be over.
func (p *pauses) NextBackOff() time.Duration {
	next := max(p.ExponentialBackOff.NextBackOff(), p.asked)
	if deadline, ok := p.ctx.Deadline(); next > longestPause || ok && time.Until(deadline) <= next {
		return backoff.Stop
	}
	return next
}

// newWebhookTransport keeps as many connections as may be asked over at a time.
func newWebhookTransport(connections int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
	t.MaxResponseHeaderBytes = longestAnswer
	// Node closes a connection after 5 s: one that both close at a time fails a question.
	t.IdleConnTimeout = 4 * time.Second
	return t
}
