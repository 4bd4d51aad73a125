package policy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/roompass/roompass/gateway/policy"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // of Redis that is broken on purpose
	// The client library's looks once a second whether its pool was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func TestWhomARuleConcerns(t *testing.T) {
	everywhere := policy.Rule{Kind: policy.Revoked, User: "eve"}
	here := policy.Rule{Kind: policy.Revoked, User: "eve", Room: "lobby"}
	guest := policy.Rule{Kind: policy.KickUsers, Member: "m1", Room: "lobby"}
	for _, c := range []struct {
		rule               policy.Rule
		user, member, room string
		want               bool
	}{
		{everywhere, "eve", "m1", "lobby", true},
		{everywhere, "eve", "", "", true}, // the socket itself
		{everywhere, "bob", "m1", "lobby", false},
		{everywhere, "", "m1", "lobby", false},
		{here, "eve", "m1", "lobby", true},
		{here, "eve", "m1", "attic", false},
		{here, "eve", "", "", false},
		{guest, "", "m1", "lobby", true},
		{guest, "", "m2", "lobby", false},
		{guest, "", "m1", "attic", false},
		{guest, "eve", "m1", "lobby", false}, // not anonymous
		{policy.Rule{}, "", "", "", false},
	} {
		if got := c.rule.Concerns(c.user, c.member, c.room); got != c.want {
			t.Errorf("%+v concerns %q, %q in %q: %v", c.rule, c.user, c.member, c.room, got)
		}
	}
}

func TestIDsDifferAndFitInURLs(t *testing.T) {
	seen := map[string]policy.Rule{}
	for _, r := range []policy.Rule{
		{Kind: policy.Revoked, User: "a"},
		{Kind: policy.Revoked, User: "a", Room: "b"},
		{Kind: policy.JoinHub, User: "a", Room: "b"},
		{Kind: policy.KickUsers, User: "a", Room: "b"},
		{Kind: policy.JoinHub, Member: "a", Room: "b"},
		{Kind: policy.Revoked, User: "a\x00", Room: "b"},
		{Kind: policy.Revoked, User: "a", Room: "\x00b"},
		{Kind: policy.Revoked, User: "a1:", Room: "b"},
	} {
		id := r.ID()
		if other, twice := seen[id]; twice {
			t.Errorf("%+v and %+v are both %s", r, other, id)
		}
		seen[id] = r
		if strings.ContainsFunc(id, func(c rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", c)
		}) {
			t.Errorf("%q isn't safe in a URL", id)
		}
		r.Value, r.Set, r.Until = true, time.Now(), time.Now()
		if r.ID() != id {
			t.Error("what was decided is in the id")
		}
	}
}

// ear notes what it is told.
type ear struct {
	mu      sync.Mutex
	batches [][]policy.Rule
}

func (e *ear) hear(batch []policy.Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.batches = append(e.batches, batch)
}

func (e *ear) all() []policy.Rule {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Concat(e.batches...)
}

// inBubble runs f with rules in a synctest bubble, in which time passes at once. They aren't
// closed: nothing may be left anyway.
func inBubble(t *testing.T, f func(t *testing.T, r *policy.Local, e *ear)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, e := policy.NewLocal(nil), new(ear)
		r.Follow(e.hear)
		f(t, r, e)
	})
}

// in is a rule that lasts that long.
func in(d time.Duration, r policy.Rule) policy.Rule {
	r.Until = time.Now().Add(d)
	return r
}

func revoked(user, room string) policy.Rule {
	return policy.Rule{Kind: policy.Revoked, User: user, Room: room, Value: true}
}

func lifted(user, room string) policy.Rule {
	return policy.Rule{Kind: policy.Revoked, User: user, Room: room}
}

func set(t testing.TB, r policy.Rules, rules ...policy.Rule) []policy.Rule {
	t.Helper()
	stand, err := r.Set(context.Background(), rules...)
	if err != nil {
		t.Fatal(err)
	}
	return stand
}

func TestARuleCountsUntilItsTime(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, e *ear) {
		stand := set(t, r, in(time.Hour, revoked("eve", "")))
		if !stand[0].Set.Equal(time.Now()) {
			t.Errorf("set at %v", stand[0].Set)
		}
		want := policy.Verdict{Revoked: true, Until: stand[0].Until}
		for _, room := range []string{"", "lobby"} {
			if diff := cmp.Diff(want, r.On("eve", "m", room)); diff != "" {
				t.Error(diff)
			}
		}
		if diff := cmp.Diff(policy.Verdict{}, r.On("bob", "m", "lobby")); diff != "" {
			t.Error(diff)
		}
		synctest.Wait()
		if diff := cmp.Diff(stand, e.all()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Hour - time.Millisecond)
		if !r.On("eve", "", "").Revoked || len(r.List()) != 1 {
			t.Error("it ended too soon")
		}
		time.Sleep(time.Millisecond)
		if r.On("eve", "", "").Revoked || len(r.List()) != 0 {
			t.Error("it didn't end")
		}
	})
}

