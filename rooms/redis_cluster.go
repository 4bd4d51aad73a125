package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pods implements [Cluster]. A pod that came back under a name is there once: what is left of
// its lives before isn't told of.
func (s *Redis) Pods(ctx context.Context) ([]Pod, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.isClosed() {
		return nil, fmt.Errorf("list pods: %w", ErrClosed)
	}
	self := s.pod.self()
	answer, err := s.eval(ctx, podsScript, []string{s.pod.keys.leases, s.pod.keys.dead, s.pod.keys.about})
	if err != nil {
		return []Pod{self}, fmt.Errorf("list pods: %w: %w", ErrUnavailable, err)
	}
	byName := map[string]Pod{}
	for i := 1; i+2 < len(answer); i += 3 {
		p, err := parsePod(word(answer, 0), word(answer, i), word(answer, i+1), word(answer, i+2))
		if err != nil {
			return []Pod{self}, fmt.Errorf("list pods: %w", err)
		}
		if before, ok := byName[p.Name]; !ok || p.succeeds(before) {
			byName[p.Name] = p
		}
	}
	byName[self.Name] = self // it knows best
	return slices.SortedFunc(maps.Values(byName), func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// Report implements [Cluster].
func (s *Redis) Report(status func() json.RawMessage) { s.pod.report.set(status) }

// succeeds reports whether p is a life after another one of the same name.
func (p Pod) succeeds(before Pod) bool {
	if p.Lost != before.Lost {
		return before.Lost
	}
	return p.Since.After(before.Since)
}

// self is this pod as it is now.
func (p *pod) self() Pod {
	status := p.report.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := time.Since(p.beaten)
	return Pod{Name: p.id, Self: true, Since: p.born, Heard: heard, Lost: heard > p.ttl(), Status: status}
}

// about is what a life says of itself with every heartbeat: when it began, and the status. The
// scripts put before it when they heard it.
func (p *pod) about() string {
	status := p.report.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	return strconv.FormatInt(p.born.UnixMilli(), 10) + " " + string(status)
}

// parsePod reads a life as lua/pods.lua tells of it at a time.
func parsePod(at, life, lease, about string) (Pod, error) {
	escaped, _, _ := strings.Cut(life, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return Pod{}, errBadMessage
	}
	now, err1 := strconv.ParseInt(at, 10, 64)
	until, err2 := strconv.ParseInt(lease, 10, 64)
	if err1 != nil || err2 != nil {
		return Pod{}, errBadMessage
	}
	p := Pod{Name: name, Lost: until < now}
	if about == "" {
		return p, nil // a flush took it
	}
	w, status, ok := words(about, 2)
	if !ok {
		return Pod{}, errBadMessage
	}
	heard, err1 := strconv.ParseInt(w[0], 10, 64)
	since, err2 := strconv.ParseInt(w[1], 10, 64)
	if err1 != nil || err2 != nil {
		return Pod{}, errBadMessage
	}
	p.Heard = time.Duration(max(0, now-heard)) * time.Millisecond
	p.Since, p.Status = time.UnixMilli(since), asStatus(json.RawMessage(status))
	return p, nil
}
