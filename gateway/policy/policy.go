// Package policy is a stand-in until the real one lands.
package policy

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

type Kind string

const (
	Revoked   Kind = "revoked"
	KickUsers Kind = "kick_users"
	JoinHub   Kind = "join_hub"
)

var (
	ErrUnavailable = errors.New("unavailable")
	ErrBadRule     = errors.New("bad rule")
)

type Rule struct {
	Kind               Kind
	User, Member, Room string
	Value              bool
	Set, Until         time.Time
}

func (r Rule) ID() string {
	h := sha256.Sum256([]byte(string(r.Kind) + "\x00" + r.User + "\x00" + r.Member + "\x00" + r.Room))
	return base64.RawURLEncoding.EncodeToString(h[:15])
}

func (r Rule) Concerns(user, member, room string) bool {
	if r.User != user || user == "" && r.Member != member {
		return false
	}
	return r.Room == "" || r.Room == room
}

type Verdict struct {
	Revoked            bool
	Until              time.Time
	KickUsers, JoinHub *bool
}

type Rules interface {
	Set(ctx context.Context, rules ...Rule) ([]Rule, error)
	On(user, member, room string) Verdict
	List() []Rule
	Follow(func([]Rule))
	Close() error
}

type Local struct {
	now    func() time.Time
	mu     sync.Mutex
	rules  map[string]Rule
	follow func([]Rule)
	wg     sync.WaitGroup
}

func NewLocal(now func() time.Time) *Local {
	if now == nil {
		now = time.Now
	}
	return &Local{now: now, rules: map[string]Rule{}}
}

func (l *Local) Set(ctx context.Context, rules ...Rule) ([]Rule, error) {
	for _, r := range rules {
		if !r.Until.After(l.now()) {
			return nil, ErrBadRule
		}
	}
	l.mu.Lock()
	for i := range rules {
		if rules[i].Set.IsZero() {
			rules[i].Set = l.now()
		}
		l.rules[rules[i].ID()] = rules[i]
	}
	f := l.follow
	l.mu.Unlock()
	if f != nil {
		l.wg.Go(func() { f(rules) })
	}
	return rules, nil
}

func (l *Local) On(user, member, room string) (v Verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rules {
		if !r.Concerns(user, member, room) || !r.Until.After(l.now()) {
			continue
		}
		value := r.Value
		switch r.Kind {
		case Revoked:
			if value {
				v.Revoked, v.Until = true, r.Until
			}
		case KickUsers:
			v.KickUsers = &value
		case JoinHub:
			v.JoinHub = &value
		}
	}
	return v
}

func (l *Local) List() (all []Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rules {
		if r.Until.After(l.now()) && (r.Kind != Revoked || r.Value) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Rule) int { return b.Set.Compare(a.Set) })
	return all
}

func (l *Local) Follow(f func([]Rule)) { l.follow = f }
func (l *Local) Close() error          { l.wg.Wait(); return nil }

// NewShared is to come.
func NewShared(context.Context, SharedConfig) (*Shared, error) { return &Shared{NewLocal(nil)}, nil }

type Shared struct{ *Local }

type SharedConfig struct {
	Client redis.UniversalClient
	Prefix string
	Logger *slog.Logger
}
