// Command roompass is the signaling gateway and the tools around it.
//
//	roompass serve         run the gateway; --dev is all it takes to try it
//	roompass keygen        make the key that signs tokens, and its public halves
//	roompass token mint    sign one token, as the gateway would
//	roompass token inspect read a token from standard input and say whether it holds
//	roompass watch         sit in a room and print every message, a JSON line each
//	roompass bench         load a gateway with many clients, and say what they saw
//	roompass version       say which build this is
//
// Every flag can be set in three other places. The command line wins over the
// environment, the environment over the file, and the file over the default:
//
//	roompass serve --token-ttl 2m        the command line
//	ROOMPASS_TOKEN_TTL=2m                the environment, for every flag of every command
//	token-ttl: 2m                        the YAML file of serve --config FILE
//
// # Exit codes
//
//	0  done, or ended by SIGINT or SIGTERM in good order
//	1  it was tried and failed: a token that doesn't hold, a gateway that closed
//	2  a wrong flag, environment variable, configuration file or combination
//	3  a client asked serve --dev to crash, as the demo page's "Kill this pod" does
//
// Whatever goes wrong ends in one line on standard error that says what to do.
// Standard output carries results only, so that
//
//	roompass token mint --key key.pem --room lobby | roompass token inspect --key key.pem
//
// works. What mint and watch print there are live credentials.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, as the manual above gives them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commandLine is the grammar: each field with a cmd tag is a command, and its
// Run method does it.
type commandLine struct {
	PrintVersion versionFlag `name:"version" env:"-" help:"Print the version and end."`

	Serve   ServeCmd   `cmd:"" help:"Run the gateway."`
	Keygen  keygenCmd  `cmd:"" help:"Make the key that signs tokens, and its public halves."`
	Token   tokenCmd   `cmd:"" help:"Sign one token, or look into one."`
	Watch   watchCmd   `cmd:"" help:"Join a room and print every message, one JSON line each."`
	Bench   benchCmd   `cmd:"" help:"Load a gateway with many clients, and say what they saw."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// stdio is what a command reads and writes. Commands take it as an argument of
// Run, and a [context.Context] that ends with SIGINT or SIGTERM, so that tests
// need no process.
type stdio struct {
	in  io.Reader
	out io.Writer // results only
	err io.Writer // everything else that a person reads
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process at once: a drain may take long.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does what args say and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch end := recover().(type) {
		case nil:
		case ended:
			code = int(end)
		default:
			panic(end)
		}
	}()

	parser, err := kong.New(&commandLine{},
		kong.Name("roompass"),
		kong.Description("A signaling gateway that pushes every client a fresh room token before the last one runs out."),
		kong.DefaultEnvars("ROOMPASS"),
		kong.Writers(stdout, stderr),
		// Help prints and then asks to exit; without an end it would go on to
		// complain of what else is missing.
		kong.Exit(func(code int) { panic(ended(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(stdio{in: stdin, out: stdout, err: stderr}),
	)
	if err != nil {
		panic(err) // the grammar above is wrong: no input can cause it
	}

	command, err := parser.Parse(args)
	if err == nil {
		err = command.Run()
	}
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "roompass: %s%s\n", oneLine(err), whereToLook(err))
	if isUsage(err) {
		return exitUsage
	}
	return exitFailed
}

// ended is how --help and --version leave the parser.
type ended int

// A usageError is a wrong flag, file or combination that a command found after
// parsing. It ends the process with exit code 2.
type usageError struct{ error }

// Unwrap gives [errors.Is] the cause.
func (e usageError) Unwrap() error { return e.error }

// usagef is [fmt.Errorf] for a [usageError].
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func isUsage(err error) bool {
	var found usageError
	var parse *kong.ParseError
	return errors.As(err, &found) || errors.As(err, &parse)
}

// whereToLook points at the help of the command that couldn't be parsed.
func whereToLook(err error) string {
	var parse *kong.ParseError
	if !errors.As(err, &parse) {
		return ""
	}
	command := "roompass"
	if parse.Context != nil && parse.Context.Selected() != nil {
		command = parse.Context.Selected().FullPath()
	}
	return fmt.Sprintf(" (see %q)", command+" --help")
}

// oneLine is err's text without its line breaks.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
