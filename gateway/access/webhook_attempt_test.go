package access

import (
	"context"
	"errors"
	"net/http"
	"strconv"
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

// turns records what an observer is told of the circuit.
type turns struct {
	mu   sync.Mutex
	open []bool
}

func (o *turns) observe(c *WebhookConfig) {
	c.Observe.Circuit = func(open bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.open = append(o.open, open)
	}
}

func (o *turns) are(t *testing.T, want ...bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.open) != len(want) || len(want) > 0 && o.open[len(want)-1] != want[len(want)-1] {
		t.Errorf("the circuit turned %v, want %v", o.open, want)
	}
}

// longestRest is when the circuit lets a question through at the latest.
const longestRest = circuitRest + circuitJitter + time.Nanosecond

func TestAnAppWithoutAnswersIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen turns
		app := saysInTurn(500)
		w := asks(t, app, seen.observe)
		admit := func() error {
			_, err := w.Admit(t.Context(), refreshes())
			return err
		}
		for range circuitFailures {
			if err := admit(); !errors.Is(err, ErrNoAnswer) {
				t.Fatal(err)
			}
		}
		asked := len(app.requests())
		if asked != attempts*circuitFailures {
			t.Errorf("asked %d times", asked)
		}
		seen.are(t, true)
		openedAt := time.Now()
		failsFast := func() {
			t.Helper()
			for range 3 {
				if err := admit(); !errors.Is(err, ErrCircuitOpen) || errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDenied) {
					t.Error(err)
				}
			}
			if n := len(app.requests()); n != asked {
				t.Errorf("asked %d times while open", n-asked)
			}
		}
		failsFast()
		time.Sleep(circuitRest - time.Since(openedAt))
		failsFast()

		// One is let through, and has no answer either.
		time.Sleep(longestRest - circuitRest)
		if err := admit(); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("the one that is let through: %v", err)
		}
		seen.are(t, true)
		asked = len(app.requests())
		failsFast()

		// The next has one.
		app.answer = says(200, "{}").answer
		time.Sleep(longestRest)
		for range 2 {
			if err := admit(); err != nil {
				t.Error(err)
			}
		}
		seen.are(t, true, false)
	})
}

func TestOnlyOneQuestionIsLetThroughToSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := saysInTurn(400)
		w := asks(t, app, nil)
		for range circuitFailures {
			_, _ = w.Admit(t.Context(), refreshes())
		}
		time.Sleep(longestRest)
		app.answer = func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200, "{}"), nil
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		open := 0
		for i := range 10 {
			all.Go(func() {
				if _, err := w.Admit(t.Context(), anotherRoom(i)); errors.Is(err, ErrCircuitOpen) {
					mu.Lock()
					defer mu.Unlock()
					open++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(app.requests()) - circuitFailures; n != 1 || open != 9 {
			t.Errorf("%d were let through, and %d failed fast", n, open)
		}
	})
}

func TestANoIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen turns
		app := &fakeApp{answer: func(n int, _ *http.Request) (*http.Response, error) {
			// Four failures, and a no.
			return reply([]int{403, 400, 400, 400, 400}[n%circuitFailures], "{}"), nil
		}}
		w := asks(t, app, seen.observe)
		for range 10 * circuitFailures {
			if _, err := w.Admit(t.Context(), refreshes()); errors.Is(err, ErrCircuitOpen) {
				t.Fatal(err)
			}
		}
		seen.are(t)
	})
}

// Who goes away says nothing of the app.
func TestThoseWhoGiveUpDoNotOpenTheCircuit(t *testing.T) {
	for name, app := range map[string]*fakeApp{"before the answer": hangs(), "in a pause": says(503, "", "Retry-After", "5")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen turns
				observed := 0
				w := asks(t, app, func(c *WebhookConfig) {
					seen.observe(c)
					c.Observe.Answered = func(Reason, string, time.Duration) { observed++ }
				})
				for range 2 * circuitFailures {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Second, cancel)
					_, err := w.Admit(ctx, refreshes())
					if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDenied) {
						t.Error(err)
					}
					synctest.Wait()
				}
				seen.are(t)
				if observed != 0 {
					t.Errorf("%d questions are observed", observed)
				}
			})
		})
	}
}

// The gateway's own patience may be shorter than an attempt: an app that hangs is
// found out all the same.
func TestAnAppThatHangsOpensTheCircuitWhoeverLosesPatience(t *testing.T) {
	for _, patience := range []time.Duration{time.Second, 4 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var seen turns
			w := asks(t, hangs(), seen.observe)
			for range circuitFailures {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				r := refreshes()
				r.Reason = Join
				if _, err := w.Admit(ctx, r); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "takes too long") {
					t.Error(err)
				}
				cancel()
			}
			seen.are(t, true)
		})
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

