package main

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"time"
)

// A cluster is servers of one side that share a Redis of their own.
type cluster struct {
	side    side
	redisAt string
	redis   *exec.Cmd
	servers []*server
}

// A server is one process of a side.
type server struct {
	address string
	admin   string // where its metrics are, if it has any
	cmd     *exec.Cmd
}

// start starts as many servers as asked for, and waits until they listen.
func start(ctx context.Context, s side, dir string, servers int) (*cluster, error) {
	c := &cluster{side: s}
	var err error
	if c.redisAt, err = freeAddress(); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(c.redisAt)
	redis := exec.Command("redis-server", "--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no", "--loglevel", "warning")
	if err := launch(ctx, redis, c.redisAt); err != nil {
		return nil, err
	}
	c.redis = redis
	for range servers {
		if err := c.add(ctx); err != nil {
			c.stop()
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) add(ctx context.Context) error {
	address, err1 := freeAddress()
	admin, err2 := freeAddress()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cmd, err := c.side.command(address, admin, c.redisAt)
	if err != nil {
		return err
	}
	if err := launch(ctx, cmd, address); err != nil {
		return err
	}
	c.servers = append(c.servers, &server{address, admin, cmd})
	return nil
}

// urls are where clients connect to, a server each.
func (c *cluster) urls() (all []string) {
	for _, s := range c.servers {
		all = append(all, c.side.url(s.address))
	}
	return all
}

func (c *cluster) stop() {
	for _, s := range c.servers {
		end(s.cmd)
	}
	if c.redis != nil {
		end(c.redis)
	}
}

// A usage is what the servers and their Redis have used so far.
type usage struct {
	at       time.Time
	rss      float64 // bytes
	cpu      float64 // s
	redisCPU float64 // s
	commands float64 // that Redis did, those within scripts included
}

func (c *cluster) usage() (u usage, err error) {
	u.at = time.Now()
	for _, s := range c.servers {
		rss, cpu, err := readProcess(s.cmd.Process.Pid)
		if err != nil {
			return u, err
		}
		u.rss += rss
		u.cpu += cpu
	}
	info, err := redisInfo(c.redisAt)
	if err != nil {
		return u, err
	}
	u.redisCPU = info["used_cpu_sys"] + info["used_cpu_user"]
	u.commands = info["total_commands_processed"]
	return u, nil
}

func (u usage) since(before usage) usage {
	return usage{u.at, u.rss - before.rss, u.cpu - before.cpu, u.redisCPU - before.redisCPU, u.commands - before.commands}
}

// with runs do with a fresh cluster and a load for it.
func with(ctx context.Context, o options, s side, servers int, do func(*cluster, *load) error) error {
	c, err := start(ctx, s, o.dir, servers)
	if err != nil {
		return err
	}
	defer c.stop()
	l := newLoad(s)
	defer l.leave()
	if err := do(c, l); err != nil {
		return err
	}
	return l.err()
}

// arrive has n clients come in, and says what that cost.
func (c *cluster) arrive(ctx context.Context, l *load, n, rate int) (usage, error) {
	before, err := c.usage()
	if err != nil {
		return usage{}, err
	}
	if err := l.come(ctx, c.urls(), n, rate); err != nil {
		return usage{}, err
	}
	// The last entries still travel to the others in the room.
	if err := sleep(ctx, 2*time.Second); err != nil {
		return usage{}, err
	}
	after, err := c.usage()
	return after.since(before), err
}
