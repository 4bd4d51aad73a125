package load

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Server is what a pod used, where it runs on this machine.
type Server struct {
	URL          string  `json:"url"`
	PID          int     `json:"pid"`
	RSSBefore    int64   `json:"rss_before"`    // bytes, before anybody came
	RSS          int64   `json:"rss"`           // bytes, when all were in
	RSSAfter     int64   `json:"rss_after"`     // bytes, at the end
	ConnectCPU   float64 `json:"connect_cpu_s"` // s, while they came
	RunCPU       float64 `json:"run_cpu_s"`     // s, after that
	RunCPUOfCore float64 `json:"run_cpu_cores"` // the same, as cores
}

// usage is what a process has used so far.
type usage struct {
	pid int
	rss int64
	cpu time.Duration
}

// readServers reads what the pods use, by address; unread says of which that can't be
// found out, and why.
func readServers(urls []string) (all map[string]usage, unread map[string]string) {
	all, unread = map[string]usage{}, map[string]string{}
	for _, address := range urls {
		is, err := readServer(address)
		if err != nil {
			unread[address] = err.Error()
			continue
		}
		all[address] = is
	}
	return all, unread
}

func readServer(address string) (usage, error) {
	at, err := url.Parse(address)
	if err != nil {
		return usage{}, errors.New("the address can't be read")
	}
	ip := net.ParseIP(at.Hostname())
	if at.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usage{}, errors.New("it isn't on this machine")
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		return usage{}, errors.New("its address has no port")
	}
	pid, err := whoListens(port)
	if err != nil {
		return usage{}, err
	}
	return readProcess(pid)
}

// whoListens finds the process that listens on a port (proc_pid_net(5)).
func whoListens(port int) (int, error) {
	const listening = "0A"
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
		_ = file.Close()
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && inodes[to] {
			return strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return 0, errors.New("the process can't be found, or isn't ours to look at")
}

// readProcess reads proc_pid_statm(5) and proc_pid_stat(5).
func readProcess(pid int) (usage, error) {
	const ticks = 100 // a second, USER_HZ on all of Linux's platforms that Go has
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	pages := strings.Fields(string(statm))
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(pages) < 2 || len(fields) < 13 {
		return usage{}, errors.New("/proc has another shape than it should")
	}
	resident, err := strconv.ParseInt(pages[1], 10, 64)
	user, err2 := strconv.ParseInt(fields[11], 10, 64)
	system, err3 := strconv.ParseInt(fields[12], 10, 64)
	if err = errors.Join(err, err2, err3); err != nil {
		return usage{}, err
	}
	return usage{pid, resident * int64(os.Getpagesize()), time.Duration(user+system) * time.Second / ticks}, nil
}

// compare says what each pod used between three looks at it. One that is another
// process by then isn't compared.
func compare(before, atRest, after map[string]usage, ran time.Duration) (all []Server) {
	for address, is := range after {
		first, ok := before[address]
		middle, ok2 := atRest[address]
		if !ok || !ok2 || first.pid != is.pid || middle.pid != is.pid {
			continue
		}
		cpu := is.cpu - middle.cpu
		all = append(all, Server{
			URL: address, PID: is.pid, RSSBefore: first.rss, RSS: middle.rss, RSSAfter: is.rss,
			ConnectCPU: (middle.cpu - first.cpu).Seconds(), RunCPU: cpu.Seconds(), RunCPUOfCore: cpu.Seconds() / max(ran.Seconds(), 1e-9),
		})
	}
	return all
}
