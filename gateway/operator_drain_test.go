package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// neighbours are the rooms of a pod that knows of others.
type neighbours struct {
	*rooms.Memory
	others []rooms.Pod
}

func (n *neighbours) Pods(ctx context.Context) ([]rooms.Pod, error) {
	pods, err := n.Memory.Pods(ctx)
	return append(pods, n.others...), err
}

// neighbour is another pod, as it tells of itself.
func neighbour(name, state string) rooms.Pod {
	status, _ := json.Marshal(podReport{podStatus{State: state}, "life of " + name, nil})
	return rooms.Pod{Name: name, Since: time.Now(), Status: status}
}

// besides has a pod see others.
func besides(others ...rooms.Pod) func(*Config) {
	return func(c *Config) { c.Rooms = &neighbours{c.Rooms.(*rooms.Memory), others} }
}

const drainTest = "/v1/pods/test/drain"

func (p *pod) stateOf(name string) string {
	p.t.Helper()
	_, answer, _ := p.operate("GET", "/v1/pods", "")
	for _, is := range answer.list("pods") {
		if is := message(is.(map[string]any)); is.str("pod") == name {
			return is.str("state")
		}
	}
	return ""
}

func TestOperatorDrainsAPodAndThinksBetterOfIt(t *testing.T) {
	inBubble(t, besides(neighbour("other", podReady)), func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		if code, answer, _ := p.operate("POST", drainTest, ""); code != 200 || answer.str("pod") != "test" {
			t.Fatalf("%d %v", code, answer)
		}
		if wait := ann.want("draining")["reconnect_in"].(float64); wait < 0 || wait > 0.7*30_000 {
			t.Errorf("reconnect_in is %v", wait)
		}
		if state := p.stateOf("test"); state != podDraining {
			t.Errorf("it is %s", state)
		}
		if code, _, _ := p.operate("GET", "/readyz", ""); code != 503 {
			t.Errorf("ready while draining: %d", code)
		}
		if _, err := p.dial(nil); err == nil {
			t.Error("a new socket while draining")
		}
		if code, _, _ := p.operate("POST", drainTest, ""); code != 200 {
			t.Errorf("said twice: %d", code)
		}
		time.Sleep(20 * time.Second)
		if code, answer, _ := p.operate("DELETE", drainTest, ""); code != 204 {
			t.Fatalf("%d %v", code, answer)
		}
		time.Sleep(time.Hour) // whoever is still there stays, with tokens
		if state := p.stateOf("test"); state != podReady {
			t.Errorf("it is %s", state)
		}
		pushed := ann.pending()
		if newest := pushed[len(pushed)-1].str("token"); newest == "" {
			t.Errorf("the last that came is %v", pushed[len(pushed)-1])
		} else if _, err := p.keys.Verify(newest, time.Now()); err != nil {
			t.Errorf("after the draining that wasn't: %v", err)
		}
		bob, _ := p.enter("bob")
		bob.ask("join", message{"room": "r"})
		bob.bye()
		ann.bye()
	})
}

func TestADrainedPodTakesNobodyUntilItIsToldTo(t *testing.T) {
	inBubble(t, besides(neighbour("other", podReady)), func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		from := time.Now()
		p.operate("POST", drainTest, "")
		ann.want("draining")
		ann.wantClose(CloseRestart)
		if took := time.Since(from).Truncate(time.Second); took != 30*time.Second {
			t.Errorf("who stayed was closed after %v", took)
		}
		time.Sleep(2 * drainTold) // what was told is forgotten, what was done isn't
		if state := p.stateOf("test"); state != podDraining {
			t.Errorf("it is %s", state)
		}
		if _, err := p.dial(nil); err == nil {
			t.Error("a new socket on a drained pod")
		}
		// The wish may come from elsewhere.
		lifted := policy.Rule{Kind: policy.Drained, Target: p.server.life, Until: time.Now().Add(time.Hour)}
		if _, err := p.server.rules.Set(t.Context(), lifted); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		bob, _ := p.enter("bob")
		bob.bye()
	})
}

func TestWishesForOtherPodsAreNotForThisOne(t *testing.T) {
	inBubble(t, besides(neighbour("other", podReady)), func(t *testing.T, p *pod) {
		if code, answer, _ := p.operate("POST", "/v1/pods/other/drain", ""); code != 200 {
			t.Fatalf("%d %v", code, answer)
		}
		if state := p.stateOf("other"); state != podDraining {
			t.Errorf("the other one is %s before its next heartbeat", state)
		}
		if p.server.isDraining() {
			t.Error("this one drains")
		}
		rules := p.server.rules.List()
		if i := slices.IndexFunc(rules, func(r policy.Rule) bool { return r.Target == "life of other" && r.Value }); i < 0 {
			t.Errorf("what is told is %v", rules)
		}
		// Now this one is the last that takes clients.
		if code, answer, _ := p.operate("POST", drainTest, ""); code != http.StatusConflict || answer.str("code") != codeLastPod {
			t.Errorf("the last one: %d %v", code, answer)
		}
	})
}

