//go:build soak

package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms/redistest"
)

// What the pods run with, beside what the run's settings say.
const (
	ping     = 2 * time.Second
	lease    = 4 * time.Second
	linger   = 6 * time.Second
	drain    = 4 * time.Second
	adminKey = "soak-soak-soak-soak"
)

// Settings are what a run is made of. The margin of a token, less what a clock is wrong by, has to be
// longer than a client needs to find its socket dead and another pod alive, and longer than a pod is
// stopped: that counts what ran out meanwhile, though its clients have left. So there is no reason for
// a lapse, whatever breaks.
type settings struct {
	name         string // to see it again
	clients      int
	ttl, refresh time.Duration // of tokens
	step         time.Duration // by which clocks are wrong at most; 0: they are right
	brief        bool          // doesn't wait for what the pods keep for minutes
	rounds       []round
}

// A world is all that runs, and what was seen of it.
type world struct {
	settings
	t        *testing.T
	dir      string // binary, keys and the pods' logs
	redis    *redistest.Server
	spare    *redistest.Server                      // has Redis's place when that fails over
	feeds    map[*redistest.Server]*redistest.Proxy // the way to each of the two for the other, as its replica
	app      *app
	pods     []*pod
	balancer *balancer
	keys     *keyring
	clients  []*client
	ledgers  []*ledger
	quiet    atomic.Bool // nobody talks

	mu          sync.Mutex // guards what follows
	wrongs      []string
	seen        map[int]bool // clients that something was wrong with
	events      []string     // faults, as they happened
	counts      map[string]int
	tokens      int
	least       time.Duration // that a token had left when it came
	broken      []outage
	down        []loss
	revocations map[int]*revocation // by client; there until some time after it was lifted
}

// An outage is when pods may have been apart. end is zero while it lasts.
type outage struct{ start, end time.Time }

// A loss is a pod that went down while it was apart: with it goes what it hadn't written. Where pod is
// "" Redis lost what it had before pods that had been apart could read it.
type loss struct {
	pod         string
	since, till time.Time
}

// A revocation is what operators decided about a client.
type revocation struct {
	user   string
	acked  map[string]time.Time // by pod: none of its tokens may be issued later
	lifted time.Time
}

var start = time.Now()

// clock is the time since the run began, as all of the report has it.
func clock(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%.3fs", at.Sub(start).Seconds())
}

func newWorld(t *testing.T, s settings) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "roompass-soak-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		settings: s, t: t, dir: dir, feeds: map[*redistest.Server]*redistest.Proxy{}, seen: map[int]bool{}, counts: map[string]int{},
		least: time.Hour, revocations: map[int]*revocation{},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the pods' logs are in %s", dir)
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	w.keys = &keyring{world: w}
	for _, of := range []**redistest.Server{&w.redis, &w.spare} {
		*of = redistest.Start(t, "--repl-diskless-sync-delay", "0")
		w.feeds[*of] = redistest.Through(*of)
	}
	w.app = startApp(t, w, "127.0.0.1:"+strconv.Itoa(redistest.FreePort(t)))
	args := []string{"build", "-o", w.path("roompass")}
	if s.step > 0 {
		args = append(args, withClocks(t, dir)...)
	}
	build := exec.Command("go", append(args, "github.com/roompass/roompass/cmd/roompass")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Mkdir(w.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.rotate(0)
	for _, name := range []string{"a", "b", "c"} {
		w.pods = append(w.pods, &pod{
			world: w, name: name, link: redistest.Through(w.redis),
			listen:   "127.0.0.1:" + strconv.Itoa(redistest.FreePort(t)),
			operator: "http://127.0.0.1:" + strconv.Itoa(redistest.FreePort(t)),
		})
	}
	for _, p := range w.pods {
		if s.step > 0 {
			p.step(0)
		}
		p.start()
		t.Cleanup(p.kill)
	}
	for _, p := range w.pods {
		p.awaitReady()
	}
	w.balancer = balance(t, w.pods)
	for n := range s.clients {
		if n%inRoom == 0 {
			w.ledgers = append(w.ledgers, newLedger(w, "soak-"+strconv.Itoa(n/inRoom)))
		}
		l := w.ledgers[n/inRoom]
		w.clients = append(w.clients, &client{world: w, n: n, user: "u" + strconv.Itoa(n), room: l.room, ledger: l})
	}
	return w
}

// lead is how long before a token the app is asked.
func (w *world) lead() time.Duration { return min(15*time.Second, w.refresh/4) }

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// wrong notes what must not be.
func (w *world) wrong(client int, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := "all"
	if client >= 0 {
		who = "client " + strconv.Itoa(client)
		w.seen[client] = true
	}
	w.wrongs = append(w.wrongs, fmt.Sprintf("%s %s: %s", clock(time.Now()), who, text))
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.wrongs) > 0
}

// happened notes a fault, or that it is over.
func (w *world) happened(format string, values ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, clock(time.Now())+" "+fmt.Sprintf(format, values...))
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) tookToken(left time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	w.least = min(w.least, left)
}

