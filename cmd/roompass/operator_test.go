package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/roompass/roompass/rooms/redistest"
)

// operate asks the operator's API. The answer is nil where there is none.
func (s served) operate(t *testing.T, key, method, path, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.operator+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s: %q: %v", method, path, text, err)
		}
	}
	return response.StatusCode, answer
}

func TestServeDevGreetsWithAnOperatorsKey(t *testing.T) {
	gateway := serveDev(t)
	key := regexp.MustCompile(`curl -H 'Authorization: Bearer (\S+)' ` + gateway.operator + `/v1/rooms\n`).FindStringSubmatch(gateway.greeting)
	if key == nil {
		t.Fatalf("greeting:\n%s", gateway.greeting)
	}
	if code, answer := gateway.operate(t, key[1], "GET", "/v1/rooms", ""); code != 200 {
		t.Errorf("%d %v", code, answer)
	}
	if code, answer := gateway.operate(t, "another-key-than-this", "GET", "/v1/rooms", ""); code != 401 {
		t.Errorf("%d %v", code, answer)
	}
	if got := gateway.stop(); strings.Contains(got.stderr, key[1]) || !strings.Contains(got.stderr, "msg=audit") {
		t.Errorf("the key is in the log, or no audit:\n%s", got.stderr)
	}
}

// One key after the other is brought in and taken out; each may come from a file, with
// its scope before the @ or in the file.
func TestServeTakesAdminKeys(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gateway := serveDev(t, "--admin-key", "0123456789abcdef-first", "--admin-key", "read:0123456789abcdef-second",
		"--admin-key", "@"+file("0123456789abcdef-third\n"), "--admin-key", "@"+file("read:0123456789abcdef-fourth\r\n"),
		"--admin-key", "read:@"+file("0123456789abcdef-fifth"), "--admin-key", "write:@"+file("0123456789abcdef-sixth"))
	for name, kick := range map[string]int{"first": 404, "second": 403, "third": 404, "fourth": 403, "fifth": 403, "sixth": 404} {
		key := "0123456789abcdef-" + name
		if code, answer := gateway.operate(t, key, "GET", "/v1/rooms", ""); code != 200 {
			t.Errorf("the %s key reads: %d %v", name, code, answer)
		}
		if code, answer := gateway.operate(t, key, "DELETE", "/v1/rooms/r/members/m", ""); code != kick {
			t.Errorf("the %s key kicks: %d %v, want %d", name, code, answer, kick)
		}
	}
	got := gateway.stop()
	if strings.Contains(got.out+got.stderr, "0123456789abcdef") || strings.Contains(got.out, "Bearer") {
		t.Errorf("a key that was given is shown:\n%s%s", got.out, got.stderr)
	}
}

