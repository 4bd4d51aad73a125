package access

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheAppIsAskedAgainWhereThatMayHelp(t *testing.T) {
	resets := func(int, *http.Request) (*http.Response, error) { return nil, errors.New("reset") }
	for name, test := range map[string]struct {
		app   *fakeApp
		asked int
		says  string // "": there is an answer
	}{
		"an answer":               {saysInTurn(200), 1, ""},
		"a no":                    {saysInTurn(403), 1, "not allowed"},
		"down for a moment":       {saysInTurn(502, 503, 200), 3, ""},
		"down":                    {saysInTurn(500), 3, "status 500"},
		"not now":                 {saysInTurn(429, 408, 200), 3, ""},
		"never in time":           {saysInTurn(408), 3, "status 408"},
		"too many":                {saysInTurn(429), 3, "status 429"},
		"the connection breaks":   {&fakeApp{answer: resets}, 3, "the connection broke"},
		"it hangs":                {hangs(), 3, "it takes too long"},
		"not found":               {saysInTurn(404), 1, "status 404"},
		"it doesn't understand":   {saysInTurn(400), 1, "status 400"},
		"wrong after down":        {saysInTurn(503, 400), 2, "status 400"},
		"a redirect":              {saysInTurn(302), 1, "redirects"},
		"a redirect of a POST":    {saysInTurn(307), 1, "redirects"},
		"not modified":            {saysInTurn(304), 1, "redirects"},
		"another success":         {saysInTurn(201), 1, "status 201"},
		"no content":              {saysInTurn(204), 1, "status 204"},
		"not an answer":           {says(200, "<html>"), 1, "not a JSON object"},
		"an answer after a while": {saysInTurn(500, 500, 500, 200), 3, "status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := asks(t, test.app, nil).Admit(t.Context(), refreshes())
				if n := len(test.app.requests()); n != test.asked {
					t.Errorf("asked %d times, want %d", n, test.asked)
				}
				if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v; want it to say %q", err, test.says)
				}
				if err != nil && errors.Is(err, ErrNoAnswer) == errors.Is(err, ErrDenied) {
					t.Errorf("neither a no nor none: %v", err)
				}
				// Three timeouts, and pauses of 250 and 500 ms at most.
				if took := time.Since(began); took > 9*time.Second+750*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// RFC 9110, section 10.2.3. Who asks waits, so there is an end to it.
func TestTheAppSaysWhenToAskAgain(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, test := range map[string]struct {
		after func() string
		has   time.Duration // that its asker has
		asked int
		least time.Duration
	}{
		"in seconds":       {func() string { return "4" }, time.Minute, 3, 8 * time.Second},
		"by date":          {func() string { return date(4 * time.Second) }, time.Minute, 3, 8 * time.Second},
		"in the past":      {func() string { return date(-time.Hour) }, time.Minute, 3, 0},
		"at once":          {func() string { return "0" }, time.Minute, 3, 0},
		"in nonsense":      {func() string { return "soon" }, time.Minute, 3, 0},
		"a negative time":  {func() string { return "-5" }, time.Minute, 3, 0},
		"fits once":        {func() string { return "4" }, 6 * time.Second, 2, 4 * time.Second},
		"doesn't fit":      {func() string { return "7" }, 6 * time.Second, 1, 0},
		"too long for all": {func() string { return "3600" }, 2 * time.Hour, 1, 0},
		"for ever":         {func() string { return strings.Repeat("9", 30) }, time.Minute, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := &fakeApp{answer: func(int, *http.Request) (*http.Response, error) {
					return reply(503, "", "Retry-After", test.after()), nil
				}}
				ctx, cancel := context.WithTimeout(t.Context(), test.has)
				defer cancel()
				began := time.Now()
				_, err := asks(t, app, nil).Admit(ctx, refreshes())
				if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "503") {
					t.Errorf("%v", err)
				}
				took := time.Since(began)
				if n := len(app.requests()); n != test.asked || took < test.least || took > test.least+time.Second {
					t.Errorf("asked %d times in %v, want %d in %v", n, took, test.asked, test.least)
				}
			})
		})
	}
}

// Those who failed together don't come back together.
func TestPausesAreRandomFromNothingToABoundThatDoubles(t *testing.T) {
	var most [2]time.Duration
	least := [2]time.Duration{time.Hour, time.Hour}
	for range 1000 {
		p := newPauses(t.Context())
		p.Reset()
		for i := range most {
			d := p.NextBackOff()
			most[i], least[i] = max(most[i], d), min(least[i], d)
		}
	}
	for i, bound := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond} {
		if most[i] > bound+1 || most[i] < bound*9/10 || least[i] > bound/10 {
			t.Errorf("pause %d is from %v to %v, want from 0 to %v", i+1, least[i], most[i], bound)
		}
	}
}

func TestSoManyRequestsAtATimeAndNoMore(t *testing.T) {
	const most, askers = 3, 12
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, peak := 0, 0
		w := asks(t, &fakeApp{answer: func(int, *http.Request) (*http.Response, error) {
			mu.Lock()
			now++
			peak = max(peak, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return reply(200, "{}"), nil
		}}, func(c *WebhookConfig) { c.Concurrency = most })
		began := time.Now()
		var all sync.WaitGroup
		for i := range askers {
			all.Go(func() {
				if _, err := w.Admit(t.Context(), anotherRoom(i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		// One more, who doesn't wait for their turn.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := w.Admit(ctx, anotherRoom(askers)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAnswer) {
			t.Error(err)
		}
		all.Wait()
		if took := time.Since(began); peak != most || took != askers/most*time.Second {
			t.Errorf("%d at a time, in %v", peak, took)
		}
	})
}

// A crowd that waits for its turn doesn't knock at the door of an app that is
// found to be down meanwhile.
func TestThoseWhoWaitForTheirTurnLeaveTheAppAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := hangs()
		w := asks(t, app, func(c *WebhookConfig) { c.Concurrency = circuitFailures })
		began := time.Now()
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() { _, _ = w.Admit(t.Context(), anotherRoom(i)) })
		}
		all.Wait()
		// The first few, each to its end, and those whose turn came before the last of them.
		if n, took := len(app.requests()), time.Since(began); n >= (attempts+1)*circuitFailures || took > 14*time.Second {
			t.Errorf("asked %d times in %v", n, took)
		}
	})
}
