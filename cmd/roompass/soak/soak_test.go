//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	inRoom   = 10               // clients
	breaking = 45 * time.Second // of a round
	bounded  = 90 * time.Second // in which all has to be well after the last fault
	leaving  = 4 * time.Minute  // in which nothing may be left of clients that are gone: a room is kept open for two minutes after an outage
	soon     = time.Minute      // in which all is gone but for rooms
)

// All along:
//
//   - the newest token that a connected client holds has never run out. It is connected from
//     welcome or joined until its socket ends, or nothing came for twice the time between pings;
//   - each token holds when it comes, by the pods' JWKS, and is for this person in this room;
//   - a pod that has acknowledged a revocation issues no token for the user any more, and neither
//     does one whose app has said no, or says no to whoever asks;
//   - nobody else is put out, whatever becomes of the app;
//   - nobody hears a signal twice, in another order than it was said in, or that was for
//     somebody else, and a cursor means the same signal to all. Around a gap a signal may come
//     again, as docs/protocol.md says;
//   - each session is resumed, and no socket is closed with a code that has no reason.
//
// At the end of each round, when all is mended, within a bounded time:
//
//   - all clients are in their rooms, and who is there is the same by each client, by the
//     operator's API of each pod, and by the sockets;
//   - each signal that was acknowledged has come to all who were in the room since it was sent,
//     and weren't told of a gap. It may be lost with a pod that went down while it was apart
//     from the others, if that is where it was acknowledged, and with a Redis that loses what it
//     has before pods that were apart have read it. Who joins while pods are apart hears of the
//     others what is said after that;
//   - no pod counts a lapse, and all are ready.
//
// At last, when all clients have left: no member, goroutine, open file or key without an end
// is there any more.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("DURATION"))
	if err != nil {
		t.Fatalf("DURATION: %v", err)
	}
	seed := uint64(time.Now().UnixNano() % 1_000_000)
	if text := os.Getenv("SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	clients := 100
	if text := os.Getenv("CLIENTS"); text != "" {
		if clients, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CLIENTS: %v", err)
		}
	}
	ttl := 30 * time.Second
	if text := os.Getenv("TTL"); text != "" {
		if ttl, err = time.ParseDuration(text); err != nil {
			t.Fatalf("TTL: %v", err)
		}
	}
	s := settings{
		name:    fmt.Sprintf("make soak SEED=%d DURATION=%v CLIENTS=%d TTL=%v", seed, lasts, clients, ttl),
		clients: clients, ttl: ttl, refresh: ttl / 3, step: ttl / 10,
	}
	for n := range max(1, int(lasts/(breaking+15*time.Second))) {
		s.rounds = append(s.rounds, draw(seed, uint64(n), breaking))
	}
	soak(t, s)
}

// TestBrief is one round of the same, brief enough to be run with all tests. Tokens have 30 s to
// spare, so that a busy machine doesn't make one lapse; clocks are right, as the binary for wrong ones takes
// minutes to build; and it doesn't wait for rooms that are kept open after an outage.
func TestBrief(t *testing.T) {
	const seed, lasts = 13, 18 * time.Second
	r := draw(seed, 0, lasts)
	soak(t, settings{
		name:    "make test-soak",
		clients: 60, ttl: 40 * time.Second, refresh: 8 * time.Second, brief: true, rounds: []round{r[:len(r)-1]}, // but for clocks
	})
}

func soak(t *testing.T, s settings) {
	fmt.Fprintf(os.Stderr, "soak: %s: %d rounds\n", s.name, len(s.rounds))
	w := newWorld(t, s)
	before := w.usage()
	alive, leave := context.WithCancel(context.Background())
	stop := make(chan struct{})
	var running, looking sync.WaitGroup
	looking.Go(func() { w.look(stop) })
	for _, c := range w.clients {
		running.Go(func() { c.live(alive) })
		running.Go(func() { w.talk(alive, c) })
		time.Sleep(3 * time.Millisecond)
	}
	w.settle("all have come")
	for i, r := range s.rounds {
		if w.failed() {
			break
		}
		w.happened("round %d of %d", i+1, len(s.rounds))
		w.through(r)
		w.happened("all is mended")
		took := w.settle(fmt.Sprintf("after round %d", i+1))
		fmt.Fprintf(os.Stderr, "soak: round %d of %d, all well after %v\n", i+1, len(s.rounds), took.Round(time.Millisecond))
	}
	close(stop)
	looking.Wait()
	leave()
	running.Wait()
	if !w.failed() {
		w.nothingIsLeft(before)
	}
	t.Logf("%s\n%s", s.name, w.summary())
	if w.failed() {
		w.report()
	}
}

