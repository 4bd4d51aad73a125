package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/roompass/roompass/tokens"
)

// inspectCmd looks into a token that comes on standard input: an argument would
// show it in the list of processes and in the shell's history.
type inspectCmd struct {
	Key string `placeholder:"FILE|DIR" help:"The key or keys that should have signed it; without one the signature is not checked."`
	Alg string `placeholder:"ALG" help:"Algorithm of the key: RS512, RS256, ES256, EdDSA or HS256; by default what fits it."`
}

// longestToken is far above what any SFU takes in a message.
const longestToken = 64 << 10

// Run prints the header, the claims and the times. It returns an error where the
// token doesn't hold; without a key that is judged by its times alone.
func (c *inspectCmd) Run(stdio stdio) error {
	var keys *tokens.KeyRing
	if c.Key != "" {
		var err error
		if keys, err = tokens.LoadKeys(c.Key, tokens.KeyOptions{Alg: c.Alg}); err != nil {
			return usagef("--key: %w", err)
		}
	}
	text, err := readToken(stdio.in)
	if err != nil {
		return err
	}
	seen, err := tokens.Inspect(text)
	if err != nil {
		return err
	}

	now := time.Now()
	signature := "not checked: give the key that should have signed it by --key"
	var verdict error
	if keys != nil {
		if _, verdict = keys.Verify(text, now); !errors.Is(verdict, tokens.ErrSignature) {
			signature = "checked"
		} else {
			signature = "does not hold"
		}
	} else {
		verdict = judgeTimes(seen, now)
	}
	if err := printInspection(stdio.out, seen, signature, now); err != nil {
		return err
	}
	if verdict != nil {
		return fmt.Errorf("this token does not hold: %w", verdict)
	}
	return nil
}

// readToken reads one JWT, with or without white space around it.
func readToken(from io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(from, longestToken+1))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	if len(content) > longestToken {
		return "", fmt.Errorf("standard input is longer than %d bytes; give one token", longestToken)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", errors.New("standard input is empty; pipe a token in")
	}
	return text, nil
}

// judgeTimes is what can be said of a token without a key.
func judgeTimes(seen tokens.Inspection, now time.Time) error {
	switch {
	case seen.ExpiresAt.IsZero():
		return fmt.Errorf("%w: no exp that is an integer", tokens.ErrMalformed)
	case !now.Before(seen.ExpiresAt):
		return tokens.ErrExpired
	case now.Before(seen.NotBefore):
		return tokens.ErrNotYetValid
	}
	return nil
}

func printInspection(to io.Writer, seen tokens.Inspection, signature string, now time.Time) error {
	var page strings.Builder
	for _, part := range []struct {
		name string
		json json.RawMessage
	}{{"header", seen.Header}, {"claims", seen.Claims}} {
		var indented bytes.Buffer
		if err := json.Indent(&indented, part.json, "", "  "); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(&page, "%s %s\n", part.name, printable(indented.String()))
	}
	for _, moment := range []struct {
		name string
		at   time.Time
	}{{"issued", seen.IssuedAt}, {"not before", seen.NotBefore}, {"expires", seen.ExpiresAt}} {
		if !moment.at.IsZero() {
			fmt.Fprintf(&page, "%-11s%s (%s)\n", moment.name, moment.at.UTC().Format(time.RFC3339), fromNow(moment.at, now))
		}
	}
	fmt.Fprintf(&page, "%-11s%s\n", "signature", signature)
	_, err := io.WriteString(to, page.String())
	return err
}

// fromNow is how far a moment is away, in whole seconds.
func fromNow(at, now time.Time) string {
	if at.After(now) {
		return "in " + at.Sub(now).Truncate(time.Second).String()
	}
	return now.Sub(at).Truncate(time.Second).String() + " ago"
}

// printable escapes what a stranger's token could steer a terminal with (CWE-150).
// Outside of its strings JSON has nothing that this would change.
func printable(text string) string {
	var clean strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			clean.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&clean, `\U%08x`, r)
		default:
			fmt.Fprintf(&clean, `\u%04x`, r)
		}
	}
	return clean.String()
}
