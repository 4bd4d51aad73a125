package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/roompass/roompass/cmd/roompass/load"
)

// benchCmd is many clients at once.
type benchCmd struct {
	URL         []string      `name:"url" required:"" placeholder:"ws://HOST/ws" help:"WebSocket address of a gateway, or of each pod; repeatable."`
	Connections int           `default:"100" help:"Clients, each in one room."`
	Rooms       int           `default:"10" help:"Rooms that they are dealt out over."`
	ConnectRate float64       `default:"100" help:"Clients a second that come in."`
	Rate        float64       `default:"0" help:"Signals a second that all of them send together, each to everybody else in its room."`
	Payload     int           `default:"128" help:"Bytes of each signal's data."`
	Duration    time.Duration `default:"30s" help:"How long it goes on when all are in."`

	Credential   string        `default:"bench-{n}" placeholder:"TEXT|@FILE" help:"Who they are: {n} stands for a client's number. Empty: nobody."`
	Origin       string        `placeholder:"https://APP" help:"The page that they say they are."`
	TokenRefresh time.Duration `default:"4m" help:"The gateway's --token-refresh, which lateness counts from."`
	Source       []string      `placeholder:"ADDRESS" help:"Local address that connections come from, such as 127.0.0.2; repeatable. One has 28,000 ports."`

	JSON string `name:"json" placeholder:"FILE" help:"Write the whole report as JSON too; - is standard output, in place of the summary."`
	HTML string `name:"html" placeholder:"FILE" help:"Write the report as a page with charts too."`
}

// Validate refuses what can't be meant.
func (c *benchCmd) Validate() error {
	for _, address := range c.URL {
		if err := checkSocketURL(address); err != nil {
			return err
		}
	}
	switch {
	case c.Connections < 1 || c.Rooms < 1:
		return errors.New("--connections and --rooms: give one at least")
	case c.ConnectRate <= 0 || c.Rate < 0 || c.Payload < 0:
		return errors.New("--connect-rate must be above zero, and --rate and --payload not below")
	case c.Duration < time.Second:
		return errors.New("--duration: give a second at least")
	}
	return nil
}

// Run loads the gateway and says what came of it. It fails where a token didn't hold or
// had run out: that is what a gateway promises.
func (c *benchCmd) Run(ctx context.Context, std stdio) error {
	credential, err := readAtFile("credential", c.Credential)
	if err != nil {
		return err
	}
	config := load.Config{
		URLs: c.URL, Connections: c.Connections, Rooms: c.Rooms, ConnectRate: c.ConnectRate, SignalRate: c.Rate, Payload: c.Payload,
		Duration: c.Duration, Credential: credential, Origin: c.Origin, Refresh: c.TokenRefresh,
	}
	for _, text := range c.Source {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return usageError{fmt.Errorf("--source %q isn't an address", text)}
		}
		config.Sources = append(config.Sources, address)
	}
	for _, shortage := range prepareFiles(&config) {
		fmt.Fprintln(std.err, "roompass:", shortage)
	}
	var done func()
	config.Progress, done = progressOn(std.err)
	report, err := load.Run(ctx, config)
	done()
	if err != nil {
		return err
	}
	if err := c.write(report, std.out); err != nil {
		return err
	}
	if report.Lapses > 0 || report.BadTokens > 0 {
		return fmt.Errorf("%d lapses, and %d tokens that didn't hold", report.Lapses, report.BadTokens)
	}
	return nil
}

func (c *benchCmd) write(report *load.Report, out io.Writer) error {
	if c.HTML != "" {
		file, err := os.Create(c.HTML)
		if err != nil {
			return fmt.Errorf("--html: %w", err)
		}
		// The command as it would be written again, without what may be a secret.
		err = report.WriteHTML(file, fmt.Sprintf("roompass bench --url %s --connections %d --rooms %d --connect-rate %g --rate %g --payload %d --duration %v",
			strings.Join(redactedAll(c.URL), ","), c.Connections, c.Rooms, c.ConnectRate, c.Rate, c.Payload, c.Duration))
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if c.JSON == "" {
		return report.WriteText(out)
	}
	to := out
	if c.JSON != "-" {
		if err := report.WriteText(out); err != nil {
			return err
		}
		file, err := os.Create(c.JSON)
		if err != nil {
			return fmt.Errorf("--json: %w", err)
		}
		defer file.Close()
		to = file
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

func redactedAll(addresses []string) (all []string) {
	for _, address := range addresses {
		all = append(all, redacted(address))
	}
	return all
}

// spareFiles are those that a process has open beside its sockets.
const spareFiles = 64

// prepareFiles has the process be allowed as many files as there are connections, and
// says what keeps it from that: then there are fewer.
func prepareFiles(config *load.Config) (shortage []string) {
	need := uint64(config.Connections + spareFiles)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= need {
		return nil
	}
	raised := limit
	raised.Cur, raised.Max = need, max(need, limit.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return nil
	}
	raised.Cur, raised.Max = min(need, limit.Max), limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised)
	if raised.Cur >= need {
		return nil
	}
	config.Connections = int(raised.Cur) - spareFiles
	return []string{fmt.Sprintf("this process may open %d files, so it makes %d connections; a privileged one may raise that, as ulimit -Hn says", raised.Cur, config.Connections)}
}

// progressOn shows how far a run is, where w is a terminal.
func progressOn(w io.Writer) (show func(load.Progress), done func()) {
	file, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	var phase string
	var bar *mpb.Bar
	var latest atomic.Pointer[load.Progress] // the bars are drawn by a goroutine of their own
	show = func(p load.Progress) {
		latest.Store(&p)
		if p.Phase != phase {
			if bar != nil {
				bar.SetTotal(-1, true)
			}
			phase, bar = p.Phase, nil
			if p.Total > 0 {
				bar = bars.AddBar(int64(p.Total),
					mpb.PrependDecorators(decor.Name(p.Phase, decor.WCSyncSpaceR), decor.CountersNoUnit("%d / %d", decor.WCSyncSpace)),
					mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
						return fmt.Sprintf("%d deliveries, %d lapses", latest.Load().Received, latest.Load().Lapses)
					})))
			}
		}
		if bar != nil {
			bar.SetCurrent(int64(p.Done))
		}
	}
	return show, func() {
		if bar != nil {
			bar.Abort(false)
		}
		bars.Shutdown()
	}
}
