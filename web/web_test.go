package web

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	for _, folder := range []string{"client", "demo", "console"} { // cp makes none
		if err := os.Mkdir(filepath.Join(out, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
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
	committed, built := filesIn(t, "dist"), filesIn(t, out)
	if diff := cmp.Diff(built, committed); diff != "" {
		t.Errorf("dist has other files than the source builds to: %s", diff)
	}
	for _, path := range built {
		want, err := os.ReadFile(filepath.Join(out, path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("dist", path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the source builds to: run make generate", path)
		}
	}
}

// filesIn returns the paths of the files in a folder, but for the types.
func filesIn(t *testing.T, folder string) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".d.ts") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestEverythingIsEmbedded(t *testing.T) {
	for name, files := range map[string]struct {
		fs.FS
		want []string
	}{
		"client":  {Client(), []string{"client.js", "janus.js", "react.js"}},
		"demo":    {Demo(), []string{"demo.css", "demo.js", "favicon.svg", "index.html"}},
		"console": {Console(), []string{"console.css", "console.js", "favicon.svg", "index.html"}},
	} {
		got, err := fs.Glob(files, "*")
		if diff := cmp.Diff(files.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	text, err := fs.ReadFile(Client(), "client.js")
	if err != nil || !bytes.Contains(text, []byte("roompass.v1")) {
		t.Errorf("client.js doesn't name the subprotocol: %v", err)
	}
}
