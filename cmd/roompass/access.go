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

	"github.com/roompass/roompass/gateway/access"
)

// checkAccess finds what of --access can't be meant, in the words of the flags.
func (c *ServeCmd) checkAccess() error {
	if c.Access != "jwt" {
		for _, is := range []struct {
			flag  string
			given bool
		}{
			{"--access-key", c.AccessKey != ""}, {"--access-jwks", c.AccessJWKS != ""}, {"--access-alg", len(c.AccessAlg) > 0},
			{"--access-issuer", c.AccessIssuer != ""}, {"--access-audience", c.AccessAudience != ""}, {"--access-any-room", c.AccessAnyRoom},
			{"--access-cookie", c.AccessCookie != ""},
		} {
			if is.given {
				return fmt.Errorf("%s is for --access jwt, and --access is %s: everybody may enter; say --access jwt too", is.flag, c.Access)
			}
		}
		return nil
	}
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

// access makes what decides who may enter.
func (c *ServeCmd) access(ctx context.Context, log *slog.Logger) (access.Control, error) {
	if c.Access == "open" {
		return access.Open{}, nil
	}
	if u, err := url.Parse(c.AccessJWKS); err == nil && u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80")) {
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