func TestARevocationIsLifted(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, e *ear) {
		set(t, r, in(time.Hour, revoked("eve", "")), in(2*time.Hour, revoked("eve", "lobby")))
		if got := r.On("eve", "", "lobby").Until; !got.Equal(time.Now().Add(2 * time.Hour)) {
			t.Errorf("of two that concern somebody the one that lasts longer says until when, not %v", got)
		}
		stand := set(t, r, in(time.Hour, lifted("eve", "")))
		if r.On("eve", "", "").Revoked || !r.On("eve", "", "lobby").Revoked {
			t.Error("that one was lifted, and no other")
		}
		if !stand[0].Set.Equal(time.Now().Add(time.Millisecond)) {
			t.Error("what is decided within a millisecond comes after what was decided before")
		}
		if list := r.List(); len(list) != 1 || list[0].Room != "lobby" {
			t.Errorf("what was lifted is in the list: %v", list)
		}
		synctest.Wait()
		if heard := e.all(); heard[len(heard)-1] != stand[0] {
			t.Errorf("heard %v, not that it was lifted", heard)
		}
	})
}

func TestRightsAreAsDecided(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, _ *ear) {
		until := time.Now().Add(time.Hour)
		set(t, r,
			in(2*time.Hour, policy.Rule{Kind: policy.KickUsers, User: "eve", Room: "lobby"}),
			in(time.Hour, policy.Rule{Kind: policy.JoinHub, User: "eve", Room: "lobby", Value: true}),
			in(2*time.Hour, policy.Rule{Kind: policy.JoinHub, Member: "m1", Room: "lobby", Value: true}))
		for _, c := range []struct {
			user, member, room string
			want               policy.Verdict
		}{
			{"eve", "m1", "lobby", policy.Verdict{KickUsers: new(false), JoinHub: new(true), RightsUntil: until}},
			{"eve", "m1", "attic", policy.Verdict{}},
			{"eve", "m1", "", policy.Verdict{}},
			{"bob", "m1", "lobby", policy.Verdict{}},
			{"", "m1", "lobby", policy.Verdict{JoinHub: new(true), RightsUntil: until.Add(time.Hour)}},
			{"", "m2", "lobby", policy.Verdict{}},
			{"", "", "", policy.Verdict{}},
		} {
			if diff := cmp.Diff(c.want, r.On(c.user, c.member, c.room)); diff != "" {
				t.Errorf("%q, %q in %q: %s", c.user, c.member, c.room, diff)
			}
		}
	})
}

func TestDrainingIsAboutAPod(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, e *ear) {
		drained := policy.Rule{Kind: policy.Drained, Target: "p1", Value: true}
		stand := set(t, r, in(time.Hour, drained), in(time.Hour, policy.Rule{Kind: policy.Drained, Target: "p2"}))
		if list := r.List(); len(list) != 1 || list[0].Target != "p1" || stand[0].ID() == stand[1].ID() {
			t.Errorf("%v", list)
		}
		if diff := cmp.Diff(policy.Verdict{}, r.On("", "p1", "lobby")); diff != "" {
			t.Error(diff)
		}
		if stand[0].Concerns("", "", "") || stand[0].Concerns("p1", "", "lobby") {
			t.Error("it concerns somebody")
		}
		synctest.Wait()
		if diff := cmp.Diff(stand, e.all()); diff != "" {
			t.Error(diff)
		}
		for _, bad := range []policy.Rule{
			{Kind: policy.Drained}, {Kind: policy.Drained, Target: "p", User: "eve"}, {Kind: policy.Drained, Target: "p", Room: "lobby"},
			{Kind: policy.Drained, Target: "p", Member: "m"}, {Kind: policy.Revoked, User: "eve", Target: "p"},
			{Kind: policy.Drained, Target: strings.Repeat("p", 2000)},
		} {
			if _, err := r.Set(t.Context(), in(time.Hour, bad)); !errors.Is(err, policy.ErrBadRule) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestTheLaterDecisionCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, e *ear) {
		now := time.Now()
		late, early := in(time.Hour, revoked("eve", "")), in(3*time.Hour, lifted("eve", ""))
		late.Set, early.Set = now.Add(-time.Minute), now.Add(-2*time.Minute)
		set(t, r, late)
		if stand := set(t, r, early); stand[0] != late {
			t.Errorf("what stands is %+v", stand[0])
		}
		if !r.On("eve", "", "").Revoked {
			t.Error("the earlier one counts")
		}
		synctest.Wait()
		if diff := cmp.Diff([]policy.Rule{late}, e.all()); diff != "" {
			t.Errorf("nothing has changed, and yet: %s", diff)
		}
	})
}

