package policy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms/redistest"
)

// byChannelAlone is a Poll that never comes.
const byChannelAlone = time.Hour

func dial(t testing.TB, urls string, database int) redis.UniversalClient {
	t.Helper()
	var addrs []string
	var user, password string
	for text := range strings.SplitSeq(urls, ",") {
		o, err := redis.ParseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		addrs, user, password = append(addrs, o.Addr), o.Username, o.Password
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: addrs, DB: database, Username: user, Password: password, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func testLogger() *slog.Logger {
	if os.Getenv("VERBOSE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// pod is one pod's rules, and what it was told.
type pod struct {
	*policy.Shared
	*ear
}

func startPod(t testing.TB, url string, poll time.Duration) pod {
	t.Helper()
	return startPodOf(t, policy.SharedConfig{Client: dial(t, url, 0), Poll: poll})
}

func startPodOf(t testing.TB, c policy.SharedConfig) pod {
	t.Helper()
	c.Logger = testLogger()
	r, err := policy.NewShared(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	p := pod{r, new(ear)}
	p.Follow(p.hear)
	return p
}

const channel = "roompass:{rules}:news"

// listening waits until n pods follow the channel.
func listening(s *redistest.Server, n int) {
	s.Eventually(fmt.Sprint(n, " pods listen"), func() bool {
		return s.Do("PUBSUB", "SHARDNUMSUB", channel) == fmt.Sprintf("[%s %d]", channel, n)
	})
}

// revokedOn says whether a user may not be there, by each pod.
func revokedOn(user string, pods ...pod) (all []bool) {
	for _, p := range pods {
		all = append(all, p.On(user, "", "").Revoked)
	}
	return all
}

// agreed says whether that is so, or isn't, on all pods.
func agreed(is bool, user string, pods ...pod) func() bool {
	return func() bool {
		for _, on := range revokedOn(user, pods...) {
			if on != is {
				return false
			}
		}
		return true
	}
}

// alone sets a rule while Redis is out of reach.
func alone(t testing.TB, p pod, r policy.Rule) policy.Rule {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	stand, err := p.Set(ctx, r)
	if !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("set alone: %v", err)
	}
	if got := p.On(r.User, r.Member, r.Room).Revoked; got != r.Value {
		t.Fatalf("it doesn't count here: %v", got)
	}
	nextMilli() // so that what comes next is later
	return stand[0]
}

func TestAllPodsHearAtOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b, c := startPod(t, s.URL(), byChannelAlone), startPod(t, s.URL(), byChannelAlone), startPod(t, s.URL(), byChannelAlone)
	listening(s, 3)
	stand := set(t, a, in(time.Hour, revoked("eve", "")),
		in(time.Hour, policy.Rule{Kind: policy.KickUsers, Member: "m", Room: "lobby", Value: true}),
		in(time.Hour, policy.Rule{Kind: policy.Drained, Target: "p", Value: true}))
	for _, p := range []pod{a, b, c} {
		s.Eventually("it is heard", func() bool { return len(p.all()) == 3 })
		if diff := cmp.Diff([][]policy.Rule{stand}, p.batches); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(policy.Verdict{Revoked: true, Until: stand[0].Until}, p.On("eve", "", "lobby")); diff != "" {
			t.Error(diff)
		}
		if got := p.On("", "m", "lobby").KickUsers; got == nil || !*got {
			t.Error("a member's right doesn't count")
		}
	}
	set(t, b, in(time.Hour, lifted("eve", "")))
	s.Eventually("it is lifted", agreed(false, "eve", a, b, c))
	left := slices.SortedFunc(slices.Values(stand[1:]), func(a, b policy.Rule) int { return strings.Compare(a.ID(), b.ID()) })
	for _, p := range []pod{a, b, c} {
		if diff := cmp.Diff(left, p.List()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestALostSubscriptionIsMadeUpForInFiveSeconds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := startPod(t, s.URL(), 0), startPod(t, s.URL(), 0)
	listening(s, 2)
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	began := time.Now()
	set(t, a, in(time.Hour, revoked("eve", "")))
	s.Eventually("it is heard", agreed(true, "eve", a, b))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
	listening(s, 2)
}

// The connection looks as if nobody decided anything.
func TestASubscriptionThatDiesWithoutASign(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.Through(s)
	a, b := startPod(t, s.URL(), 0), startPod(t, p.URL(), time.Second)
	listening(s, 2)
	before := subscribers(s)
	p.Mute()
	began := time.Now()
	set(t, a, in(time.Hour, revoked("eve", "")))
	s.Eventually("it is heard", agreed(true, "eve", b))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
	s.Eventually("it listens again", func() bool {
		for id := range subscribers(s) {
			if !before[id] {
				return true
			}
		}
		return false
	})
}

// subscribers are the ids of the connections that have subscribed.
func subscribers(s *redistest.Server) map[string]bool {
	ids := map[string]bool{}
	for line := range strings.Lines(s.Do("CLIENT", "LIST", "TYPE", "pubsub")) {
		id, _, _ := strings.Cut(line, " ")
		ids[id] = true
	}
	return ids
}

// What one pod knows Redis has again, without anybody's being told of anything.
func TestRulesOutliveRedis(t *testing.T) {
	for name, forget := range map[string]func(s *redistest.Server){
		"emptied":              func(s *redistest.Server) { s.Do("FLUSHALL") },
		"restarted empty":      func(s *redistest.Server) { s.Kill(); s.Restart() },
		"its history lost":     func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:history") },
		"its rules evicted":    func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:rules") },
		"its versions evicted": func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:versions") },
		"its ends evicted":     func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:ends") },
		"its chains evicted":   func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:chains") },
		"half emptied":         func(s *redistest.Server) { s.Do("DEL", "roompass:{rules}:rules", "roompass:{rules}:history") },
		"emptied, and used":    func(s *redistest.Server) { s.Do("FLUSHALL"); s.Do("SET", "roompass:{rules}", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			a, b := startPod(t, s.URL(), 100*time.Millisecond), startPod(t, s.URL(), 100*time.Millisecond)
			listening(s, 2)
			set(t, a, in(time.Hour, revoked("eve", "")), in(time.Hour, lifted("bob", "")), in(time.Hour, revoked("carl", "")))
			s.Eventually("they are heard", func() bool { return len(b.all()) == 3 })
			forget(s)
			s.Eventually("they are there again", func() bool {
				return s.Do("HLEN", "roompass:{rules}:rules") == "3" && s.Do("EXISTS", "roompass:{rules}:history") == "1" &&
					s.Do("ZCARD", "roompass:{rules}:versions") == "3" && s.Do("ZCARD", "roompass:{rules}:ends") == "3"
			})
			late := startPod(t, s.URL(), byChannelAlone)
			if diff := cmp.Diff(a.List(), late.List()); diff != "" {
				t.Error(diff)
			}
			set(t, b, in(time.Hour, lifted("carl", "")))
			s.Eventually("all goes on", agreed(false, "carl", a, b, late))
			s.Eventually("a was told of each change once", func() bool { return len(a.all()) == 4 })
		})
	}
}

// Redis comes back with what it had saved, and goes on from there in another way: the number of
// changes is the same then, and not the changes.
func TestRulesOutliveAnOlderCopy(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := startPod(t, s.URL(), 100*time.Millisecond), startPod(t, s.URL(), 100*time.Millisecond)
	listening(s, 2)
	set(t, a, in(time.Hour, revoked("eve", "")))
	set(t, a, in(time.Hour, revoked("bob", "")))
	s.Eventually("they are heard", agreed(true, "bob", b))
	s.Do("SAVE")
	set(t, b, in(time.Hour, lifted("eve", "")))
	s.Eventually("it is lifted", agreed(false, "eve", a, b))
	s.Kill()
	alone(t, a, in(time.Hour, revoked("carl", "")))
	alone(t, b, in(time.Hour, revoked("dora", "")))
	s.Restart()
	s.Eventually("all is shared", func() bool {
		late := startPod(t, s.URL(), byChannelAlone)
		defer late.Close()
		all := []pod{a, b, late}
		return agreed(false, "eve", all...)() && agreed(true, "bob", all...)() && agreed(true, "carl", all...)() && agreed(true, "dora", all...)()
	})
}

func TestADecisionInAnOutageIsToldLater(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := startPod(t, s.URL(), 100*time.Millisecond), startPod(t, s.URL(), 100*time.Millisecond)
	s.Kill()
	stand := alone(t, a, in(time.Hour, revoked("eve", "")))
	if diff := cmp.Diff([]policy.Rule{stand}, a.List()); diff != "" {
		t.Error(diff)
	}
	if b.On("eve", "", "").Revoked {
		t.Error("who told b?")
	}
	if _, err := policy.NewShared(t.Context(), policy.SharedConfig{Client: dial(t, s.URL(), 0)}); err == nil {
		t.Error("a pod starts without the rules")
	}
	s.Restart()
	s.Eventually("b is told", agreed(true, "eve", b))
	if diff := cmp.Diff([]policy.Rule{stand}, b.List()); diff != "" {
		t.Error(diff)
	}
}

func TestACallerWhoGivesUpHasDecided(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := startPod(t, s.URL(), 100*time.Millisecond), startPod(t, s.URL(), 100*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Set(ctx, in(time.Hour, revoked("eve", ""))); !errors.Is(err, policy.ErrUnavailable) || !a.On("eve", "", "").Revoked {
		t.Errorf("it doesn't count: %v", err)
	}
	s.Eventually("b is told", agreed(true, "eve", b))
}

func TestAfterAnOutageTheLaterDecisionCounts(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for name, decide := range map[string]func(t *testing.T, apart, there pod){
		"of those apart": func(t *testing.T, apart, there pod) {
			set(t, there, in(time.Hour, revoked("eve", "")))
			alone(t, apart, in(2*time.Hour, lifted("eve", "")))
		},
		// What was decided apart is on its way all the time, and gets there at the end.
		"of those who weren't": func(t *testing.T, apart, there pod) {
			alone(t, apart, in(2*time.Hour, revoked("eve", "")))
			set(t, there, in(time.Hour, lifted("eve", "")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := redistest.Through(s)
			apart, there := startPod(t, p.URL(), 100*time.Millisecond), startPod(t, s.URL(), 100*time.Millisecond)
			p.Freeze()
			decide(t, apart, there)
			alone(t, apart, in(time.Hour, revoked("mark "+name, "")))
			p.Thaw()
			s.Eventually("what was decided apart is told of", agreed(true, "mark "+name, apart, there))
			s.Eventually("the later one counts", agreed(false, "eve", apart, there))
			late := startPod(t, s.URL(), byChannelAlone)
			if late.On("eve", "", "").Revoked {
				t.Error("not for who comes later")
			}
		})
	}
}

// What lay on its way until its pod had given up isn't a new decision when it arrives.
func TestALateDecisionIsNone(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.Through(s)
	client := dial(t, p.URL(), 0)
	apart, there := startPodOf(t, policy.SharedConfig{Client: client, Poll: byChannelAlone}), startPod(t, s.URL(), byChannelAlone)
	listening(s, 2)
	ready(t, client.(*redis.Client), 3) // also where it is reading just now
	p.Freeze()
	alone(t, apart, in(2*time.Hour, revoked("eve", "")))
	set(t, there, in(time.Hour, lifted("eve", "")))
	_ = apart.Close() // so that it doesn't put anything again
	calls := s.Calls()
	p.Thaw()
	s.Eventually("it has arrived", func() bool { return s.Calls()["evalsha"] > calls["evalsha"] })
	set(t, there, in(time.Hour, revoked("mark", "")))
	if there.On("eve", "", "").Revoked || startPod(t, s.URL(), byChannelAlone).On("eve", "", "").Revoked {
		t.Error("it counts")
	}
}

// ready opens connections that what is sent next can go out on at once.
func ready(t testing.TB, client *redis.Client, n int) {
	t.Helper()
	for range n {
		c := client.Conn()
		defer c.Close() // into the pool, when there are as many
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewPodStartsWithAllRules(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := startPod(t, s.URL(), byChannelAlone)
	for i := range 25 {
		var rules []policy.Rule
		for j := range 100 {
			rules = append(rules, in(time.Hour, revoked(fmt.Sprint("user", i*100+j), "")))
		}
		set(t, a, rules...)
	}
	b := startPod(t, s.URL(), byChannelAlone)
	if diff := cmp.Diff(a.List(), b.List()); diff != "" || len(a.List()) != 2500 {
		t.Errorf("%d rules, and %s", len(a.List()), diff)
	}
	if len(b.all()) != 0 {
		t.Error("it was told of what it knew")
	}
}

func TestAThousandDecisionsAtOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := startPod(t, s.URL(), 0), startPod(t, s.URL(), 0)
	listening(s, 2)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			p := []pod{a, b}[i%2]
			// All are about ten people, so that they are in each other's way.
			r := in(time.Duration(i+1)*time.Minute, policy.Rule{Kind: policy.Revoked, User: fmt.Sprint(i % 10), Value: i%3 > 0})
			if _, err := p.Set(context.Background(), r); err != nil && !errors.Is(err, policy.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.Eventually("both agree", func() bool { return cmp.Equal(a.List(), b.List()) })
	c := startPod(t, s.URL(), byChannelAlone)
	s.Eventually("who comes later does too", func() bool { return cmp.Equal(a.List(), c.List()) })
	if n := s.Do("HLEN", "roompass:{rules}:rules"); n != "10" {
		t.Errorf("%s rules", n)
	}
}

func TestRulesOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	a, b := startPod(t, cluster.URLs(), 200*time.Millisecond), startPod(t, cluster.URLs(), 200*time.Millisecond)
	node := cluster.PrimaryOf(t, "roompass:{rules}:history")
	listening(node, 2)
	set(t, a, in(time.Hour, revoked("eve", "")))
	node.Eventually("it is heard", agreed(true, "eve", a, b))
	node.Kill()
	alone(t, b, in(time.Hour, revoked("bob", "")))
	cluster.Nodes[0].Eventually("its replica takes over, and it is told", agreed(true, "bob", a, b))
	set(t, a, in(time.Hour, lifted("eve", "")))
	node.Eventually("all goes on", agreed(false, "eve", a, b))
}

func TestRulesOutliveAFailover(t *testing.T) {
	t.Parallel()
	servers := redistest.StartSentinel(t)
	var pods []pod
	for range 2 {
		sentinel, err := url.Parse(servers.URL())
		if err != nil {
			t.Fatal(err)
		}
		password, _ := sentinel.User.Password()
		client := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "main", SentinelAddrs: []string{sentinel.Host}, Username: sentinel.User.Username(), Password: password,
			MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ContextTimeoutEnabled: true,
		})
		t.Cleanup(func() { _ = client.Close() })
		pods = append(pods, startPodOf(t, policy.SharedConfig{Client: client, Poll: 200 * time.Millisecond}))
	}
	listening(servers.Primary, 2)
	set(t, pods[0], in(time.Hour, revoked("eve", "")))
	servers.Primary.Eventually("it is heard", agreed(true, "eve", pods...))
	servers.Primary.Kill()
	alone(t, pods[1], in(time.Hour, revoked("bob", "")))
	servers.Replica.Eventually("the replica takes over, and the other pod is told", agreed(true, "bob", pods...))
	listening(servers.Replica, 2)
	set(t, pods[0], in(time.Hour, lifted("eve", "")))
	servers.Replica.Eventually("all goes on", agreed(false, "eve", pods...))
	if n := servers.Replica.Do("HLEN", "roompass:{rules}:rules"); n != "2" {
		t.Errorf("Redis has %s rules", n)
	}
}

func TestDatabasesAndPrefixesAreApart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := startPodOf(t, policy.SharedConfig{Client: dial(t, s.URL(), 0), Poll: 50 * time.Millisecond})
	b := startPodOf(t, policy.SharedConfig{Client: dial(t, s.URL(), 1), Poll: 50 * time.Millisecond})
	c := startPodOf(t, policy.SharedConfig{Client: dial(t, s.URL(), 0), Poll: 50 * time.Millisecond, Prefix: "roompass:other:"})
	for i, p := range []pod{a, b, c} {
		set(t, p, in(time.Hour, revoked(fmt.Sprint(i), "")))
	}
	for i, p := range []pod{a, b, c} {
		s.Eventually("its own is heard", func() bool { return len(p.all()) > 0 })
		if list := p.List(); len(list) != 1 || list[0].User != fmt.Sprint(i) {
			t.Errorf("%d has %v", i, list)
		}
	}
	if _, err := policy.NewShared(t.Context(), policy.SharedConfig{Client: dial(t, s.URL(), 0), Prefix: "{x}"}); err == nil {
		t.Error("a prefix with braces is taken")
	}
}

func TestWhatIsOverLeavesRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := startPod(t, s.URL(), byChannelAlone)
	long := set(t, a, in(time.Hour, revoked("eve", "")))[0]
	over := set(t, a, in(time.Minute, revoked("bob", "")))[0]
	want := fmt.Sprint(long.Until.Add(time.Minute).UnixMilli())
	for _, name := range []string{"history", "rules", "versions", "ends", "chains"} {
		if got := s.Do("PEXPIRETIME", "roompass:{rules}:"+name); got != want {
			t.Errorf("%s runs out at %s, want %s", name, got, want)
		}
	}
	s.Do("ZADD", "roompass:{rules}:ends", 1, over.ID()) // it ended long ago
	set(t, a, in(time.Hour, revoked("carl", "")))
	for name, count := range map[string]string{"rules": "HLEN", "versions": "ZCARD", "ends": "ZCARD"} {
		if got := s.Do(count, "roompass:{rules}:"+name); got != "2" {
			t.Errorf("%s of %s", got, name)
		}
	}
}

// What was replaced by what is over now isn't put again by who missed that.
func TestWhatWasReplacedIsNotPutAgain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var clock struct {
		sync.Mutex
		ahead time.Duration
	}
	now := func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return time.Now().Add(clock.ahead)
	}
	p := redistest.Through(s)
	there := startPodOf(t, policy.SharedConfig{Client: dial(t, s.URL(), 0), Poll: 50 * time.Millisecond, TimeNow: now})
	apart := startPodOf(t, policy.SharedConfig{Client: dial(t, p.URL(), 0), Poll: 50 * time.Millisecond, TimeNow: now})
	set(t, there, in(10*time.Hour, revoked("eve", "")))
	s.Eventually("it is heard", agreed(true, "eve", apart))
	p.Freeze()
	set(t, there, in(time.Hour, revoked("eve", "")))
	clock.Lock()
	clock.ahead = 2 * time.Hour
	clock.Unlock()
	s.Do("FLUSHALL")
	p.Thaw()
	s.Eventually("it is over for both", agreed(false, "eve", there, apart))
	set(t, apart, in(3*time.Hour, revoked("bob", "")))
	s.Eventually("all goes on", agreed(true, "bob", there, apart))
	if !agreed(false, "eve", there, apart)() {
		t.Error("it came back")
	}
}

func TestWhatCannotBeReadIsSkipped(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := startPod(t, s.URL(), 50*time.Millisecond)
	listening(s, 1)
	eve := set(t, a, in(time.Hour, revoked("eve", "")), in(time.Hour, revoked("bob", "")))[0]
	s.Do("SPUBLISH", channel, "hello")
	s.Do("SPUBLISH", channel, `= 0 = =X 1 =c [{"kind":"party"}]`)
	s.Do("HSET", "roompass:{rules}:rules", "strange", `{"kind":"party"}`, eve.ID(), "[")
	s.Do("ZADD", "roompass:{rules}:versions", 1000, "strange")
	s.Do("ZADD", "roompass:{rules}:ends", time.Now().Add(time.Hour).UnixMilli(), "strange")
	s.Do("HINCRBY", "roompass:{rules}:history", "count", 1)
	b := startPod(t, s.URL(), byChannelAlone)
	s.Eventually("b has read what it can", agreed(true, "bob", a, b))
	if !revokedOn("eve", a)[0] { // b has that only if a has written it again
		t.Error("who knew of eve's revocation has forgotten it")
	}
	listening(s, 2)
	set(t, a, in(time.Hour, revoked("eve", ""))) // puts it right
	s.Eventually("it is heard", agreed(true, "eve", a, b))
}
