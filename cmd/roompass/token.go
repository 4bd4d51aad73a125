package main

import (
	"fmt"
	"time"

	"github.com/roompass/roompass/tokens"
)

// tokenCmd is the two commands on single tokens.
type tokenCmd struct {
	Mint    mintCmd    `cmd:"" help:"Sign a token and print it."`
	Inspect inspectCmd `cmd:"" help:"Read a token from standard input; say what is in it and whether it holds."`
}

// mintCmd signs one token with the claims that the gateway would give it.
type mintCmd struct {
	Key     string        `required:"" placeholder:"FILE" help:"Private key (PEM), a folder of them, or the secret for HS256."`
	Room    string        `required:"" help:"The room that the token is for."`
	User    string        `help:"User id; without one the token is anonymous."`
	Kick    bool          `help:"The user may kick others."`
	TTL     time.Duration `name:"ttl" default:"5m" help:"How long the token holds."`
	Alg     string        `placeholder:"ALG" help:"RS512, RS256, ES256, EdDSA or HS256; by default what fits the key."`
	NoKeyID bool          `name:"no-kid" help:"Leave the key id out of the header."`
}

// Validate refuses a lifetime that whole seconds can't express.
func (c *mintCmd) Validate() error {
	if c.TTL < time.Second {
		return fmt.Errorf("--ttl %v: give at least 1s", c.TTL)
	}
	if c.Room == "" {
		return fmt.Errorf("--room is empty: to the SFU such a token would hold for no room; name one")
	}
	return nil
}

// Run prints the JWT and nothing else.
func (c *mintCmd) Run(io stdio) error {
	keys, err := tokens.LoadKeys(c.Key, tokens.KeyOptions{Alg: c.Alg, NoKeyID: c.NoKeyID})
	if err != nil {
		return usagef("--key: %w", err)
	}
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: keys, TTL: c.TTL})
	if err != nil {
		return err
	}
	token, err := issuer.Mint(tokens.Grant{User: c.User, Room: c.Room, JoinHub: true, KickUsers: c.Kick})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, token.JWT)
	return err
}