func TestServeTakesAdminKeysFromEnvironmentAndFile(t *testing.T) {
	const first, second = "0123456789abcdef-first", "0123456789abcdef-second"
	config := filepath.Join(t.TempDir(), "roompass.yaml")
	if err := os.WriteFile(config, []byte("admin-key:\n  - "+first+"\n  - read:"+second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try := func(t *testing.T, gateway served) {
		for _, key := range []string{first, second} {
			if code, answer := gateway.operate(t, key, "GET", "/v1/rooms", ""); code != 200 {
				t.Errorf("%s: %d %v", key, code, answer)
			}
		}
	}
	t.Run("file", func(t *testing.T) { try(t, serveDev(t, "--config", config)) })
	t.Run("environment", func(t *testing.T) {
		t.Setenv("ROOMPASS_ADMIN_KEY", first+",read:"+second)
		try(t, serveDev(t))
	})
	t.Run("an empty variable is no key", func(t *testing.T) {
		t.Setenv("ROOMPASS_ADMIN_KEY", "")
		if gateway := serveDev(t); !strings.Contains(gateway.greeting, "Bearer") {
			t.Errorf("greeting:\n%s", gateway.greeting)
		}
	})
}

func TestServeWithoutAdminKeyHasNoOperatorsAPI(t *testing.T) {
	dir := t.TempDir()
	if got := roompass(t, "", "keygen", "--out", dir); got.code != exitDone {
		t.Fatal(got.stderr)
	}
	listen, operator := loopback(t), loopback(t)
	gateway := serveProcess(t, "--key", dir, "--listen", listen, "--admin-listen", operator)
	gateway.operator = "http://" + operator
	eventually(t, "the process answers", func() bool {
		response, err := http.Get(gateway.operator + "/livez")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	code, answer := gateway.operate(t, "0123456789abcdef", "GET", "/v1/rooms", "")
	if detail, _ := answer["detail"].(string); code != 403 || !strings.Contains(detail, "--admin-key") {
		t.Errorf("%d %v", code, answer)
	}
}

// Whichever pod the operator asks, it sees and reaches the members of all.
func TestOperatorReachesMembersOfOtherPods(t *testing.T) {
	t.Parallel()
	const key, room = "0123456789abcdef", "/v1/rooms/a%2Fb%20%C3%BC"
	c := startCluster(t, 1, "--admin-key", key)
	ann, annJoined := enter(t, c.pods[0], "ann", "a/b ü")
	bob, bobJoined := enter(t, c.pods[1], "bob", "a/b ü")
	_, carlJoined := enter(t, c.pods[1], "carl", "only on the second")
	if annJoined["type"] != "joined" || bobJoined["type"] != "joined" || carlJoined["type"] != "joined" {
		t.Fatal(annJoined, bobJoined, carlJoined)
	}
	eventually(t, "Ann sees Bob", func() bool { return len(ann.all("member_joined")) == 1 })
	for _, pod := range c.pods {
		code, answer := pod.operate(t, key, "GET", "/v1/rooms", "")
		rooms := list(answer["rooms"])
		if code != 200 || len(rooms) != 2 || rooms[0]["room"] != "a/b ü" || rooms[0]["count"] != 2.0 || rooms[1]["count"] != 1.0 || answer["degraded"] != nil {
			t.Errorf("the rooms at %s: %d %v", pod.operator, code, answer)
		}
		code, answer = pod.operate(t, key, "GET", room, "")
		members := list(answer["members"])
		if code != 200 || len(members) != 2 || members[0]["id"] != annJoined["member"] || members[1]["user"] != "bob" {
			t.Errorf("the room at %s: %d %v", pod.operator, code, answer)
		}
	}
	// The first pod has nobody in this one.
	if code, answer := c.pods[0].operate(t, key, "GET", "/v1/rooms/only%20on%20the%20second", ""); code != 200 || len(list(answer["members"])) != 1 {
		t.Errorf("a room of the other pod: %d %v", code, answer)
	}
	if code, answer := c.pods[0].operate(t, key, "POST", "/v1/rooms/only%20on%20the%20second/signal", `{"data":1}`); code != 204 {
		t.Errorf("signal to a room of the other pod: %d %v", code, answer)
	}

	bobID := bobJoined["member"].(string)
	if code, answer := c.pods[0].operate(t, key, "POST", room+"/signal", `{"to":"`+bobID+`","data":"to Bob"}`); code != 204 {
		t.Errorf("signal to Bob: %d %v", code, answer)
	}
	if code, answer := c.pods[0].operate(t, key, "POST", room+"/signal", `{"data":"to all"}`); code != 204 {
		t.Errorf("signal to all: %d %v", code, answer)
	}
	eventually(t, "both heard", func() bool { return len(bob.all("signal")) == 2 && len(ann.all("signal")) == 1 })
	if got := bob.all("signal"); got[0]["data"] != "to Bob" || got[1]["data"] != "to all" || got[0]["from"] != "" {
		t.Errorf("Bob heard %v", got)
	}
	if code, answer := c.pods[0].operate(t, key, "POST", room+"/signal", `{"to":"nobody","data":1}`); code != 404 || answer["code"] != "no_such_member" {
		t.Errorf("signal to nobody: %d %v", code, answer)
	}

	if code, answer := c.pods[0].operate(t, key, "DELETE", room+"/members/"+bobID, ""); code != 204 {
		t.Errorf("kick: %d %v", code, answer)
	}
	eventually(t, "Bob is out", func() bool { return bob.code() == 4403 })
	eventually(t, "Ann sees it", func() bool { return len(ann.all("member_left")) == 1 })
	if got := ann.all("member_left")[0]; got["member"] != bobID || got["reason"] != "kicked" {
		t.Errorf("Ann saw %v", got)
	}
	for _, pod := range c.pods {
		if code, answer := pod.operate(t, key, "DELETE", room+"/members/"+bobID, ""); code != 404 || answer["code"] != "no_such_member" {
			t.Errorf("kick again at %s: %d %v", pod.operator, code, answer)
		}
	}
	if code, answer := c.pods[1].operate(t, key, "GET", room, ""); code != 200 || len(list(answer["members"])) != 1 {
		t.Errorf("the room without Bob: %d %v", code, answer)
	}
}

// While Redis is away a pod tells what it knows, says so, and takes nothing on that it
// can't promise.
func TestOperatorWithoutRedis(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	redis := redistest.Start(t)
	gateway := serveDev(t, "--redis", redis.URL(), "--admin-key", key)
	_, joined := enter(t, gateway, "ann", "r")
	member, _ := joined["member"].(string)
	redis.Kill()
	eventually(t, "the pod is degraded", func() bool { return gateway.counts(t, "roompass_degraded 1") })
	for _, path := range []string{"/v1/rooms", "/v1/rooms/r"} {
		if code, answer := gateway.operate(t, key, "GET", path, ""); code != 200 || answer["degraded"] != true {
			t.Errorf("%s: %d %v", path, code, answer)
		}
	}
	for what, body := range map[string]string{"DELETE /v1/rooms/r/members/" + member: "", "POST /v1/rooms/r/signal": `{"data":1}`, "GET /v1/rooms/elsewhere": ""} {
		method, path, _ := strings.Cut(what, " ")
		if code, answer := gateway.operate(t, key, method, path, body); code != 503 || answer["code"] != "unavailable" {
			t.Errorf("%s: %d %v", what, code, answer)
		}
	}
	redis.Restart()
	eventually(t, "the kick is done", func() bool {
		code, _ := gateway.operate(t, key, "DELETE", "/v1/rooms/r/members/"+member, "")
		return code == 204
	})
}