// look looks at all clients, five times a second.
func (w *world) look(stop <-chan struct{}) {
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
		now := time.Now()
		if late := now.Sub(last); late > time.Second {
			w.happened("this process stood still for %v", late)
		}
		last = now
		for _, c := range w.clients {
			c.look(now)
		}
	}
}

// talk has a client say something now and then.
func (w *world) talk(ctx context.Context, c *client) {
	random := rand.New(rand.NewPCG(uint64(c.n), 0))
	pad := strings.Repeat("x", 200)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(random.Int64N(int64(6 * time.Second)))):
		}
		if !w.quiet.Load() {
			c.talk(random, pad)
		}
	}
}

// settle waits, in silence, until all is as it should be, for a bounded time.
func (w *world) settle(when string) time.Duration {
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	began := time.Now()
	var not []string
	for well := 0; well < 2; {
		not = w.amiss()
		if well++; len(not) > 0 {
			well = 0
		}
		if time.Since(began) > bounded {
			for _, text := range not {
				w.wrong(-1, fmt.Sprintf("%s, and %v: %s", when, bounded, text))
			}
			return time.Since(began)
		}
		time.Sleep(500 * time.Millisecond)
	}
	for _, l := range w.ledgers {
		l.settled()
	}
	return time.Since(began)
}

const most = 20 // things of a kind that are listed

// amiss says what isn't as it should be when nothing is broken.
func (w *world) amiss() (all []string) {
	not := func(format string, values ...any) {
		if len(all) < most {
			all = append(all, fmt.Sprintf(format, values...))
		}
	}
	want := map[string][]string{}
	for _, c := range w.clients {
		want[c.room] = append(want[c.room], c.user)
	}
	for _, users := range want {
		slices.Sort(users)
	}
	for _, p := range w.pods {
		is, err := p.metrics()
		switch {
		case err != nil:
			not("pod %s: %v", p.name, err)
			continue
		case is["roompass_token_lapses_total"] > 0:
			not("pod %s counts %v lapses", p.name, is["roompass_token_lapses_total"])
		case is["roompass_degraded"] > 0:
			not("pod %s is degraded", p.name)
		}
		if _, err := read(p.operator + "/readyz"); err != nil {
			not("pod %s isn't ready: %v", p.name, err)
		}
	}
	for _, c := range w.clients {
		c.mu.Lock()
		switch users := c.users(); {
		case !c.in:
			not("client %d isn't in", c.n)
		case len(c.pending) > 0:
			not("client %d has no answer to %d signals", c.n, len(c.pending))
		case !slices.Equal(users, want[c.room]):
			not("client %d sees %v in %s, want %v", c.n, users, c.room, want[c.room])
		}
		c.mu.Unlock()
	}
	for _, l := range w.ledgers {
		for _, text := range l.missing(most) {
			not("%s", text)
			w.sees(text)
		}
	}
	if len(all) > 0 {
		return all // asking all pods for all rooms is dear
	}
	for _, p := range w.pods {
		for _, l := range w.ledgers {
			body, err := p.operate("GET", "/v1/rooms/"+url.PathEscape(l.room)+"?limit=1000", nil)
			if err != nil {
				not("%v", err)
				continue
			}
			var is struct{ Members []member }
			if err := json.Unmarshal(body, &is); err != nil {
				not("%v", err)
			}
			var users []string
			for _, m := range is.Members {
				users = append(users, m.User)
			}
			slices.Sort(users)
			if !slices.Equal(users, want[l.room]) {
				not("pod %s says %v is in %s, want %v", p.name, users, l.room, want[l.room])
			}
		}
	}
	return all
}

// sees notes of which clients a text is.
func (w *world) sees(text string) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, word := range words[:len(words)-1] {
		if n, err := strconv.Atoi(words[i+1]); word == "client" && err == nil {
			w.seen[n] = true
		}
	}
}

