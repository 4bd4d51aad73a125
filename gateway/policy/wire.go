package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// wire is a rule as Redis has it. The scripts write what is before kind, and take the rest as
// it comes.
type wire struct {
	Version uint64 `json:"version"`
	Set     int64  `json:"set"` // Unix ms, as all times
	Until   int64  `json:"until"`
	Keep    int64  `json:"keep"` // until when it is remembered
	Value   bool   `json:"value"`
	wireKey
}

type wireKey struct {
	Kind   Kind   `json:"kind"`
	User   string `json:"user,omitempty"`
	Member string `json:"member,omitempty"`
	Room   string `json:"room,omitempty"`
	Target string `json:"target,omitempty"`
}

// rest is the end of a rule's JSON.
func (r Rule) rest() (string, error) {
	text, err := json.Marshal(wireKey{r.Kind, r.User, r.Member, r.Room, r.Target})
	return strings.TrimPrefix(string(text), "{"), err
}

// errPayload says that Redis has, or sent, what isn't of this package.
var errPayload = errors.New("it can't be read")

// decode reads a rule as Redis has it.
func decode(text string) (entry, error) {
	var w wire
	if !utf8.ValidString(text) {
		return entry{}, errPayload
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return entry{}, fmt.Errorf("%w: %w", errPayload, err)
	}
	if !isMilli(w.Set) || !isMilli(w.Until) || !isMilli(w.Keep) {
		return entry{}, fmt.Errorf("%w: its times", errPayload)
	}
	r := Rule{w.Kind, w.User, w.Member, w.Room, w.Target, w.Value, time.UnixMilli(w.Set), time.UnixMilli(w.Until)}
	if why := r.flaw(); why != "" {
		return entry{}, fmt.Errorf("%w: %s", errPayload, why)
	}
	return entry{r, time.UnixMilli(max(w.Keep, w.Until))}, nil
}

// A place is one in a history of rules. Two pods that are at the same place know the same:
// chain is the hash of all that led there.
type place struct {
	epoch   string // of the history
	version uint64
	chain   string
}

// step is what leads from a place to another one.
type step struct {
	before, after place
	rules         []string // as in wire
	all           bool     // beside them there is nothing after it
}

// parsePlace reads a place of three words, each of which may be missing.
func parsePlace(epoch, version, chain string) (place, error) {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return place{}, fmt.Errorf("%w: the version %.20q", errPayload, version)
	}
	return place{epoch, n, chain}, nil
}

// parseStep reads what lua/put.lua answers.
func parseStep(words []string) (s step, err error) {
	if len(words) < 6 {
		return step{}, fmt.Errorf("%w: there are %d words", errPayload, len(words))
	}
	if s.before, err = parsePlace(words[0], words[1], words[2]); err != nil {
		return step{}, err
	}
	if s.after, err = parsePlace(words[3], words[4], words[5]); err != nil {
		return step{}, err
	}
	s.rules = words[6:]
	return s, nil
}

// parseMessage reads what lua/put.lua publishes.
func parseMessage(text string) (step, error) {
	words := strings.SplitN(text, " ", 7)
	if len(words) < 7 {
		return step{}, fmt.Errorf("%w: there are %d words", errPayload, len(words))
	}
	for _, i := range []int{0, 2, 3, 5} {
		words[i] = strings.TrimPrefix(words[i], "=")
	}
	var rules []json.RawMessage
	if err := json.Unmarshal([]byte(words[6]), &rules); err != nil {
		return step{}, fmt.Errorf("%w: %w", errPayload, err)
	}
	words = words[:6]
	for _, r := range rules {
		words = append(words, string(r))
	}
	return parseStep(words)
}
