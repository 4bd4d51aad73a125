package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/web"
)

// exitCrashed is the exit code of a pod that was asked to crash, in --dev only.
const exitCrashed = 3

// crash is how a pod for trying things out ends when the demo page asks for it: no goodbye
// to anybody and no lease given back, just as if it were killed.
func (c *ServeCmd) crash() func() {
	if !c.Dev {
		return nil
	}
	return func() { os.Exit(exitCrashed) }
}

// withDemo serves the demo page, and which pods there are, where nothing else is.
func withDemo(next http.Handler, store rooms.Rooms, pod string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	files := http.FileServerFS(web.Demo())
	for _, path := range []string{"/{$}", "/demo.js", "/demo.css", "/favicon.svg"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Cache-Control", "no-cache")
			files.ServeHTTP(w, r)
		})
	}
	if cluster, ok := store.(rooms.Cluster); ok {
		mux.HandleFunc("GET /demo/pods", func(w http.ResponseWriter, r *http.Request) { servePods(w, r, cluster, pod) })
	}
	return mux
}

// A demoPod is what the demo page knows of a pod: whether another one is left if this one is killed.
type demoPod struct {
	Pod   string `json:"pod"`
	State string `json:"state"` // as in GET /v1/pods
}

func servePods(w http.ResponseWriter, r *http.Request, cluster rooms.Cluster, self string) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	pods, _ := cluster.Pods(ctx) // where the others can't be asked it is this one
	list := make([]demoPod, len(pods))
	for i, p := range pods {
		list[i] = demoPod{Pod: cmp.Or(p.Name, self), State: "starting"}
		var said struct{ State string }
		if json.Unmarshal(p.Status, &said) == nil && said.State != "" {
			list[i].State = said.State
		}
		if p.Lost {
			list[i].State = "lost"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"pods": list})
}
