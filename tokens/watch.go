package tokens

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long Watch waits from the first event of a burst to the
	// reload: a file is written in steps, and Kubernetes swaps a directory by
	// several renames.
	settle = 250 * time.Millisecond

	// recheck is how often Watch reloads without any event: network file systems
	// send none, and a watch ends with a directory that is replaced.
	recheck = time.Minute
)

// Watch reloads the ring when its files change, until ctx ends; then it returns
// nil. It returns an error only where the directory can't be watched to begin
// with and isn't there to be read either. A reload that fails is logged, once for
// each new reason, and the old keys stay. For a ring in memory Watch just waits.
//
// Call [KeyRing.Reload] on SIGHUP besides, where nobody is to wait.
func (r *KeyRing) Watch(ctx context.Context) error {
	if r.path == "" {
		<-ctx.Done()
		return nil
	}
	log := r.opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := watchedDir(r.path)
	if err != nil {
		return fmt.Errorf("watch keys: %w", err)
	}
	var events chan fsnotify.Event // nil, and so never ready, without a watcher
	var failures chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer func() { _ = watcher.Close() }()
		events, failures = watcher.Events, watcher.Errors
		err = watcher.Add(dir)
	}
	if err != nil {
		// Most often the limit of inotify instances, which others on the host use up.
		log.Warn("key files can't be watched; reading them every minute", "error", err)
	}

	w := keyWatch{ring: r, log: log}
	recheckTick := time.NewTicker(recheck)
	defer recheckTick.Stop()
	var settled <-chan time.Time
	// What changed between the load and the watch has no event any more.
	w.reload()
	log.Debug("watching keys", "path", r.path)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			// From the first event on, and not anew with each: in a busy
			// directory the burst might never end.
			if settled == nil {
				settled = time.After(settle)
			}
		case err := <-failures:
			log.Warn("key files: events were lost; reading them again", "error", err)
			w.reload()
		case <-settled:
			settled = nil
			w.reload()
		case <-recheckTick.C:
			if watcher != nil {
				_ = watcher.Add(dir) // of a directory that was replaced; else it does nothing
			}
			w.reload()
		}
	}
}

// watchedDir is the directory whose events tell of changes at path. A file's own
// watch would end with the rename that replaces it.
func watchedDir(path string) (string, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if stat.IsDir() {
		return path, nil
	}
	return filepath.Dir(path), nil
}

// A keyWatch is the reloads of one Watch. It belongs to that call's goroutine.
type keyWatch struct {
	ring *KeyRing
	log  *slog.Logger
	last string // why the last reload failed; "" when it didn't
}

func (w *keyWatch) reload() {
	changed, err := w.ring.reload()
	switch {
	case err != nil && err.Error() != w.last:
		w.log.Error("keys not reloaded; the old ones stay in use", "error", err)
		w.last = err.Error()
	case err == nil && (changed || w.last != ""):
		w.log.Info("keys reloaded", "kid", w.ring.keys.Load().all[0].id, "keys", len(w.ring.keys.Load().all))
		w.last = ""
	}
}