func TestIdenticalQuestionsForATokenShareOneAnswer(t *testing.T) {
	change := func(f func(*Request)) Request {
		r := refreshes()
		f(&r)
		return r
	}
	for name, test := range map[string]struct {
		other Request
		asked int
	}{
		"identical":              {refreshes(), 1},
		"of another room":        {change(func(r *Request) { r.Room = "den" }), 2},
		"of another session":     {change(func(r *Request) { r.Session = "s2" }), 2},
		"by another credential":  {change(func(r *Request) { r.Credential = "another" }), 2},
		"by other cookies":       {change(func(r *Request) { r.Header = http.Header{"Cookie": {"sid=2"}} }), 2},
		"by a header not shown":  {change(func(r *Request) { r.Header = http.Header{"Authorization": {"Basic YTpi"}} }), 1},
		"as a join, not a token": {change(func(r *Request) { r.Reason = Join }), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := &fakeApp{answer: func(n int, _ *http.Request) (*http.Response, error) {
					time.Sleep(time.Second)
					return reply(200, `{"data":`+strconv.Itoa(n)+`}`), nil
				}}
				w := asks(t, app, func(c *WebhookConfig) { c.Headers = []string{"Cookie"} })
				var all sync.WaitGroup
				for _, r := range []Request{refreshes(), test.other} {
					all.Go(func() {
						if a, err := w.Admit(t.Context(), r); err != nil || a.Grant.Room != r.Room {
							t.Errorf("%+v, %v", a, err)
						}
					})
				}
				all.Wait()
				if n := len(app.requests()); n != test.asked {
					t.Errorf("asked %d times, want %d", n, test.asked)
				}
				// What was true then need not be now.
				if a, err := w.Admit(t.Context(), refreshes()); err != nil || string(a.Data) != strconv.Itoa(test.asked+1) {
					t.Errorf("afterwards: %s, %v", a.Data, err)
				}
			})
		})
	}
}

// The one credential may be good for one use, and two joins are two questions.
func TestOtherQuestionsAreNotShared(t *testing.T) {
	for _, why := range []Reason{Connect, Join, Resume, Token} {
		synctest.Test(t, func(t *testing.T) {
			app := &fakeApp{answer: func(int, *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return reply(200, "{}"), nil
			}}
			w := asks(t, app, nil)
			r := refreshes()
			r.Reason = why
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					if _, err := w.ask(t.Context(), r); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := len(app.requests()); n != 2 {
				t.Errorf("%s: asked %d times", why, n)
			}
		})
	}
}

func TestWhoSharesAQuestionDoesNotLoseItWithWhoAskedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &fakeApp{answer: func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return reply(200, "{}"), nil
		}}
		w := asks(t, app, nil)
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := w.Admit(ctx, refreshes()); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := w.Admit(t.Context(), refreshes()); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { // who has no time
			short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := w.Admit(short, refreshes()); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		leave()
		all.Wait()
	})
}

func TestTheLastAnswerIsTheLastYesOrNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := saysInTurn(200)
		w := asks(t, app, nil)
		last := time.Now() // it began to ask
		for _, step := range []struct {
			code    int
			answers bool
		}{{400, false}, {200, true}, {500, false}, {401, true}, {403, true}, {302, false}, {200, true}, {404, false}} {
			time.Sleep(time.Minute)
			app.answer = saysInTurn(step.code).answer
			_, _ = w.Admit(t.Context(), refreshes())
			if step.answers {
				last = time.Now()
			}
			if got := w.Answered(); !got.Equal(last) {
				t.Errorf("after %d: %v, want %v", step.code, got, last)
			}
		}
	})
}

func TestAnObserverSeesEachResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		app := saysInTurn(200)
		w := asks(t, app, func(c *WebhookConfig) {
			c.Observe.Answered = func(why Reason, result string, took time.Duration) {
				got = append(got, string(why)+" "+result+" "+took.String())
			}
		})
		for _, code := range []int{200, 403, 400, 400, 400, 400, 400, 200} {
			app.answer = func(int, *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return reply(code, "{}"), nil
			}
			_, _ = w.Admit(t.Context(), refreshes())
		}
		want := "refresh yes 1s, refresh no 1s" + strings.Repeat(", refresh error 1s", 5) + ", refresh open 0s"
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("%s\nwant %s", all, want)
		}
	})
}
