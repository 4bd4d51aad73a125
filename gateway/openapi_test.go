package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// A contract is openapi.yaml as a program reads it. In tests everything that the
// operator's listener answers is held to it.
type contract struct {
	doc *openapi3.T

	mu   sync.Mutex
	seen map[string]bool // "METHOD path status"
}

// theContract is loaded once: it doesn't change.
var theContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background(), openapi3.IsOpenAPI31OrLater()); err != nil {
		return nil, err
	}
	// Clients are to pass over fields that they don't know. We are not to send any.
	for _, schema := range doc.Components.Schemas {
		if schema.Value.Type.Is("object") {
			schema.Value.AdditionalProperties = openapi3.BoolSchema{Has: new(bool)}
		}
	}
	return &contract{doc: doc, seen: map[string]bool{}}, nil
})

// operation returns what is described for a request; nil: nothing.
func (c *contract) operation(r *http.Request) *routers.Route {
	for path, item := range c.doc.Paths.Map() {
		operation := item.GetOperation(r.Method)
		if _, ok := match(path, r.URL.EscapedPath()); ok && operation != nil {
			return &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: r.Method, Operation: operation}
		}
	}
	return nil
}

// holds checks what was answered to a request. What isn't described is an answer
// to a request for something that isn't there.
func (c *contract) holds(r *http.Request, status int, header http.Header, body []byte) error {
	route := c.operation(r)
	if strings.HasPrefix(r.URL.Path, "/console/") {
		return nil // what the page consists of
	}
	if route == nil {
		var p problem
		if err := json.Unmarshal(body, &p); err != nil || status < 400 || p.Status != status || p.Code == "" || header.Get("Content-Type") != "application/problem+json" {
			return fmt.Errorf("what isn't described was answered with %d %v %.200s", status, header, body)
		}
		return nil
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 status, Header: header, Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), input.SetBodyBytes(body)); err != nil {
		return err
	}
	response := route.Operation.Responses.Status(status).Value
	if len(response.Content) == 0 && len(body) > 0 {
		return fmt.Errorf("a body that isn't described: %.200s", body)
	}
	for _, name := range []string{"Retry-After", "WWW-Authenticate"} {
		if header.Get(name) != "" && response.Headers[name] == nil {
			return fmt.Errorf("a header that isn't described: %s: %s", name, header.Get(name))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[fmt.Sprint(route.Method, " ", route.Path, " ", status)] = true
	return nil
}

// described serves what next answers, and fails the test where it breaks the contract.
func described(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record := httptest.NewRecorder()
		next.ServeHTTP(record, r)
		body := record.Body.Bytes()
		if err := c.holds(r, record.Code, record.Header(), body); err != nil {
			t.Errorf("%s %s: %d: openapi.yaml: %v", r.Method, r.URL, record.Code, err)
		}
		maps.Copy(w.Header(), record.Header())
		w.WriteHeader(record.Code)
		_, _ = w.Write(body)
	})
}

// unsteady are rooms whose store can be out of reach.
type unsteady struct {
	*rooms.Memory
	out  atomic.Bool
	deaf atomic.Bool // it is there, but takes no decision
}

// Pods has another pod beside this one.
func (u *unsteady) Pods(ctx context.Context) ([]rooms.Pod, error) {
	pods, err := u.Memory.Pods(ctx)
	if u.out.Load() {
		return pods, rooms.ErrUnavailable
	}
	status, _ := json.Marshal(podReport{podStatus{State: podReady}, "another life", nil})
	return append(pods, rooms.Pod{Name: "other", Since: time.Now(), Status: status}), err
}

func (u *unsteady) Outage() time.Duration {
	if u.out.Load() {
		return time.Minute
	}
	return 0
}

func (u *unsteady) List(ctx context.Context) ([]rooms.Summary, error) {
	if u.out.Load() {
		return nil, rooms.ErrUnavailable
	}
	return u.Memory.List(ctx)
}

func (u *unsteady) Snapshot(ctx context.Context, room string) (rooms.Snapshot, error) {
	if u.out.Load() {
		return rooms.Snapshot{}, rooms.ErrUnavailable
	}
	return u.Memory.Snapshot(ctx, room)
}

func (u *unsteady) Remove(ctx context.Context, room, member string, why rooms.Reason) error {
	if u.out.Load() {
		return rooms.ErrUnavailable
	}
	return u.Memory.Remove(ctx, room, member, why)
}

func (u *unsteady) Announce(ctx context.Context, room, to string, data json.RawMessage) error {
	if u.out.Load() {
		return rooms.ErrUnavailable
	}
	return u.Memory.Announce(ctx, room, to, data)
}

// untold are rules that the other pods aren't told of while the store is out of reach.
type untold struct {
	policy.Rules
	store *unsteady
}

