package web

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDistIsWhatTheSourceBuildsTo runs the go:generate lines in a copy and
// compares: what is committed must be current. The types, which take npm's compiler,
// are compared by client/package.test.mjs.
func TestDistIsWhatTheSourceBuildsTo(t *testing.T) {
	source, err := os.ReadFile("web.go")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	lines := 0
	for line := range strings.Lines(string(source)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "//go:generate ")
		if !ok || strings.Contains(command, "tsc ") {
			continue
		}
		lines++
		fields := strings.Fields(command)
		for i, field := range fields {
			fields[i] = strings.Replace(field, "dist/", out+"/", 1)
		}
		if output, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
	if lines == 0 {
		t.Fatal("web.go has no go:generate lines")
	}
	committed, err := filepath.Glob("dist/*")
	if err != nil {
		t.Fatal(err)
	}
	committed = slices.DeleteFunc(committed, func(path string) bool { return strings.HasSuffix(path, ".d.ts") })
	built, err := filepath.Glob(out + "/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(committed) != len(built) {
		t.Errorf("dist has %d files, the source builds to %d", len(committed), len(built))
	}
	for _, path := range built {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("dist", filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the source builds to: run make generate", filepath.Base(path))
		}
	}
}

func TestEverythingIsEmbedded(t *testing.T) {
	if !bytes.Contains(Client(), []byte("roompass.v1")) {
		t.Error("client.js doesn't name the subprotocol")
	}
	for _, name := range []string{"index.html", "demo.js", "demo.css", "favicon.svg"} {
		file, err := Demo().Open(name)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = file.Close()
	}
}
