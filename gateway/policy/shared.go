package policy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// SharedConfig configures [NewShared].
type SharedConfig struct {
	Client  redis.UniversalClient // isn't closed
	Prefix  string                // of all keys and channels; "" means "roompass:"
	Poll    time.Duration         // how often a pod asks whether it missed something; 0 means 2 s
	Logger  *slog.Logger          // nil discards
	TimeNow func() time.Time      // nil: the system's clock
}

func (c SharedConfig) withDefaults() SharedConfig {
	if c.Prefix == "" {
		c.Prefix = "roompass:"
	}
	if c.Poll <= 0 {
		c.Poll = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.TimeNow == nil {
		c.TimeNow = time.Now
	}
	return c
}

// Shared is the rules of many pods, through Redis.
//
// Each pod knows all of them, and asks nobody to say what counts. Redis puts the changes in an
// order, its history, and publishes them. A pod that is at the place from which a change leads
// on goes along; whatever else it hears counts as well, but is something that it isn't sure
// of until it has read the history up to there. Where the history isn't the one that the pod
// was at, since Redis was emptied, or is an older copy, it reads all of it. What it is still not
// sure of then it puts again.
type Shared struct {
	*book
	config SharedConfig
	keys   sharedKeys
	own    string        // the channel on which this pod hears itself
	turns  chan struct{} // places for scripts
	look   chan struct{} // capacity 1: read now

	mu    sync.Mutex // is taken before the book's
	at    place
	ahead time.Duration // Redis's clock is before this one's, as far as that is known

	quit context.CancelFunc
	goes sync.WaitGroup
}

var _ Rules = (*Shared)(nil)

// NewShared reads the rules that there are, and follows them. An error says that they couldn't
// be read before ctx ended.
func NewShared(ctx context.Context, c SharedConfig) (*Shared, error) {
	c = c.withDefaults()
	switch {
	case c.Client == nil:
		return nil, errors.New("rules over Redis need a client")
	case strings.ContainsAny(c.Prefix, "{}"):
		return nil, fmt.Errorf("prefix %q: braces would take the keys apart in a cluster", c.Prefix)
	}
	database := 0
	if node, ok := c.Client.(*redis.Client); ok {
		database = node.Options().DB
	}
	s := &Shared{
		book: newBook(c.TimeNow), config: c, keys: newSharedKeys(c.Prefix, database),
		turns: make(chan struct{}, atOnce), look: make(chan struct{}, 1),
	}
	s.own = s.keys.channel + ":" + rand.Text()[:8]
	if err := s.reconcile(ctx); err != nil {
		return nil, fmt.Errorf("read the operator's rules: %w", err)
	}
	ctx, s.quit = context.WithCancel(context.Background())
	s.goes.Go(func() { s.listen(ctx) })
	s.goes.Go(func() { s.reconcileOften(ctx) })
	return s, nil
}

// Set implements [Rules]. Rules that say themselves when they were set count for as late as that
// on all pods.
func (s *Shared) Set(ctx context.Context, rules ...Rule) ([]Rule, error) {
	rules, err := checked(rules, s.now())
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	entries := make([]entry, len(rules))
	for i, r := range rules {
		entries[i] = entry{r, r.Until}
	}
	at, leasts := s.redisNow(), s.leasts(rules)
	done, err := s.put(ctx, entries, leasts)
	if err != nil {
		// It was decided before that was known, and before whatever was heard meanwhile.
		stand := s.decide(rules, at, leasts)
		s.lookNow()
		return stand, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.learn(done)
	return s.stand(rules), nil
}

// learn takes what Redis answered or published. Where it leads on from where this pod is, or
// to there, the book is then as the pods share it. It returns false where there is more to
// know than this.
func (s *Shared) learn(is step) bool {
	entries := make([]entry, 0, len(is.rules))
	for _, text := range is.rules {
		e, err := decode(text)
		if err != nil {
			s.config.Logger.Error("a rule in Redis can't be read: it doesn't count on this pod", "rule", clip(text), "error", err)
			continue
		}
		entries = append(entries, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, after := s.at == is.before, s.at == is.after
	s.book.learn(entries, before || after, is.all && !after)
	if before {
		s.at = is.after
	}
	return before || after || s.at.epoch == is.after.epoch && s.at.version >= is.after.version
}

// clip is as much of a text as the log needs.
func clip(text string) string { return text[:min(len(text), 200)] }

// redisNow is the time by Redis's clock, as far as that is known.
func (s *Shared) redisNow() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Add(s.ahead)
}

// Close implements [Rules]. What the other pods haven't been told of by then they aren't.
func (s *Shared) Close() error {
	s.quit()
	s.goes.Wait()
	s.teller.close()
	return nil
}