func (u untold) Set(ctx context.Context, rules ...policy.Rule) ([]policy.Rule, error) {
	stand, err := u.Rules.Set(ctx, rules...)
	if err == nil && (u.store.out.Load() || u.store.deaf.Load()) {
		err = policy.ErrUnavailable
	}
	return stand, err
}

// withUnsteady has a pod use such rooms.
func withUnsteady(store **unsteady) func(*Config) {
	return func(c *Config) {
		*store = &unsteady{Memory: c.Rooms.(*rooms.Memory)}
		c.Rooms = *store
	}
}

// Whatever is described happens, and nothing else: each status of each operation
// is answered once here, and all answers are held to the description.
func TestDescriptionIsWhatIsAnswered(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	var store *unsteady
	withServers(t, 2, func(_ *theatre, c *Config) { withUnsteady(&store)(c) }, func(t *testing.T, h *theatre) {
		p := h.pod
		p.server.rules = untold{p.server.rules, store}
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r", "data": message{"name": "Ann"}})
		anonymous, _ := p.enter("")
		member := anonymous.ask("join", message{"room": "r"}).str("member")
		const room, kick, signal, drain = "/v1/rooms/r", "/v1/rooms/r/members/", "/v1/rooms/r/signal", "/v1/pods/test/drain"
		const janus, otherJanus, noJanus = "/v1/janus/janus0.test/drain", "/v1/janus/janus1.test/drain", "/v1/janus/none/drain"
		eve := policy.Rule{Kind: policy.Revoked, User: "eve"}.ID()
		for _, is := range []struct {
			method, path, body string
			status             int
		}{
			{"GET", "/livez", "", 200}, {"GET", "/readyz", "", 200}, {"GET", "/metrics", "", 200}, {"GET", "/openapi.yaml", "", 200},
			{"GET", "/v1/rooms", "", 200}, {"GET", "/v1/rooms?limit=0", "", 400},
			{"GET", room, "", 200}, {"GET", room + "?after=x", "", 400}, {"GET", room + "2", "", 404},
			{"POST", signal, `{"data":1}`, 204}, {"POST", signal, `{}`, 400}, {"POST", "/v1/rooms/r2/signal", `{"data":1}`, 404},
			{"POST", signal, `{"data":"` + strings.Repeat("x", 64<<10) + `"}`, 413},
			{"PATCH", kick + member, `{"kick_users":true}`, 200}, {"PATCH", kick + member, `{}`, 400}, {"PATCH", kick + "x", `{"join_hub":false,"for":"1h"}`, 404},
			{"PATCH", kick + member, `{"kick_users":` + strings.Repeat(" ", 64<<10) + `true}`, 413},
			{"POST", "/v1/revocations", `{"user":"eve","for":"12h"}`, 200}, {"POST", "/v1/revocations", `{"user":"eve"}`, 400},
			{"POST", "/v1/revocations", `{"user":"` + strings.Repeat("x", 64<<10) + `"}`, 413},
			{"GET", "/v1/revocations", "", 200}, {"GET", "/v1/revocations?limit=x", "", 400}, {"GET", "/v1/pods", "", 200},
			{"POST", drain, "", 200}, {"POST", "/v1/pods/other/drain", "", 409}, {"POST", "/v1/pods/none/drain", "", 404},
			{"DELETE", drain, "", 204}, {"DELETE", drain, "", 404}, {"DELETE", "/v1/pods/none/drain", "", 404},
			{"GET", "/v1/janus", "", 200}, {"POST", janus, "", 200}, {"POST", otherJanus, "", 409}, {"POST", noJanus, "", 404},
			{"DELETE", janus, "", 204}, {"DELETE", janus, "", 404}, {"DELETE", noJanus, "", 404},
			{"GET", "/console", "", 200},
			{"DELETE", "/v1/revocations/" + eve, "", 204}, {"DELETE", "/v1/revocations/" + eve, "", 404},
			{"DELETE", kick + member, "", 204}, {"DELETE", kick + member, "", 404}, {"DELETE", "/v1/rooms/%00/members/x", "", 400},
		} {
			if code, answer, _ := p.operate(is.method, is.path, is.body); code != is.status {
				t.Errorf("%s %s: %d %v, want %d", is.method, is.path, code, answer, is.status)
			}
		}
		operations := []struct {
			method, path, body string
			local              bool // it is done without the store
		}{
			{"GET", "/v1/rooms", "", false}, {"GET", room, "", false}, {"DELETE", kick + member, "", false}, {"POST", signal, `{"data":1}`, false},
			{"PATCH", kick + member, `{"kick_users":true}`, false},
			{"GET", "/v1/revocations", "", true}, {"POST", "/v1/revocations", `{"user":"eve","for":1000}`, true},
			{"DELETE", "/v1/revocations/" + eve, "", true}, {"GET", "/v1/pods", "", true},
			{"POST", drain, "", false}, {"DELETE", drain, "", false},
			{"GET", "/v1/janus", "", true}, {"POST", janus, "", true}, {"DELETE", janus, "", true},
		}
		evil := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
		for _, path := range []string{"/metrics", "/openapi.yaml"} {
			if code, answer, _ := p.operate("GET", path, "", evil); code != 403 {
				t.Errorf("%s from another site: %d %v", path, code, answer)
			}
		}
		if code, _, header := p.operate("GET", "/console", "", withKey("")); code != 401 || header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("the console without a key: %d %v", code, header)
		}
		p.revoke(`{"user":"eve","for":"12h"}`)
		store.deaf.Store(true)
		for _, method := range []string{"POST", "DELETE"} {
			for _, path := range []string{drain, janus} {
				if code, answer, _ := p.operate(method, path, ""); code != 200 || answer["degraded"] != true {
					t.Errorf("%s of a drain that nobody is told of: %s: %d %v", method, path, code, answer)
				}
			}
		}
		store.out.Store(true)
		if code, answer, _ := p.operate("DELETE", "/v1/revocations/"+eve, ""); code != 200 || answer["degraded"] != true {
			t.Errorf("lifted without the store: %d %v", code, answer)
		}
		for _, o := range operations {
			for status, edit := range map[int]func(*http.Request){
				401: withKey("no such key at all"), 403: evil, 503: func(*http.Request) {},
			} {
				if o.local && status == 503 {
					continue
				}
				if code, answer, _ := p.operate(o.method, o.path, o.body, edit); code != status {
					t.Errorf("%s %s: %d %v, want %d", o.method, o.path, code, answer, status)
				}
			}
		}
		if code, answer, _ := p.operate("GET", "/readyz", ""); code != 503 {
			t.Errorf("ready without the store: %d %v", code, answer)
		}
		store.out.Store(false)
		ann.bye()
		p.server.admins = nil
		if code, _, _ := p.operate("GET", "/console", ""); code != 403 {
			t.Errorf("the console of an API that is off: %d", code)
		}
	})
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if what := method + " " + path + " " + status; !c.seen[what] {
					t.Errorf("openapi.yaml describes what doesn't happen: %s", what)
				}
			}
		}
	}
}