func TestTheLastPodIsNotDrained(t *testing.T) {
	lost := neighbour("lost", podReady)
	lost.Lost = true
	for name, others := range map[string][]rooms.Pod{
		"alone":                 nil,
		"beside lost ones":      {lost},
		"beside draining ones":  {neighbour("a", podDraining), neighbour("b", podStarting), neighbour("c", podDegraded)},
		"beside a strange one":  {{Name: "d", Status: json.RawMessage(`{"is":"of another kind"}`)}},
		"beside one that is to": {{Name: "e"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, besides(others...), func(t *testing.T, p *pod) {
				if code, answer, _ := p.operate("POST", drainTest, ""); code != http.StatusConflict || answer.str("code") != codeLastPod {
					t.Errorf("%d %v", code, answer)
				}
				if p.server.isDraining() {
					t.Error("it drains")
				}
				for _, is := range others {
					want := http.StatusConflict // this one would be there for its clients; but is it ready?
					switch {
					case is.Lost:
						want = http.StatusNotFound
					case is.Name == "d" || is.Name == "e":
						want = http.StatusServiceUnavailable // which process it is isn't known
					default:
						want = http.StatusOK
					}
					if code, answer, _ := p.operate("POST", "/v1/pods/"+is.Name+"/drain", ""); code != want {
						t.Errorf("%s: %d %v, want %d", is.Name, code, answer, want)
					}
				}
			})
		})
	}
}

func TestADrainIsNotUndoneForAPodThatEnds(t *testing.T) {
	inBubble(t, besides(neighbour("other", podReady)), func(t *testing.T, p *pod) {
		go p.server.Drain(t.Context(), time.Minute)
		time.Sleep(time.Second)
		if code, answer, _ := p.operate("DELETE", drainTest, ""); code != 404 || answer.str("code") != codeNotDrained {
			t.Errorf("%d %v", code, answer)
		}
		p.operate("POST", drainTest, "")
		if code, _, _ := p.operate("DELETE", drainTest, ""); code != 204 || !p.server.isDraining() {
			t.Errorf("%d, and it takes clients again", code)
		}
	})
}

func TestOperatorSeesWhichRightsWereChanged(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		member := ann.ask("join", message{"room": "r"}).str("member")
		changed := func() message {
			_, answer, _ := p.operate("GET", "/v1/rooms/r", "")
			return message(answer.list("members")[0].(map[string]any)).object("changed")
		}
		if is := changed(); len(is) != 0 {
			t.Errorf("nothing was changed, and yet %v", is)
		}
		now := time.Now()
		p.operate("PATCH", "/v1/rooms/r/members/"+member, `{"kick_users":false,"for":"2h"}`)
		p.operate("PATCH", "/v1/rooms/r/members/"+member, `{"join_hub":true,"for":"1h"}`)
		is := changed()
		if is["kick_users"] != false || is["join_hub"] != true || is["until"] != float64(now.Add(time.Hour).UnixMilli()) {
			t.Errorf("%v", is)
		}
		time.Sleep(90 * time.Minute)
		is = changed()
		if is["kick_users"] != false || is["join_hub"] != nil || is["until"] != float64(now.Add(2*time.Hour).UnixMilli()) {
			t.Errorf("after one has ended: %v", is)
		}
		ann.bye()
	})
}

func TestPodsTellOfThePromise(t *testing.T) {
	inBubble(t, func(c *Config) { c.Version = "v1.2.3" }, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		ann.ask("join", message{"room": "r"})
		time.Sleep(time.Hour)
		ann.pending()
		p.server.latest.see(time.Now(), 1500*time.Millisecond)
		_, answer, _ := p.operate("GET", "/v1/pods", "")
		is := message(answer.list("pods")[0].(map[string]any))
		if is.str("version") != "v1.2.3" || is["pushes"].(float64) < 15 || is["lapses"] != 0.0 || is["lateness"] != 1500.0 {
			t.Errorf("%v", is)
		}
		ann.bye()
	})
}

func TestRecentForgetsAfterAMinute(t *testing.T) {
	var r recent
	at := time.Unix(1_800_000_000, 0)
	if r.most(at) != 0 {
		t.Error("nothing was seen")
	}
	r.see(at, 3*time.Second)
	r.see(at.Add(30*time.Second), time.Second)
	for after, want := range map[time.Duration]time.Duration{
		0: 3 * time.Second, time.Minute: 3 * time.Second, 71 * time.Second: time.Second, 2 * time.Minute: 0,
	} {
		if got := r.most(at.Add(after)); got != want {
			t.Errorf("after %v it is %v, want %v", after, got, want)
		}
	}
	r.see(at.Add(70*time.Second), time.Millisecond) // in the place of the first
	if got := r.most(at.Add(70 * time.Second)); got != time.Second {
		t.Errorf("%v", got)
	}
}
