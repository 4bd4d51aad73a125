// Command demo runs what an installation of roompass has, on this machine: a Redis, a few pods
// over it, and HAProxy in front of them. A pod that dies is started again, so that one may kill
// it. When the command ends nothing of that is left.
//
//	demo --roompass bin/roompass            two pods behind http://127.0.0.1:8080
//	demo --pods 5 -- --linger 5s            five, and a flag more for each roompass serve
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// demo is what the command line says.
type demo struct {
	Roompass     string        `default:"bin/roompass" help:"The built command: make build." placeholder:"FILE"`
	Pods         int           `default:"2" help:"How many pods, 1 to 9."`
	Listen       string        `default:"127.0.0.1:8080" help:"Where browsers come: HAProxy's address."`
	AdminPort    int           `default:"9091" help:"Port of the first pod's console, on 127.0.0.1; the others' follow. 0: any that are free."`
	TokenTTL     time.Duration `default:"1m" help:"How long a token lives: short, so that one sees the next ones come."`
	TokenRefresh time.Duration `default:"40s" help:"How old a token gets before the next one is pushed."`
	Serve        []string      `arg:"" optional:"" help:"After --, more flags of roompass serve for each pod."`
}

func main() {
	var d demo
	kong.Parse(&d, kong.Name("demo"), kong.Description("Runs a few pods of roompass with Redis and HAProxy on this machine, to try them out and to kill them."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // the terminal may be closed
	err := d.run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run brings all of it up, says so on out, and takes it down when ctx ends. What the programs say
// goes to log.
func (d *demo) run(ctx context.Context, out, log io.Writer) error {
	if d.Pods < 1 || d.Pods > 9 {
		return fmt.Errorf("--pods %d: 1 to 9", d.Pods)
	}
	pods, err := d.addresses()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "roompass-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cluster, err := start(ctx, d, dir, pods, &lines{to: log})
	if err == nil {
		d.greet(out, cluster)
		err = cluster.wait(ctx)
	}
	cluster.stop()
	if ctx.Err() != nil {
		return nil // somebody ended it, on its way up too
	}
	return err
}

// A podAddress is where a pod listens.
type podAddress struct{ name, listen, admin string }

// addresses finds where all will listen, before anything is started.
func (d *demo) addresses() ([]podAddress, error) {
	if !free(d.Listen) {
		return nil, fmt.Errorf("--listen %s can't be had: stop what listens there, or choose another, such as --listen 127.0.0.1:8090", d.Listen)
	}
	pods := make([]podAddress, d.Pods)
	for i := range pods {
		p := podAddress{name: "pod-" + string(rune('a'+i)), listen: freeAddress()}
		if p.admin = freeAddress(); d.AdminPort != 0 {
			p.admin = net.JoinHostPort("127.0.0.1", strconv.Itoa(d.AdminPort+i))
			if !free(p.admin) {
				return nil, fmt.Errorf("%s, for the console of %s, can't be had: stop what listens there, or choose others, such as --admin-port %d", p.admin, p.name, d.AdminPort+100)
			}
		}
		pods[i] = p
	}
	return pods, nil
}

// greet says what is there and what to do with it.
func (d *demo) greet(out io.Writer, c *cluster) {
	var text strings.Builder
	pods := fmt.Sprintf("%d pods that have the same rooms", len(c.pods))
	if len(c.pods) == 1 {
		pods = "one pod"
	}
	fmt.Fprintf(&text, "\nroompass is up, with %s.\n\n", pods)
	fmt.Fprintf(&text, "  open     http://%s/?room=lobby   in two windows\n", d.Listen)
	for i, p := range c.pods {
		word := "       "
		if i == 0 {
			word = "look in"
		}
		fmt.Fprintf(&text, "  %s  http://%s/console   %s\n", word, p.admin, p.name)
	}
	fmt.Fprintf(&text, "  key      %s   for the consoles\n\n", c.adminKey)
	text.WriteString("  try      \"Drop my socket\", \"Sleep 5 minutes\" and \"Kill this pod\" in the page: nothing lapses.\n" +
		"           A pod that died is back after some seconds. Ctrl-C ends it all.\n\n")
	_, _ = io.WriteString(out, text.String())
}

// errEnded is why the demo ends by itself.
var errEnded = errors.New("it ended; what it said is above")