// breaks notes that pods may be apart from now on, until mended is called.
func (w *world) breaks() (mended func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.broken)
	w.broken = append(w.broken, outage{start: time.Now()})
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.broken[i].end = time.Now()
	}
}

// merging is how long after an outage a pod may still be writing what was said meanwhile.
const merging = 10 * time.Second

// has says whether pods may have been apart at a time by reason of it.
func (o outage) has(at time.Time) bool {
	return !at.Before(o.start) && (o.end.IsZero() || at.Before(o.end.Add(merging)))
}

// apart says whether pods may have been apart at a time.
func (w *world) apart(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, apart := w.apartSince(at)
	return apart
}

// apartSince says since when. The caller has w.mu.
func (w *world) apartSince(at time.Time) (since time.Time, apart bool) {
	for _, o := range w.broken {
		if o.has(at) && (!apart || o.start.Before(since)) {
			since, apart = o.start, true
		}
	}
	return since, apart
}

// goesDown notes that a pod goes down.
func (w *world) goesDown(pod string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if since, apart := w.apartSince(now); apart {
		w.down = append(w.down, loss{pod, since, now.Add(drain + 2*time.Second)})
	}
}

// redisForgets notes that Redis loses what it has.
func (w *world) redisForgets() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if since, apart := w.apartSince(now); apart {
		w.down = append(w.down, loss{"", since, now.Add(time.Second)})
	}
}

// together says whether two times are of one outage.
func (w *world) together(a, b time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.broken, func(o outage) bool { return o.has(a) && o.has(b) })
}

// wentDown says whether a signal may be lost with the pod that accepted it, or with Redis.
func (w *world) wentDown(s *signal) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.down, func(l loss) bool {
		return (l.pod == "" || l.pod == s.pod) && !s.acked.Before(l.since) && s.sent.Before(l.till)
	})
}

// from returns the pods, the one of that name first.
func (w *world) from(name string) []*pod {
	all := slices.Clone(w.pods)
	slices.SortStableFunc(all, func(a, b *pod) int {
		return map[bool]int{true: -1}[a.name == name] - map[bool]int{true: -1}[b.name == name]
	})
	return all
}

// named returns a pod; nil where there is none of that name.
func (w *world) named(name string) *pod {
	for _, p := range w.pods {
		if p.name == name {
			return p
		}
	}
	return nil
}

// mayBeOut says whether there is a reason for a client to be put out, or was until lately.
func (w *world) mayBeOut(c *client) bool { return w.wasRevoked(c.n) || w.app.refusedLately(c.user) }

// wasRevoked says whether a client is revoked, or was so until lately.
func (w *world) wasRevoked(client int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.revocations[client]
	return r != nil && (r.lifted.IsZero() || time.Since(r.lifted) < 20*time.Second)
}

// outSince says whether a token that a pod issued came after it had acknowledged the client's
// revocation: by the time it was issued, which is in whole seconds, or by when it came.
func (w *world) outSince(client int, pod string, issued, came time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.revocations[client]
	if r == nil || !r.lifted.IsZero() {
		return false
	}
	acked, ok := r.acked[pod]
	return ok && (issued.After(acked) || came.After(acked.Add(5*time.Second)))
}

// revoke puts a client out: each pod is asked, as operating.md says for an outage. A pod that
// doesn't answer hears of it from the others.
func (w *world) revoke(c *client) {
	r := &revocation{user: c.user, acked: map[string]time.Time{}}
	c.mu.Lock()
	c.revoked = true
	c.mu.Unlock()
	w.mu.Lock()
	w.revocations[c.n] = r
	w.mu.Unlock()
	for _, p := range w.pods {
		_, err := p.operate("POST", "/v1/revocations", map[string]any{"user": c.user, "for": "1h"})
		if err != nil {
			w.happened("pod %s didn't take the revocation of client %d: %v", p.name, c.n, err)
			continue
		}
		w.mu.Lock()
		r.acked[p.name] = time.Now()
		w.mu.Unlock()
	}
}

// lift lifts what is in force about a client, on all pods, and again until each of them has.
func (w *world) lift(c *client) error {
	c.mu.Lock()
	c.revoked, c.putOut = false, false
	c.mu.Unlock()
	w.mu.Lock()
	if r := w.revocations[c.n]; r != nil {
		r.lifted = time.Now()
	}
	w.mu.Unlock()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		var last error
		for _, p := range w.pods {
			body, err := p.operate("GET", "/v1/revocations?limit=1000", nil)
			if err != nil {
				last = err
				continue
			}
			var list struct {
				Revocations []struct{ ID, User string }
			}
			if err := json.Unmarshal(body, &list); err != nil {
				return err
			}
			for _, is := range list.Revocations {
				if is.User != c.user {
					continue
				}
				last = errors.New("it is lifted just now")
				if _, err := p.operate("DELETE", "/v1/revocations/"+is.ID, nil); err != nil {
					last = err
				}
			}
		}
		if last == nil {
			w.mu.Lock()
			if r := w.revocations[c.n]; r != nil {
				r.lifted = time.Now()
			}
			w.mu.Unlock()
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("client %d's revocation can't be lifted: %w", c.n, last)
		}
	}
}

