package tokens

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// put replaces a file the way that secret managers do, with a modification time.
func put(t *testing.T, path string, content []byte, modified time.Time) {
	t.Helper()
	part := path + ".part"
	must(0, os.WriteFile(part, content, 0o600))
	must(0, os.Chtimes(part, modified, modified))
	must(0, os.Rename(part, path))
}

func signingKey(r *KeyRing) string { return r.keys.Load().all[0].id }

func keyID(t *testing.T, private any) string {
	t.Helper()
	return must(parsePEM(pkcs8(private), "")).id
}

func TestRotationInADirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "b.pem"), pkcs8(rsaKey()), issuedAt)
	ring := must(LoadKeys(dir, KeyOptions{}))
	old := must(newIssuer(t, ring).Mint(Grant{Room: "a"}))

	put(t, filepath.Join(dir, "a.pem"), pkcs8(otherRSAKey()), issuedAt.Add(time.Second)) // later, though its name is earlier
	put(t, filepath.Join(dir, "c.pem"), spki(&ecKey().PublicKey), issuedAt.Add(time.Hour))
	must(0, os.WriteFile(filepath.Join(dir, "README"), []byte("not a key"), 0o600))
	must(0, os.WriteFile(filepath.Join(dir, ".d.pem"), []byte("not a key"), 0o600))
	must(0, ring.Reload())
	if got := signingKey(ring); got != keyID(t, otherRSAKey()) {
		t.Error("the newest private key doesn't sign")
	}
	if n := len(ring.keys.Load().all); n != 3 {
		t.Errorf("%d keys verify; want both private ones and the public one", n)
	}
	if _, err := ring.Verify(old.JWT, issuedAt); err != nil {
		t.Errorf("a token from before the rotation: %v", err)
	}

	must(0, os.Remove(filepath.Join(dir, "b.pem")))
	must(0, ring.Reload())
	if _, err := ring.Verify(old.JWT, issuedAt); err == nil {
		t.Error("a key that was taken away still verifies")
	}
}

func TestFilesOfOneTimeGoByTheirNames(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "2026-02.pem"), pkcs8(otherRSAKey()), issuedAt)
	put(t, filepath.Join(dir, "2026-01.pem"), pkcs8(rsaKey()), issuedAt)
	if got := signingKey(must(LoadKeys(dir, KeyOptions{}))); got != keyID(t, otherRSAKey()) {
		t.Error("the one whose name sorts last doesn't sign")
	}
}

func TestUnreadableNewKeyKeepsTheOldOne(t *testing.T) {
	path := file(t, "key.pem", pkcs8(rsaKey()))
	ring := must(LoadKeys(path, KeyOptions{}))
	put(t, path, []byte("half a k"), issuedAt)
	if err := ring.Reload(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("reload said %v", err)
	}
	if _, err := newIssuer(t, ring).Mint(Grant{Room: "a"}); err != nil || signingKey(ring) != keyID(t, rsaKey()) {
		t.Errorf("the old key doesn't sign: %v", err)
	}
}

// A logbook is a log that a test reads while it is written.
type logbook struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *logbook) waitFor(t *testing.T, text string) {
	t.Helper()
	for range 1000 {
		l.mu.Lock()
		log := l.log.String()
		l.mu.Unlock()
		if strings.Contains(log, text) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%q was not logged", text)
}

func TestWatchReloadsOnChangeAndSaysWhatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	put(t, path, pkcs8(rsaKey()), issuedAt)
	log := &logbook{}
	ring := must(LoadKeys(path, KeyOptions{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ring.Watch(ctx) }()
	log.waitFor(t, "watching keys")

	put(t, path, pkcs8(otherRSAKey()), issuedAt)
	log.waitFor(t, "keys reloaded")
	if signingKey(ring) != keyID(t, otherRSAKey()) {
		t.Error("the new key doesn't sign")
	}
	put(t, path, []byte("half a k"), issuedAt)
	log.waitFor(t, "keys not reloaded")
	if signingKey(ring) != keyID(t, otherRSAKey()) {
		t.Error("an unreadable file took the key away")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
