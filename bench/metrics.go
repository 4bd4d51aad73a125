package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metrics are a server's, by series: a name, with its labels if it has any.
type metrics map[string]float64

// readMetrics asks servers, and adds up what they say.
func readMetrics(ctx context.Context, servers ...*server) (metrics, error) {
	sum := metrics{}
	for _, s := range servers {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/metrics", nil)
		if err != nil {
			return nil, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		err = sum.add(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("metrics: %s: %w", response.Status, err)
		}
	}
	return sum, nil
}

// add reads the text format that Prometheus has.
func (m metrics) add(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text := lines.Text()
		end := strings.LastIndexByte(text, ' ')
		if end < 0 || strings.HasPrefix(text, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(text[end+1:], 64); err == nil {
			m[text[:end]] += value
		}
	}
	return lines.Err()
}

// since is by how much each has grown.
func (m metrics) since(before metrics) metrics {
	grown := metrics{}
	for name, value := range m {
		grown[name] = value - before[name]
	}
	return grown
}
