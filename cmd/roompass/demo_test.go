package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// The demo page asks a pod to crash. It ends as if it were killed, and says in its log who asked.
func TestServeDevCrashesWhenAsked(t *testing.T) {
	t.Parallel()
	var pods struct {
		Pods []struct{ Pod, State string }
	}
	listen, operator := loopback(t), loopback(t)
	process := serveProcess(t, "--dev", "--listen", listen, "--admin-listen", operator, "--pod-id", "a")
	process.served = served{url: "http://" + listen, operator: "http://" + operator}
	eventually(t, "it says that it is the only pod", func() bool {
		response, err := http.Get(process.url + "/demo/pods")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&pods); err != nil {
			t.Error(err)
		}
		return len(pods.Pods) == 1 && pods.Pods[0].Pod == "a" && pods.Pods[0].State == "ready"
	})
	ann, _ := enter(t, process.served, "ann", "r")
	if got := ann.ask(map[string]any{"type": "crash"}); got != nil {
		t.Errorf("it answered: %v", got)
	}
	_ = process.Wait()
	if got := process.ProcessState.ExitCode(); got != exitCrashed {
		t.Errorf("it ended with %d, want %d", got, exitCrashed)
	}
	if said := process.Stderr.(*strings.Builder).String(); !strings.Contains(said, "user=ann") || strings.Contains(said, "stopped") {
		t.Errorf("it said: %s", said)
	}
}

func TestServeCrashesForNobodyWithoutDev(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roompass(t, "", "keygen", "--out", dir)
	listen, operator := loopback(t), loopback(t)
	process := serveProcess(t, "--key", filepath.Join(dir, "key.pem"), "--listen", listen, "--admin-listen", operator)
	process.served = served{url: "http://" + listen, operator: "http://" + operator}
	process.awaitReady(t)
	ann, _ := enter(t, process.served, "ann", "r")
	if got := ann.ask(map[string]any{"type": "crash"}); got["code"] != "unknown_type" {
		t.Errorf("got %v, want unknown_type", got)
	}
	response, err := http.Get(process.url + "/demo/pods")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("/demo/pods: %d, want 404", response.StatusCode)
	}
}
