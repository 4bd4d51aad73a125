package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// outcome is what a person sees of one call of the command.
type outcome struct {
	code        int
	out, stderr string
}

// roompass calls the command as a shell would, with stdin as its input.
func roompass(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(stdin), &out, &stderr)
	return outcome{code: code, out: out.String(), stderr: stderr.String()}
}

// wantsOneSentence fails unless o is a failure with the code, nothing on
// standard output, and one line on standard error that contains each of words.
func (o outcome) wantsOneSentence(t *testing.T, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	if o.out != "" {
		t.Errorf("standard output %q, want nothing", o.out)
	}
	if strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "roompass: ") {
		t.Errorf("standard error %q, want one line that begins with roompass:", o.stderr)
	}
	for _, word := range words {
		if !strings.Contains(o.stderr, word) {
			t.Errorf("standard error %q doesn't say %q", o.stderr, word)
		}
	}
}

func TestWrongCommandLineEndsInOneSentenceThatSaysWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name string
		args string
		says string
	}{
		{"no command", "", `expected one of "serve", "keygen"`},
		{"half a command", "token", `expected one of "mint", "inspect"`},
		{"unknown command", "server", `did you mean "serve"`},
		{"unknown flag", "keygen --ot x", `did you mean "--out"`},
		{"missing flag", "keygen", "--out"},
		{"missing flags", "watch", "--url"},
		{"not a number", "keygen --out x --bits many", "--bits"},
		{"a key too small for the SFU", "keygen --out x --bits 1024", "2048 to 8192"},
		{"a key too large for the SFU", "keygen --out x --bits 16384", "2048 to 8192"},
		{"an argument too many", "version now", "unexpected argument now"},
		{"not a duration", "token mint --key k --room r --ttl five", "--ttl"},
		{"a lifetime below a second", "token mint --key k --room r --ttl 900ms", "at least 1s"},
		{"a token for no room", "token mint --key k --room=", "name one"},
		{"an HTTP address", "watch --url http://127.0.0.1/ws --room r", "ws://127.0.0.1:8080/ws"},
		{"an address without a host", "watch --url ws:///ws --room r", "ws://127.0.0.1:8080/ws"},
		{"watching no room", "watch --url ws://127.0.0.1/ws --room=", "name the room"},
	} {
		t.Run(test.name, func(t *testing.T) {
			roompass(t, "", strings.Fields(test.args)...).wantsOneSentence(t, exitUsage, test.says, "--help")
		})
	}
}

func TestEnvironmentSetsFlagsAndTheCommandLineWins(t *testing.T) {
	t.Setenv("ROOMPASS_BITS", "1024")
	roompass(t, "", "keygen", "--out", t.TempDir()).wantsOneSentence(t, exitUsage, "--bits 1024")
	roompass(t, "", "keygen", "--out", t.TempDir(), "--bits", "512").wantsOneSentence(t, exitUsage, "--bits 512")
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, args := range []string{"--help", "serve --help", "keygen --help", "token mint --help", "token inspect --help", "watch --help"} {
		t.Run(args, func(t *testing.T) {
			got := roompass(t, "", strings.Fields(args)...)
			if got.code != exitDone || got.stderr != "" || !strings.HasPrefix(got.out, "Usage: roompass") {
				t.Errorf("got %+v, want the usage on standard output and exit code 0", got)
			}
		})
	}
}

func TestVersionIsOneLine(t *testing.T) {
	command, flag := roompass(t, "", "version"), roompass(t, "", "--version")
	if command != flag {
		t.Errorf("version says %+v, --version %+v", command, flag)
	}
	words := strings.Fields(command.out)
	if len(words) != 4 || words[0] != "roompass" || words[1] != buildVersion() || strings.Count(command.out, "\n") != 1 {
		t.Errorf("version printed %q, want one line: roompass VERSION GO OS/ARCH", command.out)
	}
}

func TestLinkedVersionWinsOverTheBuildsRecord(t *testing.T) {
	defer func(before string) { version = before }(version)
	version = "v1.2.3"
	if got := buildVersion(); got != "v1.2.3" {
		t.Errorf("version %q, want v1.2.3", got)
	}
}
