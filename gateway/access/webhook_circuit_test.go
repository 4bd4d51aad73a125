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
		app := busy()
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
			if n%circuitFailures == 0 {
				return reply(403, "{}"), nil
			}
			return busy().answer(n, nil)
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

// Strangers whose credentials the app stumbles over don't keep it from the others.
func TestAnAppThatAnswersIsNotAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen turns
		app := &fakeApp{answer: func(n int, _ *http.Request) (*http.Response, error) {
			all := []struct {
				code int
				body string
			}{{400, "{}"}, {302, ""}, {200, "<html>"}, {404, ""}}
			is := all[n%len(all)]
			return reply(is.code, is.body), nil
		}}
		w := asks(t, app, seen.observe)
		for range 10 * circuitFailures {
			if _, err := w.Admit(t.Context(), refreshes()); !errors.Is(err, ErrNoAnswer) {
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
		for _, code := range []int{200, 403, 503, 503, 503, 503, 503, 200} {
			app.answer = func(int, *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return reply(code, "{}", "Retry-After", "60"), nil
			}
			_, _ = w.Admit(t.Context(), refreshes())
		}
		want := "refresh yes 1s, refresh no 1s" + strings.Repeat(", refresh error 1s", 5) + ", refresh open 0s"
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("%s\nwant %s", all, want)
		}
	})
}
