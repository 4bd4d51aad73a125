// Command bench measures roompass beside a server on the centrifuge library, and beside the
// limits of what it is made of, in one run on this machine. See BENCHMARKS.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

type options struct {
	connections int
	connectRate int
	members     int   // whose tokens are pushed
	rates       []int // deliveries a second
	growth      []int // connections
	duration    time.Duration
	idle        time.Duration
	rounds      int
	binary      string // roompass
	source      string // roompass's directory
	dir         string // keys and benchmarks are made here
	json        string
	plots       string
}

// roompass is our side as most sections have it.
func (o options) roompass() roompass { return roompass{binary: o.binary, dir: o.dir} }

// servers are what the program is when it is started by itself.
var servers = map[string]func(args []string) error{
	"serve-centrifuge": func(args []string) error { return serveCentrifuge(args[0], args[1]) },
	"serve-handshakes": func(args []string) error { return serveHandshakes(args[0]) },
}

func main() {
	if len(os.Args) > 2 && servers[os.Args[1]] != nil {
		fail(servers[os.Args[1]](os.Args[2:]))
		return
	}
	var o options
	var rates, growth, only string
	var all bool
	flag.StringVar(&only, "only", "", "sections to measure, of "+sectionNames()+"; all but growth if empty")
	flag.BoolVar(&all, "all", false, "growth too, which takes as long as the others together")
	flag.IntVar(&o.connections, "connections", 2000, "clients, in rooms of 10")
	flag.IntVar(&o.connectRate, "connect-rate", 400, "clients a second that come in")
	flag.IntVar(&o.members, "members", 10_000, "clients whose tokens are pushed")
	flag.StringVar(&rates, "rates", "10000,30000,60000,120000", "deliveries a second that are offered")
	flag.StringVar(&growth, "growth", "1000,5000,19000", "connections between which growth is measured")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "of each rate")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long all are idle")
	flag.IntVar(&o.rounds, "rounds", 2, "how often all but push and growth is measured; each figure is the median, of two the lower")
	flag.StringVar(&o.binary, "roompass", "../bin/roompass", "the roompass binary")
	flag.StringVar(&o.source, "source", "..", "roompass's source, whose Go benchmarks are measured")
	flag.StringVar(&o.json, "json", "", "file for the report as JSON; - is standard output, in place of the table")
	flag.StringVar(&o.plots, "plots", "", "directory for plots, as SVG")
	flag.Parse()
	var err error
	if o.rates, err = numbers("rates", rates); err != nil {
		fail(err)
	}
	if o.growth, err = numbers("growth", growth); err != nil {
		fail(err)
	}
	chosen, err := choose(only, all)
	if err != nil {
		fail(err)
	}
	fail(run(o, chosen))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// say says how far it is.
func say(format string, values ...any) { fmt.Fprintf(os.Stderr, format+"\n", values...) }

func run(o options, chosen []section) error {
	if err := o.check(chosen); err != nil {
		return err
	}
	// Where nobody reads any more what is printed, the run goes on: what it started has to be ended, and
	// its directory removed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The clients' own collector is no part of what is measured.
	debug.SetGCPercent(400)
	var err error
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)

	report := newReport(o)
	for _, s := range chosen {
		rows, err := s.rows(ctx, o)
		if err != nil {
			return err
		}
		report.Rows = append(report.Rows, rows...)
	}
	return report.write(o)
}

// check refuses what can't be meant, and takes as many files as are needed.
func (o options) check(chosen []section) error {
	if o.connections < roomSize || o.connections%roomSize != 0 {
		return fmt.Errorf("--connections has to be a multiple of %d", roomSize)
	}
	if o.connectRate <= 0 || o.duration <= 0 || o.idle <= 0 || o.rounds <= 0 {
		return fmt.Errorf("--connect-rate, --duration, --idle and --rounds have to be positive")
	}
	if o.members < roomSize {
		return fmt.Errorf("--members has to be at least %d", roomSize)
	}
	most := o.connections
	for _, s := range chosen {
		switch s.name {
		case "push":
			most = max(most, o.members)
		case "growth":
			for _, g := range o.growths() {
				for _, at := range g.sizes {
					most = max(most, at.connections)
				}
			}
		}
	}
	return liftFileLimit(most + 100)
}

// liftFileLimit lets this process, and those that it starts, have n files.
func liftFileLimit(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < uint64(n) {
		return fmt.Errorf("a process may have %d files here, and %d are needed: take fewer --connections or --members, or a smaller --growth", limit.Max, n)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
