package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roompass/roompass/rooms/redistest"
)

const operatorKey = "0123456789abcdef"

// rights returns what a token says; its signature is others' business.
func rights(t *testing.T, token any) (kick, hub bool) {
	t.Helper()
	var claims struct {
		jwt.RegisteredClaims
		KickUsers bool `json:"kick_users"`
		JoinHub   bool `json:"join_hub"`
	}
	text, _ := token.(string)
	if _, _, err := jwt.NewParser().ParseUnverified(text, &claims); err != nil {
		t.Fatalf("%v: %v", token, err)
	}
	return claims.KickUsers, claims.JoinHub
}

func tokenOf(t *testing.T, pod served, credential, room string) (int, string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"credential": credential, "room": room})
	response, err := http.Post(pod.url+"/v1/token", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer)
	token, _ := answer["token"].(string)
	return response.StatusCode, token
}

// Whichever pod is told, on whichever a person is.
func TestARightIsTakenOnEveryPod(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "--admin-key", operatorKey)
	here, joined := enter(t, c.pods[0], "ann", "r")
	there, _ := enter(t, c.pods[1], "ann", "r")
	bob, _ := enter(t, c.pods[1], "bob", "r")
	code, answer := c.pods[2].operate(t, operatorKey, "PATCH", "/v1/rooms/r/members/"+joined["member"].(string), `{"kick_users":false}`)
	if code != 200 || answer["user"] != "ann" || answer["degraded"] != nil {
		t.Fatalf("%d %v", code, answer)
	}
	for name, g := range map[string]*guest{"on the first pod": here, "on the second pod": there} {
		eventually(t, name+" she gets a token", func() bool { return len(g.all("token")) > 0 })
		if kick, hub := rights(t, g.all("token")[0]["token"]); kick || !hub {
			t.Errorf("%s it says kick %v, hub %v", name, kick, hub)
		}
	}
	here.ws.CloseNow()
	again, welcome := here.comeBack(c.pods[2], nil)
	if kick, _ := rights(t, list(welcome["rooms"])[0]["token"].(map[string]any)["token"]); kick {
		t.Error("on the third pod she has it again")
	}
	if got := again.ask(map[string]any{"type": "kick", "room": "r", "member": "x"}); got["code"] != "not_allowed" {
		t.Errorf("she kicks: %v", got)
	}
	for _, pod := range c.pods {
		code, token := tokenOf(t, pod, "ann", "r")
		if code != 200 {
			t.Fatalf("a token at %s: %d", pod.url, code)
		}
		if kick, _ := rights(t, token); kick {
			t.Errorf("a token of %s has the right", pod.url)
		}
	}
	if len(bob.all("token")) > 0 {
		t.Error("Bob got a token")
	}
}

