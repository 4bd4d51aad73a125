package policy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms/redistest"
)

// Whatever becomes of Redis and the networks, in the end all pods say the same, and it is what
// was decided last about each, wherever that was.
func TestPodsConverge(t *testing.T) {
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			converge(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func converge(t *testing.T, random *rand.Rand) {
	s := redistest.Start(t)
	var pods []pod
	var proxies []*redistest.Proxy
	for range 3 {
		p := redistest.Through(s)
		proxies = append(proxies, p)
		pods = append(pods, startPod(t, p.URL(), 100*time.Millisecond))
	}
	last := map[string]policy.Rule{}
	for range 80 {
		i := random.IntN(len(pods))
		switch random.IntN(16) {
		case 0:
			s.Do("FLUSHALL")
		case 1:
			s.Do("SAVE")
		case 2:
			s.Kill()
			s.Restart()
		case 3, 4:
			proxies[i].Freeze()
		case 5, 6:
			proxies[i].Thaw()
		case 7:
			proxies[i].Mute()
		case 8:
			proxies[i].Cut()
		case 9:
			s.CutAll()
		default:
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			stand, err := pods[i].Set(ctx, anything(random))
			cancel()
			if err != nil && !errors.Is(err, policy.ErrUnavailable) {
				t.Fatal(err)
			}
			last[stand[0].ID()] = stand[0]
			nextMilli()
		}
	}
	for _, p := range proxies {
		p.Thaw()
	}
	want := answers(func(user, member, room string) policy.Verdict {
		r := policy.NewLocal(nil)
		for rule := range maps.Values(last) {
			set(t, r, rule)
		}
		return r.On(user, member, room)
	})
	for i, p := range pods {
		s.Eventually(fmt.Sprint(i, " says what was decided last"), func() bool { return cmp.Equal(want, answers(p.On)) })
	}
	s.Eventually("so does Redis", func() bool {
		late := startPod(t, s.URL(), byChannelAlone)
		defer late.Close()
		return cmp.Equal(want, answers(late.On))
	})
	for i, p := range pods {
		if diff := cmp.Diff(want, answers(p.On)); diff != "" {
			t.Errorf("%d has changed its mind: %s", i, diff)
		}
	}
}

var (
	someUsers   = []string{"eve", "bob", ""}
	someMembers = []string{"m1", "m2"}
	someRooms   = []string{"lobby", ""}
)

// anything is a decision about one of a few.
func anything(random *rand.Rand) policy.Rule {
	r := policy.Rule{
		Kind:  []policy.Kind{policy.Revoked, policy.KickUsers, policy.JoinHub}[random.IntN(3)],
		User:  someUsers[random.IntN(len(someUsers))],
		Room:  someRooms[0],
		Value: random.IntN(2) > 0,
	}
	switch {
	case r.User == "":
		r.Member = someMembers[random.IntN(len(someMembers))]
	case r.Kind == policy.Revoked:
		r.Room = someRooms[random.IntN(len(someRooms))]
	}
	return in(time.Duration(1+random.IntN(100))*time.Hour, r)
}

// answers are those about everybody everywhere.
func answers(on func(user, member, room string) policy.Verdict) map[string]policy.Verdict {
	all := map[string]policy.Verdict{}
	for _, user := range someUsers {
		for _, member := range someMembers {
			for _, room := range someRooms {
				all[fmt.Sprint(user, " ", member, " ", room)] = on(user, member, room)
			}
		}
	}
	return all
}

// nextMilli waits until it is another time than it was, as far as rules tell.
func nextMilli() {
	for at := time.Now().UnixMilli(); time.Now().UnixMilli() == at; {
	}
}
