// Package redis_test has a redis-server load the users in this folder. That the gateway's may do all that it
// needs is tested where it is used: in rooms, gateway/policy, gateway/janus and cmd/roompass.
package redis_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/roompass/roompass/rooms/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return "#" + hex.EncodeToString(sum[:])
}

// open starts a server with users.acl, and returns the operator's connection.
func open(t *testing.T) *redis.Client {
	t.Helper()
	text, err := os.ReadFile("users.acl")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users.acl")
	filled := strings.NewReplacer("#OPERATOR", hash("operator's"), "#ROOMPASS", hash("gateway's")).Replace(string(text))
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	s := redistest.Start(t, "--aclfile", file)
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "operator", Password: "operator's"})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// may asks whether the gateway's user may do something.
func may(t *testing.T, c *redis.Client, command ...any) bool {
	t.Helper()
	answer, err := c.Do(t.Context(), append([]any{"ACL", "DRYRUN", "roompass"}, command...)...).Text()
	if err != nil {
		t.Errorf("%v: %v", command, err)
	}
	return answer == "OK"
}

func TestThePasswordsAreToBeFilledIn(t *testing.T) {
	text, err := os.ReadFile("users.acl")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		if strings.HasPrefix(word, ">") || word == "nopass" || strings.HasPrefix(word, "#") && word != "#OPERATOR" && word != "#ROOMPASS" {
			t.Errorf("%q: a server would start with a password that everybody knows", word)
		}
	}
}

func TestTheDefaultUserMayNothing(t *testing.T) {
	operator := open(t)
	anybody := redis.NewClient(&redis.Options{Addr: operator.Options().Addr})
	defer anybody.Close()
	if err := anybody.Ping(t.Context()).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("without a password: %v", err)
	}
}

// Every other command that Redis knows is refused, with the fewest arguments that it takes.
func TestTheGatewaysUserMayNothingElse(t *testing.T) {
	c := open(t)
	text, err := os.ReadFile("users.acl")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(text), "user roompass ")
	named := map[string]bool{}
	for _, word := range strings.Fields(rules) {
		if name, ok := strings.CutPrefix(word, "+"); ok {
			if strings.HasPrefix(name, "@") {
				t.Errorf("%s is a whole category", word)
			}
			named[name] = true
		}
	}
	for _, name := range []string{"auth", "hello", "quit", "reset"} { // which everybody may
		delete(named, name)
	}
	count, seen := 0, map[string]bool{}
	var look func(commands []any)
	look = func(commands []any) {
		for _, is := range commands {
			command := is.([]any)
			name, arity := command[0].(string), command[1].(int64)
			if below := command[9].([]any); len(below) > 0 {
				look(below)
				continue
			}
			if name == "auth" || name == "hello" || name == "quit" || name == "reset" {
				continue
			}
			var words []any
			for word := range strings.SplitSeq(name, "|") {
				words = append(words, word)
			}
			// Commands with a number of keys take it for that; those of no keys don't mind.
			for i := int64(len(words)); i < max(arity, -arity); i++ {
				words = append(words, "0")
			}
			count++
			answer, err := c.Do(t.Context(), append([]any{"ACL", "DRYRUN", "roompass"}, words...)...).Text()
			refused := strings.Contains(answer, "has no permissions to run")
			whole, _, _ := strings.Cut(name, "|") // COMMAND has its subcommands with it
			if may := named[name] || named[whole]; refused == may {
				t.Errorf("%s: refused %v, named %v: %q %v", name, refused, may, answer, err)
			}
			seen[name], seen[whole] = true, true
		}
	}
	all, err := c.Do(t.Context(), "COMMAND").Slice()
	if err != nil {
		t.Fatal(err)
	}
	look(all)
	for name := range named {
		if !seen[name] {
			t.Errorf("%s isn't a command", name)
		}
	}
	if count < 300 {
		t.Errorf("only %d commands were looked at", count)
	}
}

func TestTheGatewaysUserHasItsPrefixAlone(t *testing.T) {
	c := open(t)
	for _, command := range [][]any{
		{"GET", "%"}, {"SET", "%", "1"}, {"HGETALL", "%"}, {"DEL", "roompass:a", "%"}, {"EVAL", "return 1", 1, "%"},
		{"PUBLISH", "%", "1"}, {"SPUBLISH", "%", "1"}, {"SUBSCRIBE", "%"}, {"SSUBSCRIBE", "%"},
	} {
		for name, want := range map[string]bool{"roompass:{lobby}:log": true, "roompass": false, "other:{lobby}:log": false, "{lobby}:log": false} {
			filled := make([]any, len(command))
			for i, word := range command {
				filled[i] = word
				if word == "%" {
					filled[i] = name
				}
			}
			if got := may(t, c, filled...); got != want {
				t.Errorf("%v: %v, want %v", filled, got, want)
			}
		}
	}
}