// What came later is over sooner: what came earlier mustn't begin to count again by being heard
// of late.
func TestWhatWasReplacedDoesNotComeBack(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, _ *ear) {
		long := set(t, r, in(10*time.Hour, revoked("eve", "")))[0]
		set(t, r, in(time.Hour, revoked("eve", "")))
		time.Sleep(2 * time.Hour)
		set(t, r, in(time.Hour, revoked("bob", ""))) // what is over is forgotten now
		set(t, r, long)
		if r.On("eve", "", "").Revoked {
			t.Error("it came back")
		}
		time.Sleep(9 * time.Hour)
		if set(t, r, in(time.Hour, revoked("eve", ""))); !r.On("eve", "", "").Revoked {
			t.Error("she can't be revoked again")
		}
	})
}

func TestTheListBeginsWithTheNewest(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, _ *ear) {
		for _, user := range []string{"a", "b", "c"} {
			set(t, r, in(time.Hour, revoked(user, "")))
			time.Sleep(time.Second)
		}
		var users []string
		for _, rule := range r.List() {
			users = append(users, rule.User)
		}
		if diff := cmp.Diff([]string{"c", "b", "a"}, users); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBadRulesChangeNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *policy.Local, _ *ear) {
		long := strings.Repeat("x", 1025)
		for _, bad := range []policy.Rule{
			in(time.Hour, policy.Rule{Kind: policy.Revoked}),
			in(time.Hour, policy.Rule{Kind: policy.Revoked, Room: "lobby"}),
			in(time.Hour, policy.Rule{Kind: policy.Revoked, Member: "m"}),
			in(time.Hour, policy.Rule{Kind: policy.Revoked, User: "eve", Member: "m", Room: "lobby"}),
			in(time.Hour, policy.Rule{Kind: policy.JoinHub, User: "eve"}),
			in(time.Hour, policy.Rule{Kind: "no such", User: "eve", Room: "lobby"}),
			in(time.Hour, revoked(long, "")),
			in(time.Hour, revoked("eve", long)),
			in(time.Hour, policy.Rule{Kind: policy.Revoked, Member: long, Room: "lobby"}),
			in(time.Hour, revoked("\xff", "")),
			in(0, revoked("eve", "")),
			in(time.Microsecond, revoked("eve", "")),
			in(367*24*time.Hour+time.Millisecond, revoked("eve", "")),
			{Kind: policy.Revoked, User: "eve", Value: true},
			{Kind: policy.Revoked, User: "eve", Value: true, Until: time.Now().Add(time.Hour), Set: time.Unix(-1, 0)},
		} {
			if _, err := r.Set(t.Context(), in(time.Hour, revoked("bob", "")), bad); !errors.Is(err, policy.ErrBadRule) {
				t.Errorf("%.80v: %v", bad, err)
			}
		}
		if list := r.List(); len(list) != 0 {
			t.Errorf("there is %v", list)
		}
		set(t, r, in(367*24*time.Hour, revoked(long[:1024], "")))
		if stand := set(t, r); len(stand) != 0 {
			t.Error("nothing was set")
		}
	})
}

func TestWhatPilesUpIsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := policy.NewLocal(nil)
		defer r.Close()
		e, first := new(ear), make(chan struct{})
		r.Follow(func(batch []policy.Rule) {
			if !r.On(batch[0].User, "", "").Revoked {
				t.Error("told of before it counts")
			}
			e.hear(batch)
			<-first
		})
		a := set(t, r, in(time.Hour, revoked("a", "")))
		synctest.Wait()
		b := set(t, r, in(time.Hour, revoked("b", "")))
		set(t, r, in(time.Hour, revoked("c", "")))
		d := set(t, r, in(time.Hour, revoked("d", "")))
		c := set(t, r, in(time.Hour, lifted("c", "")))
		close(first)
		synctest.Wait()
		if diff := cmp.Diff([][]policy.Rule{a, {b[0], d[0], c[0]}}, e.batches); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCloseWaitsForWhoFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := policy.NewLocal(nil)
		done := false
		r.Follow(func([]policy.Rule) {
			time.Sleep(time.Second)
			done = true
		})
		set(t, r, in(time.Hour, revoked("a", "")))
		_ = r.Close()
		if !done {
			t.Error("it didn't wait")
		}
		set(t, r, in(time.Hour, revoked("b", ""))) // counts, and nobody is told
		_ = r.Close()
	})
}

func BenchmarkOn(b *testing.B) {
	r := policy.NewLocal(nil)
	for i := range 10_000 {
		set(b, r, in(time.Hour, revoked(strings.Repeat("u", i%100)+"x", "lobby")))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.On("somebody else", "member", "lobby")
	}
}

func TestWhomNoRuleConcernsCostsNothing(t *testing.T) {
	r := policy.NewLocal(nil)
	set(t, r, in(time.Hour, revoked("eve", "")))
	if n := testing.AllocsPerRun(100, func() { r.On("bob", "m", "lobby"); r.On("", "m", "lobby") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
