// Package redistest starts real redis-servers for tests, on free ports of the loopback
// interface, and breaks them: it stops, kills, empties and fails them over.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Server is one redis-server. It keeps nothing on disk.
type Server struct {
	t    testing.TB
	port int
	args []string
	dir  string

	mu  sync.Mutex
	cmd *exec.Cmd
	log *bytes.Buffer
}

// Start starts a server that ends with the test. args are more of its options.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, port: FreePort(t), dir: t.TempDir(), args: append(userArgs(t), args...)}
	s.Restart()
	t.Cleanup(s.Kill)
	t.Cleanup(s.checkUser)
	return s
}

// Ports are taken from below those that the system gives to connections, which could take one
// before its server listens: 10000 to 19999, and 10000 more for the bus of a cluster. Each
// process begins somewhere else, and returns none twice in a row.
const (
	firstPort = 10_000
	ports     = 10_000
)

var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(ports)) }

// FreePort returns a port that nobody listens on. Its cluster bus port is free too.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := firstPort + int(nextPort.Add(1)%ports)
		if isFree(port) && isFree(port+ports) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// Addr is host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is the server's, as [rooms.DialRedis] takes it.
func (s *Server) URL() string { return "redis://" + userInfo() + s.Addr() }

// Restart starts the server again, empty, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	_ = os.Remove(filepath.Join(s.dir, "dump.rdb")) // which a replica has, of what it was sent at first
	s.run(append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", s.dir, "--enable-debug-command", "yes",
	}, s.args...)...)
	s.Eventually("the server answers", func() bool {
		got := s.try("PING")
		return got == "PONG" || strings.HasPrefix(got, "NOAUTH")
	})
}

// run starts redis-server.
func (s *Server) run(args ...string) {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is missing: apt-get install redis-server, or make tools")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Freeze stops the server: connections stay, and nothing is answered.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(what syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(what); err != nil {
		s.t.Error(err)
	}
}

// Do runs a command and returns its answer as text; it fails the test on an error.
func (s *Server) Do(args ...any) string {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer c.Close()
	got, err := c.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(got)
}

func (s *Server) try(args ...any) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true, DialerRetries: 1})
	defer c.Close()
	got, err := c.Do(ctx, args...).Result()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(got)
}

// CutAll resets all connections of clients, subscriptions too.
func (s *Server) CutAll() {
	s.t.Helper()
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

// Calls counts the commands that the server was called with since it started or since
// CONFIG RESETSTAT, without those of its scripts.
func (s *Server) Calls() map[string]int {
	s.t.Helper()
	calls := map[string]int{}
	for line := range strings.Lines(s.Do("INFO", "commandstats")) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		n, _, _ := strings.Cut(rest, ",")
		calls[name], _ = strconv.Atoi(n)
	}
	return calls
}

// Eventually waits until ok holds, for a minute.
func (s *Server) Eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain: %s\n%s", what, s.output())
		}
	}
}

func (s *Server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil && s.cmd.ProcessState == nil {
		return "(running)"
	}
	return s.log.String()
}

// A Cluster is three primaries, each with a replica.
type Cluster struct{ Nodes []*Server }

// StartCluster starts a cluster.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	var addrs []string
	for range 6 {
		n := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
		c.Nodes = append(c.Nodes, n)
		addrs = append(addrs, n.Addr())
	}
	out, err := exec.Command("redis-cli", append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, addrs...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	for _, n := range c.Nodes {
		n.Eventually("the cluster is formed", func() bool {
			return strings.Contains(n.try("CLUSTER", "INFO"), "cluster_state:ok") &&
				strings.Count(n.try("CLUSTER", "NODES"), "slave") == 3 &&
				(!strings.Contains(n.try("INFO", "replication"), "role:slave") || strings.Contains(n.try("INFO", "replication"), "master_link_status:up"))
		})
	}
	return c
}

// URLs are those of all nodes.
func (c *Cluster) URLs() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.URL())
	}
	return strings.Join(all, ",")
}

// Sentinel is a primary, its replica, and a sentinel that fails over after a second.
type Sentinel struct {
	Primary, Replica *Server
	sentinel         *Server
}

// StartSentinel starts them.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	p := startSentinel(t, nil, "")
	p.sentinel.Eventually("the sentinel knows the replica", func() bool {
		return strings.Contains(p.sentinel.try("SENTINEL", "REPLICAS", "main"), strconv.Itoa(p.Replica.port))
	})
	return p
}

// StartSentinelWithPasswords starts them so that they want passwords: the servers' and the
// sentinel's own.
func StartSentinelWithPasswords(t testing.TB, servers, sentinel string) *Sentinel {
	t.Helper()
	return startSentinel(t, []string{"--requirepass", servers, "--masterauth", servers},
		"sentinel auth-pass main "+servers+"\nrequirepass "+sentinel+"\n")
}

func startSentinel(t testing.TB, args []string, config string) *Sentinel {
	t.Helper()
	p := &Sentinel{Primary: Start(t, args...)}
	p.Replica = Start(t, append(args, "--replicaof", "127.0.0.1 "+strconv.Itoa(p.Primary.port), "--repl-diskless-sync-delay", "0")...)
	p.Replica.Eventually("the replica follows", func() bool {
		got := p.Replica.try("INFO", "replication")
		return strings.Contains(got, "master_link_status:up") || strings.HasPrefix(got, "NOAUTH")
	})
	s := &Server{t: t, port: FreePort(t), dir: t.TempDir()}
	file := filepath.Join(s.dir, "sentinel.conf")
	config = fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n", s.port, s.dir, p.Primary.port) + config
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(file, "--sentinel")
	t.Cleanup(s.Kill)
	s.Eventually("the sentinel answers", func() bool {
		got := s.try("PING")
		return got == "PONG" || strings.HasPrefix(got, "NOAUTH")
	})
	p.sentinel = s
	return p
}

// URL names the sentinel and the primary's name.
func (p *Sentinel) URL() string { return p.sentinel.URL() + "?master_name=main" }

// PrimaryOf returns the node that a key is on.
func (c *Cluster) PrimaryOf(t testing.TB, key string) *Server {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr()}})
	defer client.Close()
	node, err := client.MasterForKey(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if n.Addr() == node.Options().Addr {
			return n
		}
	}
	t.Fatalf("no node has %s", node.Options().Addr)
	return nil
}