// users are those that the client sees in its room. The caller has c.mu.
func (c *client) users() (all []string) {
	for _, user := range c.members {
		all = append(all, user)
	}
	slices.Sort(all)
	return all
}

// usage is how many goroutines and files the pods have, at most.
func (w *world) usage() (is struct{ goroutines, files float64 }) {
	for _, p := range w.pods {
		m, err := p.metrics()
		if err != nil {
			w.t.Fatal(err)
		}
		is.goroutines, is.files = max(is.goroutines, m["go_goroutines"]), max(is.files, m["process_open_fds"])
	}
	return is
}

// nothingIsLeft waits until all that the clients took is given back.
func (w *world) nothingIsLeft(before struct{ goroutines, files float64 }) {
	// A pod keeps the connections to Redis that it needed at once, 48 at most, and those that subscribe.
	const pool = 60
	// It keeps the goroutines that did requests at once, 256 at most. A leak is one for each connection or
	// request, of which there are many more than clients.
	workers := float64(min(256, len(w.clients)))
	most := leaving
	if w.brief {
		most = soon
	}
	began := time.Now()
	var not []string
	for end := began.Add(most); ; time.Sleep(time.Second) {
		not = nil
		is := w.usage()
		if is.goroutines > before.goroutines+workers+10 {
			not = append(not, fmt.Sprintf("a pod has %v goroutines; it had %v before anybody came", is.goroutines, before.goroutines))
		}
		if is.files > before.files+pool {
			not = append(not, fmt.Sprintf("a pod has %v files open; it had %v before anybody came", is.files, before.files))
		}
		for _, p := range w.pods {
			m, err := p.metrics()
			if w.brief && m != nil {
				m["roompass_rooms"] = 0
			}
			if err != nil || m["roompass_members"]+m["roompass_rooms"]+m["roompass_connections"]+m["roompass_queue_bytes"] > 0 {
				not = append(not, fmt.Sprintf("pod %s has %v members in %v rooms, %v connections, %v bytes queued, %v",
					p.name, m["roompass_members"], m["roompass_rooms"], m["roompass_connections"], m["roompass_queue_bytes"], err))
			}
		}
		if !w.brief {
			not = append(not, w.endless()...)
		}
		if len(not) == 0 {
			fmt.Fprintf(os.Stderr, "soak: nothing is left after %v\n", time.Since(began).Round(time.Second))
			w.happened("all have left: %v goroutines and %v files, before anybody came %v and %v", is.goroutines, is.files, before.goroutines, before.files)
			return
		}
		if time.Now().After(end) {
			for _, text := range not {
				w.wrong(-1, fmt.Sprintf("%v after all have left: %s", most, text))
			}
			return
		}
	}
}

// endless are the keys in Redis that stay although nobody is there.
func (w *world) endless() (all []string) {
	for _, key := range strings.Fields(strings.Trim(w.redis.Do("KEYS", "*"), "[]")) {
		switch {
		case strings.HasPrefix(key, "roompass:{pods}:"), strings.HasPrefix(key, "roompass:{rules}:"):
			continue // of the pods and the rules, which are there
		}
		if w.redis.Do("TTL", key) == "-1" {
			all = append(all, fmt.Sprintf("%s has no end", key))
		}
	}
	return all[:min(len(all), most)]
}

// report says all that is known about a run that failed.
func (w *world) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "to see it again: %s\n\nwhat the seed has:\n", w.name)
	for i, r := range w.rounds {
		fmt.Fprintf(&b, " round %d\n%v", i+1, r)
	}
	fmt.Fprintf(&b, "\nwhat was done:\n  %s\n", strings.Join(w.events, "\n  "))
	fmt.Fprintf(&b, "\nwho saw what (%d of %d things that are wrong):\n  %s\n", min(len(w.wrongs), 3*most), len(w.wrongs),
		strings.Join(w.wrongs[:min(len(w.wrongs), 3*most)], "\n  "))
	shown := 0
	for _, c := range w.clients {
		if !w.seen[c.n] || shown == most {
			continue
		}
		shown++
		c.mu.Lock()
		fmt.Fprintf(&b, "\nclient %d in %s:\n  %s\n", c.n, c.room, strings.Join(c.diary, "\n  "))
		c.mu.Unlock()
	}
	w.t.Error(b.String())
}
