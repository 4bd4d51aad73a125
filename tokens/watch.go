package tokens

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files must have been quiet before they are read: a key
// that is being copied isn't whole yet.
const settle = 200 * time.Millisecond

// Watch reloads the keys when their files change, until ctx ends. It watches the
// directory, because Kubernetes swaps a secret by a symbolic link beside it. A
// new key that can't be read keeps the old ones, and the log says so.
func (r *KeyRing) Watch(ctx context.Context) error {
	if r.path == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the keys: %w", err)
	}
	defer watcher.Close()
	dir := r.path
	if about, err := os.Stat(r.path); err == nil && !about.IsDir() {
		dir = filepath.Dir(r.path)
	}
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch the keys: %w", err)
	}
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
			quiet.Reset(settle)
		case err, ok := <-watcher.Errors:
			if !ok {
				return nil
			}
			r.opts.Logger.Warn("watching the keys", "error", err)
			quiet.Reset(settle)
		case <-quiet.C:
			if err := r.Reload(); err != nil {
				r.opts.Logger.Error("the new keys can't be read; the old ones go on signing", "error", err)
			}
		}
	}
}
