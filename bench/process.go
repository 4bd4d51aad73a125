package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// launch starts cmd and waits until it listens. Where it doesn't, it is ended.
func launch(ctx context.Context, cmd *exec.Cmd, address string) error {
	cmd.Stderr = &brief{os.Stderr, 5}
	// An interrupt at the terminal is for us: we end the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	end(cmd)
	return fmt.Errorf("%s doesn't listen", cmd.Path)
}

// A brief passes on the first lines that a server says. Where it is overloaded it may say one for
// each client.
type brief struct {
	to   io.Writer
	left int
}

func (b *brief) Write(text []byte) (int, error) {
	if b.left > 0 {
		b.left--
		_, _ = b.to.Write(text)
	}
	return len(text), nil
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// readProcess reads proc_pid_statm(5) and proc_pid_stat(5).
func readProcess(pid int) (rss, cpu float64, err error) {
	const ticks = 100 // a second: USER_HZ
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	pages := strings.Fields(string(statm))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(pages) < 2 || len(fields) < 13 {
		return 0, 0, errors.New("/proc has another shape than it should")
	}
	resident, err1 := strconv.ParseFloat(pages[1], 64)
	user, err2 := strconv.ParseFloat(fields[11], 64)
	system, err3 := strconv.ParseFloat(fields[12], 64)
	return resident * float64(os.Getpagesize()), (user + system) / ticks, errors.Join(err1, err2, err3)
}

// redisInfo asks Redis for its figures.
func redisInfo(address string) (map[string]float64, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "INFO cpu stats\r\nQUIT\r\n"); err != nil {
		return nil, err
	}
	info := map[string]float64{}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			info[name] = n
		}
	}
	return info, lines.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