func TestWhoIsRevokedIsOutOnEveryPod(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "--admin-key", operatorKey)
	var eves []*guest
	newest := 0.0
	for i, pod := range c.pods {
		g, joined := enter(t, pod, "eve", fmt.Sprint("r", i))
		newest = max(newest, joined["token"].(map[string]any)["expires_at"].(float64))
		eves = append(eves, g)
	}
	lingers, _ := enter(t, c.pods[0], "eve", "r2")
	lingers.ws.CloseNow()
	idle := visit(t, c.pods[1])
	idle.ask(map[string]any{"type": "auth", "credential": "eve"})
	bob, _ := enter(t, c.pods[1], "bob", "r2")

	code, answer := c.pods[0].operate(t, operatorKey, "POST", "/v1/revocations", `{"user":"eve","for":"1h"}`)
	if code != 200 || answer["exposure_until"].(float64) < newest {
		t.Fatalf("%d %v, and her newest token runs out at %v", code, answer, newest)
	}
	for i, g := range append(eves, idle) {
		eventually(t, fmt.Sprint("socket ", i, " is closed"), func() bool { return g.code() == 4403 })
		if got := g.all("removed"); i < len(eves) && (len(got) != 1 || got[0]["reason"] != "revoked") {
			t.Errorf("socket %d is told %v", i, got)
		}
	}
	eventually(t, "Bob saw both of hers go", func() bool { return len(bob.all("member_left")) == 2 })
	for _, m := range bob.all("member_left") {
		if m["reason"] != "revoked" {
			t.Errorf("Bob saw %v", m)
		}
	}
	stayOut := func(when string) {
		t.Helper()
		for i, pod := range c.pods {
			g := visit(t, pod)
			g.ask(map[string]any{"type": "auth", "credential": "eve"})
			eventually(t, when+" she is out", func() bool { return g.code() == 4403 })
			again, _ := eves[(i+1)%len(eves)].comeBack(pod, nil)
			eventually(t, when+" she doesn't come back", func() bool { return again.code() == 4403 })
			if code, token := tokenOf(t, pod, "eve", "r"); code != 403 || token != "" {
				t.Errorf("%s %s gives her a token: %d", when, pod.url, code)
			}
		}
	}
	stayOut("at once")
	// A pod that comes later knows it too; one that goes takes nothing along.
	c.process.signal(t, syscall.SIGKILL)
	c.pods = c.pods[1:]
	stayOut("when the pod that was told is dead")
	code, answer = c.pods[1].operate(t, operatorKey, "GET", "/v1/revocations", "")
	all := list(answer["revocations"])
	if code != 200 || len(all) != 1 || all[0]["user"] != "eve" {
		t.Fatalf("%d %v", code, answer)
	}
	if code, answer := c.pods[0].operate(t, operatorKey, "DELETE", "/v1/revocations/"+all[0]["id"].(string), ""); code != 204 {
		t.Errorf("lifting it: %d %v", code, answer)
	}
	eventually(t, "she is let in elsewhere", func() bool { code, _ := tokenOf(t, c.pods[1], "eve", "r"); return code == 200 })
}

// A revocation outlives Redis, as long as one pod that knows of it lives.
func TestARevocationSurvivesRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	args := []string{"--redis", redis.URL(), "--admin-key", operatorKey, "--lease", "2s"}
	pods := []served{serveDev(t, append(args, "--pod-id", "a")...), serveDev(t, append(args, "--pod-id", "b")...)}
	eve, _ := enter(t, pods[1], "eve", "r")
	if code, answer := pods[0].operate(t, operatorKey, "POST", "/v1/revocations", `{"user":"bob","for":"1h"}`); code != 200 {
		t.Fatalf("%d %v", code, answer)
	}
	eventually(t, "the other pod has heard of it", func() bool { code, _ := tokenOf(t, pods[1], "bob", "r"); return code == 403 })
	redis.Kill()
	eventually(t, "the pods are degraded", func() bool {
		return pods[0].counts(t, "roompass_degraded 1") && pods[1].counts(t, "roompass_degraded 1")
	})
	if code, _ := tokenOf(t, pods[1], "bob", "r"); code != 403 {
		t.Errorf("without Redis Bob gets a token: %d", code)
	}
	// Meanwhile it counts where it was said, and everywhere else when it can be told.
	if code, answer := pods[0].operate(t, operatorKey, "POST", "/v1/revocations", `{"user":"eve","for":"1h"}`); code != 200 || answer["degraded"] != true {
		t.Fatalf("%d %v", code, answer)
	}
	if code, _ := tokenOf(t, pods[0], "eve", "r"); code != 403 {
		t.Errorf("where she was revoked Eve gets a token: %d", code)
	}
	redis.Restart() // empty
	eventually(t, "Eve is out on the other pod", func() bool { return eve.code() == 4403 })
	late := serveDev(t, append(args, "--pod-id", "c")...)
	for _, user := range []string{"bob", "eve"} {
		if code, _ := tokenOf(t, late, user, "r"); code != 403 {
			t.Errorf("at a pod that came later %s gets a token: %d", user, code)
		}
	}
}

func TestAThousandAreRevokedAtOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "--admin-key", operatorKey, "--token-ttl", "4s", "--token-refresh", "2s")
	honest, joined := enter(t, c.pods[0], "ann", "r")
	var eves []*guest
	for i := range 40 {
		g, _ := enter(t, c.pods[i%2], fmt.Sprint("eve", i), "r")
		eves = append(eves, g)
	}
	var all sync.WaitGroup
	work := make(chan int)
	for range 16 {
		all.Go(func() {
			for i := range work {
				if code, answer := c.pods[i%2].operate(t, operatorKey, "POST", "/v1/revocations", fmt.Sprintf(`{"user":"eve%d","for":"1h"}`, i)); code != 200 {
					t.Errorf("%d %v", code, answer)
				}
			}
		})
	}
	for i := range 1000 {
		work <- i
	}
	close(work)
	all.Wait()
	for i, g := range eves {
		eventually(t, fmt.Sprint("eve", i, " is out"), func() bool { return g.code() == 4403 })
	}
	// Ann's tokens followed each other in time all along.
	seen := len(honest.all("token"))
	eventually(t, "two more tokens", func() bool { return len(honest.all("token")) >= seen+2 })
	expires := joined["token"].(map[string]any)["expires_at"].(float64)
	for _, m := range honest.all("token") {
		if issued := m["issued_at"].(float64); issued > expires {
			t.Errorf("a token of %v came after the one before had run out at %v", issued, expires)
		}
		expires = m["expires_at"].(float64)
	}
	if !c.pods[0].counts(t, "roompass_token_lapses_total 0") {
		t.Error("a token lapsed")
	}
}

// A pod is drained through another one, and then takes clients again.
func TestAPodIsDrainedThroughAnother(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "--admin-key", operatorKey, "--lease", "2s", "--drain", "1s")
	there, here := c.pods[0], c.pods[1] // "first" and "a"
	eventually(t, "both are ready", func() bool {
		_, answer := here.operate(t, operatorKey, "GET", "/v1/pods", "")
		ready := 0
		for _, p := range list(answer["pods"]) {
			if p["state"] == "ready" {
				ready++
			}
		}
		return ready == 2
	})
	g, _ := enter(t, there, "ann", "r")
	if code, answer := here.operate(t, operatorKey, "POST", "/v1/pods/first/drain", ""); code != 200 {
		t.Fatalf("%d %v", code, answer)
	}
	eventually(t, "ann is asked to move, and closed when she doesn't", func() bool {
		return len(g.all("draining")) == 1 && g.code() == 1012
	})
	if code, answer := here.operate(t, operatorKey, "POST", "/v1/pods/a/drain", ""); code != 409 {
		t.Errorf("the last one: %d %v", code, answer)
	}
	if code, answer := here.operate(t, operatorKey, "DELETE", "/v1/pods/first/drain", ""); code != 204 {
		t.Fatalf("%d %v", code, answer)
	}
	eventually(t, "it takes clients again", func() bool { code, _ := there.look(t, "/readyz"); return code == 200 })
	enter(t, there, "bob", "r")
}

func TestPodsAreListed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "--admin-key", operatorKey, "--lease", "2s")
	enter(t, c.pods[1], "ann", "r")
	state := func() (all map[string]string, members float64) {
		code, answer := c.pods[1].operate(t, operatorKey, "GET", "/v1/pods", "")
		if code != 200 {
			t.Fatalf("%d %v", code, answer)
		}
		all = map[string]string{}
		for _, p := range list(answer["pods"]) {
			all[p["pod"].(string)] = p["state"].(string)
			members += p["members"].(float64)
		}
		return all, members
	}
	eventually(t, "both are ready", func() bool {
		all, members := state()
		return len(all) == 2 && all["a"] == "ready" && all["first"] == "ready" && members == 1
	})
	c.process.signal(t, syscall.SIGSTOP)
	eventually(t, "one is lost", func() bool { all, _ := state(); return all["first"] != "ready" })
	c.process.signal(t, syscall.SIGCONT)
	eventually(t, "it is back", func() bool { all, _ := state(); return all["first"] == "ready" })
}
