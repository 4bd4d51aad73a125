package policy

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// listen hears what is published, until ctx ends.
func (s *Shared) listen(ctx context.Context) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, time.Second) {
		began := time.Now()
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		s.config.Logger.Debug("the rules' channel was lost: this pod subscribes anew", "error", err)
		if cluster, ok := s.config.Client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // it would ask a node that is gone for ever
		}
		if time.Since(began) > 5*time.Second {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// follow subscribes, and reads until that fails.
//
// A subscription can die without a sign. But whenever the pod reads the rules, it is told so on
// its own channel, by the way that everything is published. Where it hears nothing for longer than
// that takes it subscribes anew.
func (s *Shared) follow(ctx context.Context) error {
	deafAfter := 2*s.config.Poll + time.Second
	pubsub := s.config.Client.SSubscribe(ctx, s.keys.channel, s.own)
	defer pubsub.Close()
	stop := context.AfterFunc(ctx, func() { _ = pubsub.Close() })
	defer stop()
	for {
		got, err := pubsub.ReceiveTimeout(ctx, deafAfter)
		if err != nil {
			return err
		}
		switch got := got.(type) {
		case *redis.Subscription:
			s.lookNow() // what was published before wasn't heard
		case *redis.Message:
			if got.Channel == s.keys.channel {
				s.hear(got.Payload)
			}
		}
	}
}

// hear takes what was published.
func (s *Shared) hear(payload string) {
	is, err := parseMessage(payload)
	if err != nil {
		s.config.Logger.Error("a message on the rules' channel can't be read", "message", clip(payload), "error", err)
		return
	}
	if !s.learn(is) {
		s.lookNow()
	}
}
