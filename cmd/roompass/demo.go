package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/roompass/roompass/gateway"
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
func withDemo(next http.Handler, server *gateway.Server) http.Handler {
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
	mux.HandleFunc("GET /demo/pods", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"pods": server.PodStates(ctx)})
	})
	return mux
}
