package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/roompass/roompass/gateway"
	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// store makes the rooms, and where the operator's rules are kept: in this process's
// memory, or over Redis.
func (c *ServeCmd) store(ctx context.Context, log *slog.Logger, registry prometheus.Registerer) (_ store, err error) {
	cfg := rooms.Config{
		Linger: c.Linger, Prepare: gateway.Prepare,
		RemovedFor: max(12*time.Hour, c.SessionMax), // a resume secret of before holds no longer
	}
	if c.Redis == "" {
		return store{rooms: rooms.NewMemory(cfg), rules: policy.NewLocal(nil)}, nil
	}
	redis.SetLogger(redisLog{log})
	urls, err := readAtFile("redis", c.Redis)
	if err != nil {
		return store{}, err
	}
	roots, err := certPool(c.RedisCA)
	if err != nil {
		return store{}, usageError{fmt.Errorf("--redis-ca: %w", err)}
	}
	client, err := rooms.DialRedis(ctx, urls, roots)
	if err != nil {
		return store{}, fmt.Errorf("--redis: %w", err)
	}
	kept, err := rooms.NewRedis(ctx, rooms.RedisConfig{
		Config: cfg, Client: client, Pod: c.PodID, Prefix: c.RedisPrefix, Lease: c.Lease,
		Logger: log.With("pod", c.PodID), Observe: redisMetrics(registry),
	})
	if err != nil {
		_ = client.Close()
		if errors.Is(err, rooms.ErrPodTaken) {
			return store{}, fmt.Errorf("--pod-id: %w", err)
		}
		return store{}, fmt.Errorf("--redis: %w", err)
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "roompass_degraded", Help: "1 while Redis is out of reach, and this pod goes on with what it knows.",
	}, func() float64 {
		if kept.Outage() > 0 {
			return 1
		}
		return 0
	}))
	rules, err := policy.NewShared(ctx, policy.SharedConfig{Client: client, Prefix: c.RedisPrefix, Logger: log.With("pod", c.PodID)})
	both := &dialed{kept, client}
	if err != nil {
		_ = both.Close()
		return store{}, fmt.Errorf("--redis: read who was revoked: %w", err)
	}
	return store{both, rules, janus.NewRedisHomes(client, c.RedisPrefix)}, nil
}

// A store is what the pods share.
type store struct {
	rooms rooms.Rooms
	rules policy.Rules
	homes janus.Homes // of rooms on Janus servers; nil: this is the only pod
}

// dialed is rooms over Redis with the client that is theirs alone.
type dialed struct {
	*rooms.Redis
	client redis.UniversalClient
}

// Close closes both.
func (d *dialed) Close() error { return errors.Join(d.Redis.Close(), d.client.Close()) }

// certPool reads certificates in PEM; nil where there is no file.
func certPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in PEM", file)
	}
	return pool, nil
}

// redisLog has the client library write to our log what it would write to
// standard error.
type redisLog struct{ log *slog.Logger }

// Printf implements the library's logger.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
}

func redisMetrics(to prometheus.Registerer) rooms.RedisObserver {
	commands := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "roompass_redis_seconds", Help: "One command or script of Redis, as the pod waits for it.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1},
	}, []string{"command"})
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "roompass_redis_errors_total", Help: "Commands and scripts of Redis that failed.",
	}, []string{"command"})
	count := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		to.MustRegister(c)
		return c
	}
	to.MustRegister(commands, failures)
	degraded := count("roompass_degraded_seconds_total", "Time for which Redis was out of reach.")
	return rooms.RedisObserver{
		Command: func(name string, took time.Duration, err error) {
			commands.WithLabelValues(name).Observe(took.Seconds())
			if err != nil {
				failures.WithLabelValues(name).Inc()
			}
		},
		Retried:   count("roompass_redis_retries_total", "Steps that were done again, because a room had changed meanwhile.").Inc,
		GapFilled: count("roompass_gaps_filled_total", "Times that entries of a room were read from its log, because they weren't heard of.").Inc,
		Reaped:    count("roompass_members_reaped_total", "Members of dead pods that this one took over, to linger.").Inc,
		TakenOver: count("roompass_members_taken_over_total", "Members that resumed here and were on another pod.").Inc,
		Merged:    count("roompass_rooms_merged_total", "Rooms that went on without Redis and were put together again.").Inc,
		Degraded:  func(d time.Duration) { degraded.Add(d.Seconds()) },
	}
}
