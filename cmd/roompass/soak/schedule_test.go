//go:build soak

package soak

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A fault is one thing that breaks, and for how long. What it means beyond that is drawn from
// pick, so that all of it is the seed's.
type fault struct {
	at    time.Duration // since the round began; later, if the lane's last one took longer
	what  string
	pod   int
	lasts time.Duration
	pick  uint64
}

func (f fault) String() string {
	return fmt.Sprintf("at %-6s %s, pod %c, for %s", f.at.Round(10*time.Millisecond), f.what, 'a'+f.pod, f.lasts.Round(10*time.Millisecond))
}

// A round is what breaks in one, in lanes: one fault of a lane comes after the other, and the
// lanes go on beside one another.
type round [][]fault

func (r round) String() string {
	var b strings.Builder
	for _, lane := range r {
		for _, f := range lane {
			fmt.Fprintf(&b, "  %v\n", f)
		}
	}
	return b.String()
}

const stepClock = "set a pod's clock wrong"

// kinds are the faults, by lane, with the longest time that each lasts.
var kinds = [][]struct {
	what string
	most time.Duration
}{
	{
		{"kill a pod", 8 * time.Second},
		{"stop a pod", 14 * time.Second},
		{"restart the pods, one after the other", 0},
		{"cut a pod's clients off", 0},
		{"freeze a pod's clients", 12 * time.Second},
		{"slow down a pod's clients", 10 * time.Second},
		{"have clients read nothing", 6 * time.Second},
	},
	{
		{"restart Redis, empty", 8 * time.Second},
		{"hang Redis", 12 * time.Second},
		{"empty Redis", 0},
		{"cut a pod off Redis", 0},
		{"freeze a pod's way to Redis", 12 * time.Second},
		{"mute a pod's subscription", 0},
		{"fail Redis over", 5 * time.Second},
	},
	{
		{"revoke clients, and lift it", 15 * time.Second},
		{"the app refuses clients, and takes it back", 30 * time.Second},
		{"sign with a new key", 0},
	},
	{
		{"the app is down", 15 * time.Second},
		{"the app is slow", 15 * time.Second},
		{"the app is hanging", 15 * time.Second},
		{"the app is erring", 15 * time.Second},
	},
	{ // the last lane: not every binary has a clock that can be set
		{stepClock, 20 * time.Second},
	},
}

// draw draws a round that breaks things for so long. Each lane is drawn from a seed of its own, so that
// one more kind of fault changes its own lane only.
func draw(seed, n uint64, lasts time.Duration) round {
	var r round
	for i, of := range kinds {
		random := rand.New(rand.NewPCG(seed, n<<8|uint64(i)))
		var lane []fault
		for at := time.Duration(random.Int64N(int64(5 * time.Second))); at < lasts; {
			kind := of[random.IntN(len(of))]
			f := fault{at: at, what: kind.what, pod: random.IntN(3), pick: random.Uint64()}
			if kind.most > 0 {
				f.lasts = time.Duration(random.Int64N(int64(kind.most)))
			}
			lane = append(lane, f)
			at += f.lasts + time.Second + time.Duration(random.Int64N(int64(9*time.Second)))
		}
		r = append(r, lane)
	}
	return r
}

// through goes through a round, and returns when all of it is mended.
func (w *world) through(r round) {
	began := time.Now()
	var lanes sync.WaitGroup
	for _, lane := range r {
		lanes.Go(func() {
			for _, f := range lane {
				time.Sleep(time.Until(began.Add(f.at)))
				w.happened("%s, pod %s, for %v", f.what, w.pods[f.pod].name, f.lasts.Round(time.Millisecond))
				w.strike(f)
				w.happened("over: %s", f.what)
			}
		})
	}
	lanes.Wait()
}

