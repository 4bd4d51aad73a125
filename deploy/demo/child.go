package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A child is a program that runs. What it says is written line by line, with its name before it.
type child struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	err   error         // how it ended; read it after ended
}

// patience is how long a program gets to end by itself.
const patience = 5 * time.Second

// launch starts a program in a process group of its own: Ctrl-C is for us, and we end the
// programs in an order.
func launch(name string, log *lines, path string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	said := log.of(name)
	c.cmd.Stderr = said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		said.flush()
		close(c.ended)
	}()
	return c, nil
}

// stop ends the program and waits for that.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(patience):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// lines is where several programs write, a whole line at a time.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lines) say(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.to, "%-8s| %s\n", name, text)
}

func (l *lines) of(name string) *speaker { return &speaker{name: name, log: l} }

// A speaker is one program's part of the log. One goroutine writes to it.
type speaker struct {
	name string
	log  *lines
	rest []byte // of a line that isn't whole yet
}

func (s *speaker) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		s.log.say(s.name, string(line))
		s.rest = rest
	}
}

func (s *speaker) flush() {
	if len(s.rest) > 0 {
		s.log.say(s.name, string(s.rest))
	}
}
