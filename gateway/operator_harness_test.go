package gateway

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The keys of every pod in tests.
const (
	readKey  = "a-key-that-may-read"
	writeKey = "a-key-that-may-write"
)

func parseKeys(t *testing.T, texts ...string) (keys []AdminKey) {
	t.Helper()
	for _, text := range texts {
		k, err := ParseAdminKey(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// withKey has a request come with another key; "": with none.
func withKey(key string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("Authorization")
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
	}
}

// operate asks the operator's API, with the key that may write where edits don't
// say otherwise. The answer is nil where it isn't JSON.
func (p *pod) operate(method, path, body string, edits ...func(*http.Request)) (int, message, http.Header) {
	p.t.Helper()
	r := httptest.NewRequest(method, "http://operator.test"+path, strings.NewReader(body))
	withKey(writeKey)(r)
	for _, edit := range edits {
		edit(r)
	}
	code, text, header := get(p.operator(), r)
	var answer message
	_ = json.Unmarshal([]byte(text), &answer)
	return code, answer, header
}

// arrivesAt has a request arrive at an address of ours.
func arrivesAt(local net.Addr) func(*http.Request) {
	return func(r *http.Request) {
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
}
