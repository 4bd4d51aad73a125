package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"text/template"
	"time"

	"github.com/roompass/roompass/tokens"
)

// pause is how long a pod that died stays away: long enough to be seen.
const pause = 2 * time.Second

// A cluster is all that runs.
type cluster struct {
	pods     []podAddress
	adminKey string
	log      *lines

	redis, balancer *child
	keepers         sync.WaitGroup // each looks after a pod
	release         context.CancelFunc
	failed          chan error // a pod can't be started
}

// start starts everything and waits until it is ready. What it returns is to be stopped, also
// where there is an error.
func start(ctx context.Context, d *demo, dir string, pods []podAddress, log *lines) (*cluster, error) {
	keeping, release := context.WithCancel(context.WithoutCancel(ctx))
	c := &cluster{pods: pods, adminKey: rand.Text(), log: log, release: release, failed: make(chan error, len(pods))}
	keys, adminKey := filepath.Join(dir, "keys"), filepath.Join(dir, "admin.key")
	if err := errors.Join(tokens.WriteKeyFiles(keys, 2048), os.WriteFile(adminKey, []byte(c.adminKey), 0o600)); err != nil {
		return c, err
	}
	redis := freeAddress()
	if err := c.startRedis(ctx, redis, dir); err != nil {
		return c, err
	}
	for _, p := range pods {
		// The lease is short: a pod that was killed has to wait for the end of its own.
		args := append([]string{"serve", "--dev", "--pod-id", p.name, "--listen", p.listen, "--admin-listen", p.admin, "--admin-key", "@" + adminKey,
			"--key", keys, "--redis", "redis://" + redis, "--lease", "3s", "--trusted-proxy", "127.0.0.1",
			"--token-ttl", d.TokenTTL.String(), "--token-refresh", d.TokenRefresh.String()}, d.Serve...)
		c.keepers.Go(func() { c.keep(keeping, p, d.Roompass, args) })
	}
	for _, p := range pods {
		if err := c.await(ctx, p.name, "http://"+p.admin+"/readyz", nil); err != nil {
			return c, err
		}
	}
	return c, c.startBalancer(ctx, d.Listen, dir)
}

// wait waits until ctx ends, or something that can't be done without does.
func (c *cluster) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.redis.ended:
		return fmt.Errorf("redis-server: %w", errEnded)
	case <-c.balancer.ended:
		return fmt.Errorf("haproxy: %w", errEnded)
	case err := <-c.failed:
		return err
	}
}

// stop stops everything that was started, Redis last: the pods say goodbye there.
func (c *cluster) stop() {
	if c == nil {
		return
	}
	if c.balancer != nil {
		c.balancer.stop()
	}
	c.release()
	c.keepers.Wait()
	if c.redis != nil {
		c.redis.stop()
	}
}

// keep runs a pod, and again whenever it ends, until ctx does.
func (c *cluster) keep(ctx context.Context, p podAddress, binary string, args []string) {
	for {
		pod, err := launch(p.name, c.log, binary, args...)
		if err != nil {
			c.failed <- fmt.Errorf("%s: %w: make build makes the command, and --roompass says where it is", p.name, err)
			return
		}
		c.log.say("demo", fmt.Sprintf("%s is process %d", p.name, pod.cmd.Process.Pid))
		select {
		case <-ctx.Done():
			pod.stop()
			return
		case <-pod.ended:
		}
		var exit *exec.ExitError
		if errors.As(pod.err, &exit) && exit.ExitCode() == 2 { // to start it again would end the same way
			c.failed <- fmt.Errorf("%s doesn't take its flags: %w", p.name, errEnded)
			return
		}
		c.log.say("demo", fmt.Sprintf("%s ended (%v), and starts again in %v", p.name, pod.err, pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (c *cluster) startRedis(ctx context.Context, address, dir string) (err error) {
	_, port, _ := net.SplitHostPort(address)
	c.redis, err = launchTool("redis-server", c.log, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
	if err != nil {
		return err
	}
	return poll(ctx, "redis-server", c.redis.ended, nil, func() bool { return !free(address) })
}

//go:embed haproxy.cfg
var haproxyConfig string

func (c *cluster) startBalancer(ctx context.Context, listen, dir string) error {
	type server struct{ Name, Address, HealthPort string }
	filling := struct {
		Listen string
		Pods   []server
	}{Listen: listen}
	for _, p := range c.pods {
		_, port, _ := net.SplitHostPort(p.admin)
		filling.Pods = append(filling.Pods, server{p.name, p.listen, port})
	}
	var text bytes.Buffer
	if err := template.Must(template.New("haproxy.cfg").Parse(haproxyConfig)).Execute(&text, filling); err != nil {
		return err
	}
	file := filepath.Join(dir, "haproxy.cfg")
	err := os.WriteFile(file, text.Bytes(), 0o600)
	if err != nil {
		return err
	}
	if c.balancer, err = launchTool("haproxy", c.log, "-f", file, "-db"); err != nil {
		return err
	}
	return c.await(ctx, "haproxy", "http://"+listen+"/client.js", c.balancer.ended)
}

// launchTool starts a program of the system.
func launchTool(name string, log *lines, args ...string) (*child, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s is missing: make demo installs it, or apt-get install %[1]s", name)
	}
	return launch(name, log, path, args...)
}

// await waits until url answers 200.
func (c *cluster) await(ctx context.Context, name, url string, ended <-chan struct{}) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return poll(ctx, name, ended, c.failed, func() bool {
		response, err := client.Get(url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode == http.StatusOK
	})
}

// poll waits until a program is ready. It gives up where that one ends or a pod has failed, and
// after a minute.
func poll(ctx context.Context, name string, ended <-chan struct{}, failed <-chan error, ready func() bool) error {
	late := time.After(time.Minute)
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return fmt.Errorf("%s: %w", name, errEnded)
		case err := <-failed:
			return err
		case <-late:
			return fmt.Errorf("%s isn't ready after a minute; what it said is above", name)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// free says whether nobody listens on an address.
func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// freeAddress is an address that nobody listens on: from below the ports that the system gives to
// connections, one of which could take it before its server listens.
func freeAddress() string {
	for {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+mathrand.IntN(10_000)))
		if free(address) {
			return address
		}
	}
}
