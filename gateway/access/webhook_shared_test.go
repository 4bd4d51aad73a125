package access

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
