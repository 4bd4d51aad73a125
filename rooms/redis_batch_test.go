package rooms_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

// batches notes how many scripts a client sends at a time.
type batches struct {
	mu    sync.Mutex
	sizes []int
}

func (b *batches) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (b *batches) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b *batches) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		b.mu.Lock()
		b.sizes = append(b.sizes, len(all))
		b.mu.Unlock()
		return next(ctx, all)
	}
}

// crowd is members who all say something at once in a room, of which one pod's Redis is slow to hear.
func crowd(t *testing.T, before func(*redistest.Server)) (w *world, sent *batches, saying func()) {
	t.Helper()
	server := redistest.Start(t)
	w = &world{t: t, proxies: []*redistest.Proxy{redistest.Through(server)}}
	client := dial(t, w.proxies[0].URL())
	sent = &batches{}
	client.AddHook(sent)
	pod, err := rooms.NewRedis(t.Context(), rooms.RedisConfig{Client: client, Pod: "p", Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pod.Close() })
	w.pods = append(w.pods, pod)
	for i := range 40 {
		w.join(0, fmt.Sprint("m", i))
	}
	if before != nil {
		before(server)
	}
	return w, sent, func() {
		w.proxies[0].Freeze()
		var all sync.WaitGroup
		for _, v := range w.voices {
			all.Go(func() {
				for range 3 {
					if err := v.say(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		w.proxies[0].Thaw()
		all.Wait()
	}
}

// wantAllHeard checks that each heard of each other what that said, once and in order.
func (w *world) wantAllHeard() {
	w.t.Helper()
	for _, v := range w.voices {
		for _, by := range w.voices {
			if v != by && !slices.Equal(v.from(by.member.ID), []int{0, 1, 2}) {
				w.t.Errorf("%s heard of %s: %v", v.member.ID, by.member.ID, v.from(by.member.ID))
			}
		}
	}
}

// What is said while something is on its way to Redis goes there together, and is told once and in
// order all the same.
func TestWhatIsSaidMeanwhileGoesTogether(t *testing.T) {
	t.Parallel()
	w, sent, saying := crowd(t, nil)
	saying()
	w.wantAllHeard()
	if slices.Max(sent.sizes) < 10 {
		t.Errorf("they were sent in batches of %v", sent.sizes)
	}
}

// A Redis that has forgotten the scripts is told them again.
func TestScriptsAreForgottenUnderABatch(t *testing.T) {
	t.Parallel()
	w, _, saying := crowd(t, func(s *redistest.Server) { s.Do("SCRIPT", "FLUSH") })
	saying()
	w.wantAllHeard()
}

// What waits for a Redis that doesn't answer any more is told here, once.
func TestWhatIsSaidToASilentRedisIsToldHere(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := proxied(t, server, 1, rooms.Config{})
	for i := range 300 {
		w.join(0, fmt.Sprint("m", i))
	}
	w.proxies[0].Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, v := range w.voices {
		all.Go(func() {
			if err := v.say(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, v := range w.voices {
		if got := len(v.from("m0")); v.member.ID != "m0" && got != 1 {
			t.Errorf("%s heard m0 %d times", v.member.ID, got)
		}
	}
	w.proxies[0].Thaw()
}
