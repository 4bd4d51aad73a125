//go:build soak

package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// An app is what the pods ask who may enter, as docs/access.md has it. It takes everybody for who
// they say they are, and lets each into the room, but for those that it refuses for a time.
type app struct {
	world    *world
	listen   string
	verifier *standardwebhooks.Webhook

	mu       sync.Mutex // guards what follows
	server   *http.Server
	how      string // it is broken; "": it isn't
	over     chan struct{}
	was      []outage
	asked    int
	refusals map[string]*refusal // by user; there until some time after it was lifted
	yes      map[heard]time.Time // when a pod last heard that a user may be in the room
}

// A refusal is that the app doesn't let a user into the room any more.
type refusal struct {
	since, lifted time.Time
	told          map[string]time.Time // by pod: none of its tokens may be issued later
}

// heard is what a pod heard of a user.
type heard struct{ pod, user string }

const (
	appSecret = "whsec_c29hay1zb2FrLXNvYWstc29hay1zb2Fr"
	maxStale  = 10 * time.Minute // nothing that breaks the app lasts so long
)

func startApp(t testing.TB, w *world, listen string) *app {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(appSecret)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{world: w, listen: listen, verifier: verifier, refusals: map[string]*refusal{}, yes: map[heard]time.Time{}}
	a.start()
	t.Cleanup(a.stop)
	return a
}

// url is where a pod asks. Each has a path of its own, so that it is known who was told what.
func (a *app) url(pod string) string { return "http://" + a.listen + "/" + pod }

func (a *app) start() {
	l, err := net.Listen("tcp", a.listen)
	if err != nil {
		a.world.wrong(-1, "the app: "+err.Error())
		return
	}
	server := &http.Server{Handler: a}
	a.mu.Lock()
	a.server = server
	a.mu.Unlock()
	go func() { _ = server.Serve(l) }()
}

func (a *app) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.server.Close()
}

// breaks has the app be down, slow or erring for so long.
func (a *app) breaks(how string, lasts time.Duration) {
	over := make(chan struct{})
	a.mu.Lock()
	i := len(a.was)
	a.was = append(a.was, outage{start: time.Now()})
	a.how, a.over = how, over
	a.mu.Unlock()
	if how == "down" {
		a.stop()
	}
	time.Sleep(lasts)
	if how == "down" {
		a.start()
	}
	a.mu.Lock()
	a.how = ""
	close(over)
	a.was[i].end = time.Now()
	a.mu.Unlock()
}

// ServeHTTP answers a question by what is so when it comes.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := a.verifier.Verify(body, r.Header); err != nil {
		a.world.wrong(-1, fmt.Sprintf("a question that isn't a pod's: %v", err))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var q struct {
		Type string
		Data struct{ Reason, Room, User, Credential string }
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Type != "roompass.access" {
		a.world.wrong(-1, fmt.Sprintf("a question that can't be read: %s, %v", body, err))
		return
	}
	user, pod, came := q.Data.User, strings.TrimPrefix(r.URL.Path, "/"), time.Now()
	if q.Data.Reason == "connect" {
		user = q.Data.Credential
	}
	a.mu.Lock()
	a.asked++
	how, over := a.how, a.over
	is := a.refusals[user]
	refused := is != nil && is.lifted.IsZero() && q.Data.Reason != "connect"
	a.mu.Unlock()

	switch how {
	case "slow":
		select { // an attempt may take 3 s
		case <-time.After(rand.N(5 * time.Second)):
		case <-over:
		case <-r.Context().Done():
			return
		}
	case "hanging":
		select {
		case <-over:
		case <-r.Context().Done():
		}
		return
	case "erring":
		a.err(w)
		return
	}
	if refused {
		w.WriteHeader(http.StatusForbidden)
	} else {
		err = json.NewEncoder(w).Encode(map[string]any{"user_id": user})
	}
	if err != nil || q.Data.Reason == "connect" {
		return
	}
	_ = http.NewResponseController(w).Flush()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	switch last := a.yes[heard{pod, user}]; {
	case !refused:
		a.yes[heard{pod, user}] = now
	case is.told[pod].IsZero() && came.Sub(last) > 5*time.Second:
		// Sooner it may be about a socket that another one has the place of, and the yes about that one.
		is.told[pod] = now
	}
}

// err gives no answer, in one of the ways that access.md counts as such.
func (a *app) err(w http.ResponseWriter) {
	switch rand.N(6) {
	case 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	case 1:
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		w.WriteHeader(http.StatusBadRequest)
	case 3:
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	case 4:
		_, _ = io.WriteString(w, `{"user_id":`)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// refuse has the app let a client into its room no more.
func (a *app) refuse(c *client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if is := a.refusals[c.user]; is != nil && is.lifted.IsZero() {
		return
	}
	a.refusals[c.user] = &refusal{since: time.Now(), told: map[string]time.Time{}}
}

// admit has the app let it in again.
func (a *app) admit(c *client) {
	a.mu.Lock()
	if is := a.refusals[c.user]; is != nil && is.lifted.IsZero() {
		is.lifted = time.Now()
	}
	a.mu.Unlock()
	c.mu.Lock()
	c.putOut = c.revoked
	c.mu.Unlock()
}

// refuses says whether the app refuses a user.
func (a *app) refuses(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.refusals[user]
	return is != nil && is.lifted.IsZero()
}

// refusedLately says whether it does, or did until lately.
func (a *app) refusedLately(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.refusals[user]
	return is != nil && (is.lifted.IsZero() || time.Since(is.lifted) < 30*time.Second)
}

// forget has a pod not have been told a thing: it is started anew.
func (a *app) forget(pod string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, is := range a.refusals {
		delete(is.told, pod)
	}
}

// outSince says why a token that a pod issued for a user must not have been issued; "": it may.
func (a *app) outSince(user string, p *pod, issued time.Time) string {
	p.mu.Lock()
	stood := p.stood
	p.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.refusals[user]
	if is == nil || !is.lifted.IsZero() {
		return ""
	}
	const busy = 2 * time.Second // that a pod may take to read an answer
	if told := is.told[p.name]; !told.IsZero() && issued.After(latest(told, stood).Add(busy)) {
		return fmt.Sprintf("the app had told the pod at %s that the client may not be in the room", clock(told))
	}
	// Without a word to the contrary the app is asked before each token, and about everybody within
	// 15 s when it is back.
	by := is.since.Add(a.world.refresh)
	for _, was := range a.was {
		switch {
		case was.end.IsZero():
			return ""
		case was.end.After(is.since.Add(-15 * time.Second)):
			by = latest(by, was.end.Add(15*time.Second))
		}
	}
	if by = latest(by, stood.Add(a.world.lead())); issued.After(by.Add(8 * time.Second)) {
		return fmt.Sprintf("the app refuses the client since %s, and could be asked", clock(is.since))
	}
	return ""
}

func latest(all ...time.Time) time.Time { return slices.MaxFunc(all, time.Time.Compare) }
