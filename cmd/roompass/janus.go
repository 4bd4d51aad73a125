package main

import (
	"errors"

	"github.com/roompass/roompass/gateway/janus"
)

// janus is the front of Janus; nil: there is none. homes may be nil.
func (c *ServeCmd) janus(homes janus.Homes) (*janus.Config, error) {
	if len(c.Janus) == 0 {
		if len(c.JanusPlugin) > 0 || c.JanusToken != "" || c.JanusAPISecret != "" || c.JanusOptional {
			return nil, errors.New("--janus is missing: the other flags of that name are about it")
		}
		return nil, nil
	}
	token, err := readAtFile("janus-token", c.JanusToken)
	if err != nil {
		return nil, err
	}
	secret, err := readAtFile("janus-api-secret", c.JanusAPISecret)
	if err != nil {
		return nil, err
	}
	return &janus.Config{
		Servers: c.Janus, Homes: homes, Plugins: c.JanusPlugin, Token: token, APISecret: secret,
		Optional: c.JanusOptional, Drain: c.drain(),
	}, nil
}
