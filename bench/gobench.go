package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A build is how Go code is compiled.
type build struct {
	name string
	env  []string
}

// As the Makefile has them.
var (
	plainBuild = build{"plain", []string{"CGO_ENABLED=0"}}
	fastBuild  = build{"fast", []string{"CGO_ENABLED=1", "GOEXPERIMENT=boringcrypto"}}
)

// compile builds the benchmarks of one of roompass's packages, once for all rounds.
func (o options) compile(ctx context.Context, pkg string, b build) (file string, err error) {
	file = filepath.Join(o.dir, pkg+"-"+b.name+".test")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	say("%s: its benchmarks are compiled, the %s build", pkg, b.name)
	cmd := exec.CommandContext(ctx, "go", "test", "-C", o.source, "-c", "-trimpath", "-o", file, "./"+pkg)
	cmd.Env = append(os.Environ(), b.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the %s build of %s: %w: %s", b.name, pkg, err, out)
	}
	return file, nil
}

// benchmarks are what some of a package's Go benchmarks measured, by name and unit: a figure for each
// time that they ran.
type benchmarks map[string]map[string][]float64

// of is the median of one figure; there is an error where none was measured.
func (b benchmarks) of(name, unit string) (float64, error) {
	if len(b[name][unit]) == 0 {
		return 0, fmt.Errorf("%s measured no %s", name, unit)
	}
	return median(b[name][unit]), nil
}

// goBench runs a compiled package's benchmarks as run does.
func (o options) goBench(ctx context.Context, pkg, file, pattern string, run func(*exec.Cmd) ([]byte, error), flags ...string) (benchmarks, error) {
	flags = append([]string{"-test.run", "^$", "-test.bench", pattern}, flags...)
	cmd := exec.CommandContext(ctx, file, flags...)
	cmd.Dir = filepath.Join(o.source, pkg)
	out, err := run(cmd)
	if err != nil {
		return nil, fmt.Errorf("the benchmarks of %s: %w: %s", pkg, err, out)
	}
	return parseBenchmarks(string(out)), nil
}

// add adds what was measured again.
func (b benchmarks) add(again benchmarks) {
	for name, units := range again {
		if b[name] == nil {
			b[name] = map[string][]float64{}
		}
		for unit, values := range units {
			b[name][unit] = append(b[name][unit], values...)
		}
	}
}

// processors is what a benchmark's name ends with where it runs on more than one.
var processors = regexp.MustCompile(`-\d+$`)

// parseBenchmarks reads Go's benchmark format.
func parseBenchmarks(out string) benchmarks {
	all := benchmarks{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				continue
			}
			if all[name] == nil {
				all[name] = map[string][]float64{}
			}
			all[name][fields[i+1]] = append(all[name][fields[i+1]], value)
		}
	}
	return all
}

func onAllCores(cmd *exec.Cmd) ([]byte, error) { return cmd.CombinedOutput() }

// onOneCore runs cmd on the first core that this process may use: a process starts on the cores of
// the thread that started it.
func onOneCore(cmd *exec.Cmd) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ours, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &ours); err != nil {
		return nil, err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if ours.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &ours) }()
	return cmd.CombinedOutput()
}
