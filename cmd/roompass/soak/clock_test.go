//go:build soak

package soak

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The pods' wall clocks can be wrong, as when a machine's clock is set: all that asks for the
// time of day gets it, and timers and the time that passes go on as they do. The binary is built
// with Go's own package time changed in one line, so there is nothing of this in the product.

// offClock is a file of that package. The offset is in a file that the process has mapped.
const offClock = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var offBy = func() *atomic.Int64 { // ns
	path, ok := syscall.Getenv("SOAK_CLOCK")
	if !ok {
		return new(atomic.Int64)
	}
	file, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	defer syscall.Close(file)
	page, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*atomic.Int64)(unsafe.Pointer(&page[0]))
}()

func offNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	if by := offBy.Load(); by != 0 {
		at := sec*1e9 + int64(nsec) + by
		sec, nsec = at/1e9, int32(at%1e9)
	}
	return sec, nsec, mono
}
`

// withClocks are the flags of go build that have the binary take its time from SOAK_CLOCK. The
// first such build takes some minutes: all of the standard library is built again.
func withClocks(t testing.TB, dir string) []string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(text), now, strings.Replace(now, "runtimeNow", "offNow", 1), 1)
	if changed == string(text) {
		t.Fatal("time.Now of this Go isn't as the soak knows it: clock_test.go has to be made to fit")
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for name, text := range map[string]string{"time.go": changed, "off.go": offClock} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(source, name)] = file
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-overlay", file}
}

// clockFile is where a pod's process looks how wrong its clock is.
func (p *pod) clockFile() string { return p.world.path("clock-" + p.name) }

// step has a pod's clock be wrong by so much; 0: it is right.
func (p *pod) step(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := os.OpenFile(p.clockFile(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(by)), 0)
		_ = file.Close()
	}
	if err != nil {
		p.world.wrong(-1, "a pod's clock: "+err.Error())
	}
	now := time.Now()
	p.steps = append(p.steps, step{from: now, by: by})
	if n := len(p.steps); n > 1 {
		p.steps[n-2].to = now
	}
}

// A step is by how much a pod's clock was wrong, and when. to is zero while it lasts.
type step struct {
	from, to time.Time
	by       time.Duration
}

// ahead is how far the clock was ahead, at most, when a token was issued that came just now.
func (p *pod) ahead() (most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.steps {
		if s.to.IsZero() || time.Since(s.to) < p.world.refresh {
			most = max(most, s.by)
		}
	}
	return most
}
