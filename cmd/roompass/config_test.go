package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// sample is a grammar with one flag of each shape that a file can set.
type sample struct {
	Serve struct {
		Listen string        `default:"127.0.0.1:8080"`
		TTL    time.Duration `name:"token-ttl" default:"5m"`
		Rooms  int           `name:"max-rooms" default:"16"`
		Dev    bool
		Origin []string
		Config configFile
	} `cmd:""`
	Other struct{} `cmd:""`
}

// parseWithFile parses args and a --config file with the content.
func parseWithFile(t *testing.T, content string, args ...string) (sample, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roompass.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return parseSample(t, append([]string{"serve", "--config", path}, args...)...)
}

func parseSample(t *testing.T, args ...string) (sample, error) {
	t.Helper()
	var grammar sample
	parser, err := kong.New(&grammar, kong.DefaultEnvars("ROOMPASS"), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return grammar, err
}

func TestConfigFileSetsEveryShapeOfFlag(t *testing.T) {
	got, err := parseWithFile(t, `
# a comment
listen: 0.0.0.0:8080
token-ttl: 2m
max-rooms: 4
dev: true
origin:
  - https://a.example
  - "https://b.example/?q=1,2"
`)
	if err != nil {
		t.Fatal(err)
	}
	serve := got.Serve
	if serve.Listen != "0.0.0.0:8080" || serve.TTL != 2*time.Minute || serve.Rooms != 4 || !serve.Dev {
		t.Errorf("got %+v", serve)
	}
	if want := []string{"https://a.example", "https://b.example/?q=1,2"}; !slices.Equal(serve.Origin, want) {
		t.Errorf("origin %q, want %q", serve.Origin, want)
	}
}

func TestConfigFileMayBeEmpty(t *testing.T) {
	for _, content := range []string{"", "# nothing yet\n", "---\n", "{}"} {
		if got, err := parseWithFile(t, content); err != nil || got.Serve.Listen != "127.0.0.1:8080" {
			t.Errorf("file %q: listen %q, error %v; want the default", content, got.Serve.Listen, err)
		}
	}
}

func TestCommandLineWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	const file = "listen: file:1\ntoken-ttl: 3m\nmax-rooms: 3\n"
	t.Setenv("ROOMPASS_LISTEN", "environment:1")
	t.Setenv("ROOMPASS_TOKEN_TTL", "2m")
	got, err := parseWithFile(t, file, "--listen", "line:1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Serve.Listen != "line:1" || got.Serve.TTL != 2*time.Minute || got.Serve.Rooms != 3 {
		t.Errorf("got %+v, want listen of the line, token-ttl of the environment, max-rooms of the file", got.Serve)
	}
}

func TestConfigFileCanBeNamedInTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roompass.yaml")
	if err := os.WriteFile(path, []byte("max-rooms: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ROOMPASS_CONFIG", path)
	got, err := parseSample(t, "serve")
	if err != nil || got.Serve.Rooms != 7 {
		t.Errorf("max-rooms %d, error %v; want 7", got.Serve.Rooms, err)
	}
}

func TestConfigFileOfAnotherCommandIsNotRead(t *testing.T) {
	t.Setenv("ROOMPASS_CONFIG", filepath.Join(t.TempDir(), "missing.yaml"))
	if _, err := parseSample(t, "other"); err != nil {
		t.Errorf("a command without --config failed: %v", err)
	}
}

func TestWrongConfigFileIsRefusedWithItsLine(t *testing.T) {
	for _, test := range []struct {
		name, content, says string
	}{
		{"unknown key", "listen: a:1\ntokenttl: 5m", `line 2: "tokenttl" is not a flag`},
		{"key with dashes", "--listen: a:1", "without its dashes"},
		{"another file", "config: other.yaml", `"config" is not a flag`},
		{"help", "help: true", `"help" is not a flag`},
		{"the same key twice", "dev: true\ndev: false", "line 2"},
		{"no value", "listen:", "has no value"},
		{"a list for one value", "listen: [a, b]", "takes one value"},
		{"a mapping", "serve:\n  listen: a", `"serve" is not a flag`},
		{"a mapping for a value", "listen: {host: a}", "not a mapping"},
		{"a list in a list", "origin: [[a]]", "plain values only"},
		{"a wrong duration", "token-ttl: soon", "--token-ttl"},
		{"a wrong number", "max-rooms: many", "--max-rooms"},
		{"a list of keys", "- listen", "not a mapping"},
		{"two documents", "dev: true\n---\ndev: false", "more than one YAML document"},
		{"not YAML", "listen: [", "line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseWithFile(t, test.content)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestMissingConfigFileIsNamed(t *testing.T) {
	_, err := parseSample(t, "serve", "--config", "missing.yaml")
	if err == nil || !strings.Contains(err.Error(), "missing.yaml") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{"", "listen: a", "origin: [a, b]", "a: &a [*a]", "x: !!binary aGk=", "<<: {listen: a}", "? [a]\n: b", "\xff"} {
		f.Add([]byte(seed))
	}
	var grammar sample
	parser, err := kong.New(&grammar)
	if err != nil {
		f.Fatal(err)
	}
	flags := parser.Model.Children[0].Flags
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := parseConfig(content, flags)
		if err != nil {
			return
		}
		for name := range found {
			if configurable(flags, name) == nil {
				t.Errorf("accepted %q, which is no flag", name)
			}
		}
	})
}
