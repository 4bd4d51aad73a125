// Command bench compares roompass with a server on the centrifuge library, both on this
// machine, both with Redis and presence, under the same clients. See BENCHMARKS.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	connections int
	connectRate int
	rates       []int // deliveries a second
	duration    time.Duration
	idle        time.Duration
	rounds      int
	roompass    string // the binary
	dir         string // keys are made here
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve-centrifuge" {
		fail(serveCentrifuge(os.Args[2], os.Args[3]))
		return
	}
	var o options
	var rates, out string
	flag.IntVar(&o.connections, "connections", 2000, "clients, in rooms of 10")
	flag.IntVar(&o.connectRate, "connect-rate", 400, "clients a second that come in")
	flag.StringVar(&rates, "rates", "10000,30000,60000", "deliveries a second that are offered")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "of each rate")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long all are idle")
	flag.IntVar(&o.rounds, "rounds", 2, "how often all is measured; each figure is the median, of two the lower")
	flag.StringVar(&o.roompass, "roompass", "../bin/roompass", "the roompass binary")
	flag.StringVar(&out, "json", "", "file for the report as JSON; - is standard output, in place of the table")
	flag.Parse()
	for text := range strings.SplitSeq(rates, ",") {
		rate, err := strconv.Atoi(text)
		if err != nil || rate <= 0 {
			fail(fmt.Errorf("--rates: %q isn't a rate", text))
		}
		o.rates = append(o.rates, rate)
	}
	fail(run(o, out))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options, out string) error {
	if o.connections < roomSize || o.connections%roomSize != 0 {
		return fmt.Errorf("--connections has to be a multiple of %d", roomSize)
	}
	if o.connectRate <= 0 || o.duration <= 0 || o.idle <= 0 || o.rounds <= 0 {
		return fmt.Errorf("--connect-rate, --duration, --idle and --rounds have to be positive")
	}
	if err := liftFileLimit(o.connections + 100); err != nil {
		return err
	}
	// The clients' own collector is no part of what is measured.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.roompass, err = filepath.Abs(o.roompass); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)

	sides := []side{roompass{o}, centrifugal{}}
	var measured [2][]figures
	for i := range 2 * o.rounds {
		// Who begins changes: what else the machine does falls on both.
		n := (i + i/2) % 2
		f, err := measure(ctx, o, sides[n])
		if err != nil {
			return fmt.Errorf("%s: %w", sides[n].name(), err)
		}
		measured[n] = append(measured[n], f)
	}
	report := compare(o, median(measured[0]), median(measured[1]))
	if out == "-" {
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	report.print(os.Stdout)
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

// liftFileLimit lets this process, and those that it starts, have n files.
func liftFileLimit(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < uint64(n) {
		return fmt.Errorf("a process may have %d files here, and %d are needed: take fewer --connections", limit.Max, n)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