// Each pattern that is served is described, and the other way round.
func TestDescriptionHasAllOperations(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			if strings.HasPrefix(path, "/v1/") {
				described[method+" "+path] = true
			}
		}
	}
	served := map[string]bool{}
	for _, op := range (&Server{rooms: &rooms.Memory{}, janus: &janus.Front{}}).operations() {
		served[op.pattern] = true
	}
	if !maps.Equal(described, served) {
		t.Errorf("described %q, served %q", slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(served)))
	}
}

// The check itself finds what isn't described.
func TestContractFindsWhatIsNotDescribed(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]struct {
		status int
		kind   string
		body   string
	}{
		"a status":         {418, "application/json", `{"rooms":[]}`},
		"another type":     {200, "text/html", `{"rooms":[]}`},
		"no type":          {200, "", `{"rooms":[]}`},
		"a field":          {200, "application/json", `{"rooms":[],"more":1}`},
		"a field inside":   {200, "application/json", `{"rooms":[{"room":"r","count":1,"more":1}]}`},
		"a missing field":  {200, "application/json", `{}`},
		"an empty room":    {200, "application/json", `{"rooms":[{"room":"r","count":0}]}`},
		"degraded: false":  {200, "application/json", `{"rooms":[],"degraded":false}`},
		"null":             {200, "application/json", `{"rooms":null}`},
		"an unknown code":  {400, "application/problem+json", `{"title":"","status":400,"detail":"","code":"x"}`},
		"a bare challenge": {401, "application/problem+json", `{"title":"","status":401,"detail":"","code":"not_authenticated"}`},
	} {
		header := http.Header{"Content-Type": {is.kind}}
		if c.holds(request200("/v1/rooms"), is.status, header, []byte(is.body)) == nil {
			t.Errorf("%s wasn't found", name)
		}
	}
	good := http.Header{"Content-Type": {"application/json"}}
	if err := c.holds(request200("/v1/rooms"), 200, good, []byte(`{"rooms":[{"room":"r","count":1}],"next":"x","degraded":true}`)); err != nil {
		t.Error(err)
	}
}

func TestDescriptionIsServedToAll(t *testing.T) {
	inBubble(t, func(c *Config) { c.AdminKeys = nil }, func(t *testing.T, p *pod) {
		code, body, header := get(p.operator(), request200("/openapi.yaml"))
		if code != 200 || !bytes.Equal([]byte(body), description) || header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%d %v", code, header)
		}
	})
}