// rotate puts a new private key into the pods' folder, whole at once.
func (w *world) rotate(n int) {
	dir, err := os.MkdirTemp(w.dir, "key-")
	if err == nil {
		var out []byte
		if out, err = exec.Command(w.path("roompass"), "keygen", "--out", filepath.Join(dir, "new")).CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, "new", "key.pem"), w.path(fmt.Sprintf("keys/%03d.pem", n)))
	}
	if err != nil {
		w.wrong(-1, "a new key: "+err.Error())
	}
}

// A pod is a roompass in a process of its own.
type pod struct {
	world    *world
	name     string
	link     *redistest.Proxy // its way to Redis
	listen   string
	operator string

	mu    sync.Mutex
	cmd   *exec.Cmd
	lives int
	ended chan struct{}
	stood time.Time // when it last went on after it stood still
	steps []step    // of its clock
}

// start starts it, again if it is the first time that it ends for want of Redis.
func (p *pod) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lives++
	log, err := os.OpenFile(p.world.path("pod-"+p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.world.wrong(-1, err.Error())
		return
	}
	defer log.Close()
	fmt.Fprintf(log, "--- life %d, started at %s\n", p.lives, clock(time.Now()))
	p.cmd = exec.Command(p.world.path("roompass"), "serve",
		"--key", p.world.path("keys"), "--access", "webhook", "--access-webhook", p.world.app.url(p.name), "--access-webhook-secret", appSecret,
		"--access-max-stale", maxStale.String(), "--admin-key", adminKey, "--redis", p.link.URL(), "--pod-id", p.name,
		"--listen", p.listen, "--admin-listen", strings.TrimPrefix(p.operator, "http://"),
		"--token-ttl", p.world.ttl.String(), "--token-refresh", p.world.refresh.String(), "--ping", ping.String(),
		"--lease", lease.String(), "--linger", linger.String(), "--drain", drain.String(),
		"--max-unauthenticated", "100000")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "SOAK_CLOCK="+p.clockFile())
	if err := p.cmd.Start(); err != nil {
		p.world.wrong(-1, err.Error())
		return
	}
	ended := make(chan struct{})
	p.ended = ended
	cmd := p.cmd
	go func() { _ = cmd.Wait(); close(ended) }()
}

func (p *pod) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// kill ends it as kill -9 does.
func (p *pod) kill() {
	p.signal(syscall.SIGKILL)
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	<-ended
}

// terminate ends it as a restart does, and says with which exit code.
func (p *pod) terminate() (int, error) {
	p.signal(syscall.SIGTERM)
	p.mu.Lock()
	ended, cmd := p.ended, p.cmd
	p.mu.Unlock()
	select {
	case <-ended:
		return cmd.ProcessState.ExitCode(), nil
	case <-time.After(drain + 30*time.Second):
		return 0, errors.New("it doesn't end")
	}
}

// up starts it, as often as it takes: a pod ends if it finds no Redis at its start. It waits
// until the pod answers, and says whether it does.
func (p *pod) up() bool {
	p.start()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := read(p.operator + "/readyz"); err == nil {
			return true
		}
		select {
		case <-p.ended:
			p.start()
		default:
		}
	}
	return false
}

func (p *pod) awaitReady() {
	p.world.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := read(p.operator + "/readyz")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			p.world.t.Fatalf("pod %s isn't ready: %v", p.name, err)
		}
	}
}

// operate calls the operator's API.
func (p *pod) operate(method, path string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, p.operator+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+adminKey)
	request.Header.Set("Content-Type", "application/json")
	return ask(request, 5*time.Second)
}

// metrics reads numbers without labels.
func (p *pod) metrics() (map[string]float64, error) {
	text, err := read(p.operator + "/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = n
		}
	}
	return all, nil
}

// summary is what was seen, in a few lines.
func (w *world) summary() string {
	var b strings.Builder
	var said, acknowledged, heard, expected, excused, turned int
	for _, l := range w.ledgers {
		l.mu.Lock()
		said, acknowledged, heard = said+l.counts.said, acknowledged+l.counts.acknowledged, heard+l.counts.heard
		expected, excused, turned = expected+l.counts.expected, excused+l.counts.excused, turned+l.counts.turned
		l.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&b, "%d signals sent, %d acknowledged, %d deliveries; %d were due without a gap, and came\n", said, acknowledged, heard, expected)
	fmt.Fprintf(&b, "%d excused, since their pod went down, or Redis lost them, or somebody joined, while pods were apart; %d heard after a later one, from a sender that changed pods then\n", excused, turned)
	fmt.Fprintf(&b, "%d tokens verified; one had %v left when it came, the others more\n", w.tokens, w.least.Round(time.Millisecond))
	w.app.mu.Lock()
	fmt.Fprintf(&b, "%d questions to the app\n", w.app.asked)
	w.app.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(w.counts)) {
		fmt.Fprintf(&b, "%d × %s\n", w.counts[what], what)
	}
	return b.String()
}