func (w *world) strike(f fault) {
	p := w.pods[f.pod]
	random := rand.New(rand.NewPCG(f.pick, 0))
	switch f.what {
	case "kill a pod":
		w.goesDown(p.name)
		p.kill()
		time.Sleep(f.lasts)
		w.comesUp(p)
	case "stop a pod":
		// When it goes on, what it waits for from Redis is late: it is apart for a moment.
		w.apartFor(f.lasts, func() { p.signal(syscall.SIGSTOP) }, func() { p.signal(syscall.SIGCONT) })
		p.mu.Lock()
		p.stood = time.Now()
		p.mu.Unlock()
	case "restart the pods, one after the other":
		for _, p := range w.pods {
			w.goesDown(p.name)
			if code, err := p.terminate(); err != nil || code != 0 {
				w.wrong(-1, fmt.Sprintf("pod %s at SIGTERM: exit code %d, %v", p.name, code, err))
				p.kill()
			}
			w.comesUp(p)
		}
	case "cut a pod's clients off":
		w.balancer.cut(p)
	case "freeze a pod's clients":
		w.balancer.freeze(p, true)
		time.Sleep(f.lasts)
		w.balancer.freeze(p, false)
	case "slow down a pod's clients":
		w.balancer.slow(p, time.Duration(random.IntN(400))*time.Millisecond)
		time.Sleep(f.lasts)
		w.balancer.slow(p, 0)
	case "have clients read nothing":
		until := time.Now().Add(f.lasts)
		for range 1 + len(w.clients)/20 {
			c := w.clients[random.IntN(len(w.clients))]
			c.mu.Lock()
			c.stalled = until
			c.note("reads nothing until %s", clock(until))
			c.mu.Unlock()
		}
		time.Sleep(f.lasts)

	case "restart Redis, empty":
		w.redisForgets()
		w.apartFor(f.lasts, w.redis.Kill, w.redis.Restart)
	case "hang Redis":
		w.apartFor(f.lasts, w.redis.Freeze, w.redis.Thaw)
	case "empty Redis":
		w.redisForgets()
		w.apartFor(0, func() { w.redis.Do("FLUSHALL") }, nil)
	case "cut a pod off Redis":
		w.apartFor(0, p.link.Cut, nil)
	case "freeze a pod's way to Redis":
		w.apartFor(f.lasts, p.link.Freeze, p.link.Thaw)
	case "mute a pod's subscription":
		p.link.Mute()
	case "fail Redis over":
		w.failOver(f.lasts, time.Duration(random.Int64N(int64(2*time.Second)))*time.Duration(random.IntN(2)))

	case "revoke clients, and lift it":
		var out []*client
		for range 1 + len(w.clients)/50 {
			out = append(out, w.clients[random.IntN(len(w.clients))])
		}
		for _, c := range out {
			w.revoke(c)
		}
		time.Sleep(f.lasts)
		for _, c := range out {
			if err := w.lift(c); err != nil {
				w.wrong(c.n, err.Error())
			}
		}
	case "the app refuses clients, and takes it back":
		var out []*client
		for range 1 + len(w.clients)/50 {
			out = append(out, w.clients[random.IntN(len(w.clients))])
		}
		for _, c := range out {
			w.app.refuse(c)
		}
		time.Sleep(f.lasts)
		for _, c := range out {
			w.app.admit(c)
		}
	case "sign with a new key":
		w.mu.Lock()
		w.counts["new keys"]++
		n := w.counts["new keys"]
		w.mu.Unlock()
		w.rotate(n)

	case "the app is down", "the app is slow", "the app is hanging", "the app is erring":
		w.app.breaks(strings.TrimPrefix(f.what, "the app is "), f.lasts)

	case stepClock:
		by := time.Duration(random.Int64N(int64(2*w.step))) - w.step
		w.happened("pod %s's clock is wrong by %v", p.name, by)
		p.step(by)
		time.Sleep(f.lasts)
		p.step(0)
	}
}

// failOver has the other server have Redis's place, at the same address, as where that is a
// balancer's. It was Redis's replica, and lacks what was written last for as long as it lagged.
func (w *world) failOver(lasts, lagged time.Duration) {
	feed := w.feeds[w.redis]
	w.spare.Do("REPLICAOF", "127.0.0.1", feed.Port())
	w.spare.Eventually("the replica follows", func() bool {
		return strings.Contains(w.spare.Do("INFO", "replication"), "master_link_status:up")
	})
	feed.Freeze()
	time.Sleep(lagged)
	w.redisForgets()
	w.apartFor(lasts, w.redis.Kill, func() {
		w.spare.Do("REPLICAOF", "NO", "ONE")
		feed.Cut()
		feed.Thaw()
		for _, p := range w.pods {
			p.link.To(w.spare)
		}
		w.redis.Restart()
		w.redis, w.spare = w.spare, w.redis
	})
}

// apartFor breaks what the pods share, and mends it after a time; nil: it mends itself.
func (w *world) apartFor(lasts time.Duration, breakIt, mend func()) {
	mended := w.breaks()
	defer mended()
	breakIt()
	if mend != nil {
		time.Sleep(lasts)
		mend()
	}
}

func (w *world) comesUp(p *pod) {
	w.app.forget(p.name)
	// What was acknowledged by its earlier life no longer says that this one knows of it, if
	// Redis was emptied meanwhile: it hears of it from the others, within seconds.
	w.mu.Lock()
	for _, r := range w.revocations {
		delete(r.acked, p.name)
	}
	w.mu.Unlock()
	if !p.up() {
		w.wrong(-1, fmt.Sprintf("pod %s doesn't come up again", p.name))
	}
}
