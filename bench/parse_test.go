package main

import (
	"strings"
	"testing"
	"time"
)

func TestBenchmarksAreReadAsGoPrintsThem(t *testing.T) {
	all := parseBenchmarks(`goos: linux
cpu: some processor
BenchmarkSign/RS512/2048         	     931	   1285422 ns/op	    6505 B/op	      65 allocs/op
BenchmarkSign/RS512/2048         	     931	   1300000 ns/op	    6505 B/op	      65 allocs/op
BenchmarkFanOut/write2-16        	      93	  12854220 ns/op	      3100 CPU-ns/recipient
BenchmarkBroken-2
PASS
`)
	for _, test := range []struct {
		name, unit string
		want       float64
	}{
		{"Sign/RS512/2048", "ns/op", 1285422}, {"Sign/RS512/2048", "allocs/op", 65}, {"FanOut/write2", "CPU-ns/recipient", 3100},
	} {
		if got, err := all.of(test.name, test.unit); err != nil || got != test.want {
			t.Errorf("%s: %v %s, want %v: %v", test.name, got, test.unit, test.want, err)
		}
	}
	again := benchmarks{}
	again.add(all)
	again.add(all)
	if len(again["Sign/RS512/2048"]["ns/op"]) != 4 {
		t.Error(again)
	}
	if _, err := all.of("Sign/RS512/4096", "ns/op"); err == nil {
		t.Error("what wasn't measured has a figure")
	}
}

func TestSpeedOfOpenSSLIsRead(t *testing.T) {
	got, err := parseSpeed("+DTP:2048:private:rsa:2\n+R1:3166:2048:2.00\n+F2:2:2048:1583.000000:58724.000000\n")
	if err != nil || got != 1583 {
		t.Error(got, err)
	}
	if got, err := parseSpeed("+F2:2:4096:250.0:9000.0\n"); err == nil {
		t.Error(got)
	}
}

func TestMetricsOfSeveralServersAreAddedUp(t *testing.T) {
	sum := metrics{}
	for range 2 {
		if err := sum.add(strings.NewReader("# HELP a_count what it is\n# TYPE a_count counter\na_count 3\nb{le=\"0.25\"} 1.5e+01\n")); err != nil {
			t.Fatal(err)
		}
	}
	if sum["a_count"] != 6 || sum[`b{le="0.25"}`] != 30 || len(sum) != 2 {
		t.Error(sum)
	}
	if grown := sum.since(metrics{"a_count": 4}); grown["a_count"] != 2 || grown[`b{le="0.25"}`] != 30 {
		t.Error(grown)
	}
}

// 600 tokens, each of a millisecond, take a second at 0.6 of a core. They fall due at 0.95 of the refresh
// time, and are half a second old when they are signed.
func TestRefreshKeepsACoreAsBusyAsItShallBe(t *testing.T) {
	refresh := refreshFor(5400, time.Millisecond)
	if refresh != 10*time.Second {
		t.Error(refresh)
	}
	for refresh, want := range map[time.Duration]time.Duration{4 * time.Minute: 5 * time.Minute, 10 * time.Second: 13 * time.Second, 1700 * time.Millisecond: 3 * time.Second} {
		if got := ttlFor(refresh); got != want {
			t.Errorf("%v: %v, want %v", refresh, got, want)
		}
	}
}
