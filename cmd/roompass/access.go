package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/roompass/roompass/gateway/access"
)

// accessFlags are those that are for some kinds of --access only.
func (c *ServeCmd) accessFlags() []accessFlag {
	return []accessFlag{
		{"--access-key", c.AccessKey != "", []string{"jwt"}},
		{"--access-jwks", c.AccessJWKS != "", []string{"jwt"}},
		{"--access-alg", len(c.AccessAlg) > 0, []string{"jwt"}},
		{"--access-issuer", c.AccessIssuer != "", []string{"jwt"}},
		{"--access-audience", c.AccessAudience != "", []string{"jwt"}},
		{"--access-any-room", c.AccessAnyRoom, []string{"jwt"}},
		{"--access-webhook", c.AccessWebhook != "", []string{"webhook"}},
		{"--access-webhook-secret", len(c.AccessWebhookSecret) > 0, []string{"webhook"}},
		{"--access-webhook-header", len(c.AccessWebhookHeader) > 0, []string{"webhook"}},
		{"--access-cookie", c.AccessCookie != "", []string{"jwt", "webhook"}},
	}
}

type accessFlag struct {
	flag  string
	given bool
	kinds []string // of --access
}

// checkAccess finds what of --access can't be meant, in the words of the flags.
func (c *ServeCmd) checkAccess() error {
	for _, is := range c.accessFlags() {
		if !is.given || slices.Contains(is.kinds, c.Access) {
			continue
		}
		if c.Access == "open" {
			return fmt.Errorf("%s is for --access %s, and --access is open: everybody may enter; say --access %[2]s too", is.flag, is.kinds[0])
		}
		return fmt.Errorf("%s is for --access %s, and --access is %s", is.flag, is.kinds[0], c.Access)
	}
	switch c.Access {
	case "jwt":
		return c.checkJWT()
	case "webhook":
		return c.checkWebhook()
	}
	return nil
}

func (c *ServeCmd) checkJWT() error {
	switch {
	case c.AccessKey == "" && c.AccessJWKS == "":
		return errors.New("--access jwt needs the app's public keys: give --access-key FILE or --access-jwks URL")
	case c.AccessKey != "" && c.AccessJWKS != "":
		return errors.New("--access-key and --access-jwks are two places for the same keys: give one")
	case c.AccessIssuer == "":
		return errors.New("--access-issuer is missing: --access jwt needs to know what iss of the app's tokens is")
	case c.AccessAudience == "":
		return errors.New("--access-audience is missing: --access jwt needs to know what aud of the app's tokens is, so that those for other services don't open this one")
	}
	for _, alg := range c.AccessAlg {
		if !slices.Contains(access.Algorithms, alg) {
			return fmt.Errorf("--access-alg %s: choose from %s", alg, strings.Join(access.Algorithms, ", "))
		}
	}
	return nil
}

func (c *ServeCmd) checkWebhook() error {
	switch {
	case c.AccessWebhook == "":
		return errors.New("--access webhook needs to know where to ask the app: give --access-webhook URL")
	case len(c.AccessWebhookSecret) == 0:
		return errors.New("--access-webhook-secret is missing: the app knows by it that it is the gateway who asks; make one with: echo whsec_$(openssl rand -base64 32)")
	case c.AccessMaxStale < c.TokenRefresh:
		return fmt.Errorf("--access-max-stale %v must not be less than --token-refresh %v: the app's answer gets as old as that by itself", c.AccessMaxStale, c.TokenRefresh)
	}
	return nil
}

// access makes what decides who may enter.
func (c *ServeCmd) access(ctx context.Context, log *slog.Logger, registry prometheus.Registerer) (access.Control, error) {
	switch c.Access {
	case "jwt":
		return c.jwt(ctx, log)
	case "webhook":
		return c.webhook(log, registry)
	}
	return access.Open{}, nil
}

func (c *ServeCmd) jwt(ctx context.Context, log *slog.Logger) (access.Control, error) {
	if isOpenHTTP(c.AccessJWKS) {
		log.Warn("the app's keys come over http: whoever is on the way can put in their own")
	}
	control, err := access.NewJWT(ctx, access.JWTConfig{
		KeyFile: c.AccessKey, JWKS: c.AccessJWKS, Algorithms: c.AccessAlg, Issuer: c.AccessIssuer, Audience: c.AccessAudience,
		AnyRoom: c.AccessAnyRoom, DataBytes: c.MaxDataBytes, Logger: log,
	})
	flag := "--access-key"
	if c.AccessJWKS != "" {
		flag = "--access-jwks"
	}
	switch {
	case errors.Is(err, access.ErrKeySet):
		return nil, fmt.Errorf("%s: %w; the pod needs them to start", flag, err)
	case err != nil:
		return nil, usagef("%s: %w", flag, err)
	}
	return control, nil
}

func (c *ServeCmd) webhook(log *slog.Logger, registry prometheus.Registerer) (access.Control, error) {
	if isOpenHTTP(c.AccessWebhook) {
		log.Warn("the app is asked over http: whoever is on the way can read credentials, and let people in")
	}
	var secrets []string
	for _, value := range c.AccessWebhookSecret {
		secret, err := readAtFile("access-webhook-secret", value)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	control, err := access.NewWebhook(access.WebhookConfig{
		URL: c.AccessWebhook, Secrets: secrets, Headers: c.AccessWebhookHeader, MaxStale: c.AccessMaxStale,
		DataBytes: c.MaxDataBytes, Logger: log, Observe: webhookMetrics(registry),
	})
	if err != nil {
		return nil, usagef("--access webhook: %w", err)
	}
	return control, nil
}

// isOpenHTTP says whether others are on the way to an address.
func isOpenHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80"))
}

func webhookMetrics(to prometheus.Registerer) access.WebhookObserver {
	asked := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "roompass_access_webhook_seconds", Help: "One question to the app with all of its attempts, by reason and result: yes, no, error, or open where it isn't asked for a while.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"reason", "result"})
	open := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "roompass_access_webhook_open", Help: "1 while the app isn't asked, because it had no answer several times in a row.",
	})
	to.MustRegister(asked, open)
	return access.WebhookObserver{
		Answered: func(why access.Reason, result string, took time.Duration) {
			asked.WithLabelValues(string(why), result).Observe(took.Seconds())
		},
		Circuit: func(is bool) {
			if is {
				open.Set(1)
			} else {
				open.Set(0)
			}
		},
	}
}

// reloadAccess reads the app's keys again, where they are in a file.
func (s *serving) reloadAccess() {
	app, ok := s.access.(*access.JWT)
	if !ok {
		return
	}
	if err := app.Reload(); err != nil {
		s.log.Error("the app's new keys can't be read; the old ones stay", "error", err)
	}
}
