package gateway

import (
	_ "embed"
	"net/http"
)

// description is the operator's API in OpenAPI 3.1.
//
//go:embed openapi.yaml
var description []byte

// serveDescription serves it to whoever asks: it is the same for all, and
// public with the source.
func serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(description)
}
