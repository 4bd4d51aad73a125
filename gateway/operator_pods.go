package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// Answers of the operator's API about pods.
type podList struct {
	Pods     []wirePod `json:"pods"`
	Degraded bool      `json:"degraded,omitempty"`
}

type wirePod struct {
	Pod   string `json:"pod"`
	Self  bool   `json:"self,omitempty"` // the one that answers
	Since int64  `json:"since"`
	Heard int64  `json:"heard"` // ms ago
	podStatus
}

// A podStatus is what a pod tells of itself.
type podStatus struct {
	State       string `json:"state"`
	Version     string `json:"version,omitempty"`
	Connections int    `json:"connections"`
	Rooms       int    `json:"rooms"`
	Members     int    `json:"members"`
	Pushes      int64  `json:"pushes"`   // tokens, since it began
	Lapses      int64  `json:"lapses"`   // the same
	Lateness    int64  `json:"lateness"` // ms, of the latest push of the last minute
}

// A podReport is what it tells the other pods, with each heartbeat.
type podReport struct {
	podStatus
	Life  string         `json:"life"`            // a name that no other process ever has
	Janus map[string]int `json:"janus,omitempty"` // sockets to each server
}

// A livePod is one with what only the pods know of each other.
type livePod struct {
	wirePod
	life  string         // "": it hasn't said
	told  bool           // an operator wants it to drain
	janus map[string]int // sockets to each server
}

// The states of a pod. The last two are as the others see it.
const (
	podStarting = "starting"
	podReady    = "ready"
	podDegraded = "degraded" // the rooms' shared view is out of its reach
	podDraining = "draining"
	podLost     = "lost"    // not heard of for a lease's time: its members linger elsewhere
	podUnknown  = "unknown" // it says nothing of itself that we understand
)

// status is what this pod is doing.
func (s *Server) status() podStatus {
	is := podStatus{
		State: podReady, Version: s.version, Connections: s.conns.len(),
		Pushes: s.metrics.pushes.value(), Lapses: s.metrics.lapses.value(), Lateness: s.latest.most(s.now()).Milliseconds(),
	}
	is.Rooms, is.Members = s.countRooms()
	switch {
	case s.isDraining():
		is.State = podDraining
	case !s.ready.Load():
		is.State = podStarting
	case s.outage() > 0:
		is.State = podDegraded
	}
	return is
}

// report is status for the other pods.
func (s *Server) report() json.RawMessage {
	text, _ := json.Marshal(podReport{s.status(), s.life, s.janusSockets()}) // numbers and words can't fail
	return text
}

// listPods answers GET /v1/pods.
func (s *Server) listPods(cluster rooms.Cluster) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, _ *http.Request, _ *act) (any, error) {
		pods, apart, err := s.livePods(ctx, cluster)
		if err != nil {
			return nil, err
		}
		list := podList{Pods: make([]wirePod, len(pods)), Degraded: apart}
		for i, p := range pods {
			list.Pods[i] = p.wirePod
		}
		return list, nil
	}
}

// A PodState is which state a pod is in, as GET /v1/pods has it.
type PodState struct {
	Pod   string `json:"pod"`
	State string `json:"state"`
}

// PodStates returns the pods by name. Where the others can't be asked it is this one alone.
func (s *Server) PodStates(ctx context.Context) []PodState {
	states := []PodState{}
	cluster, ok := s.rooms.(rooms.Cluster)
	if !ok {
		return states
	}
	pods, _, err := s.livePods(ctx, cluster)
	if err != nil {
		return states
	}
	for _, p := range pods {
		states = append(states, PodState{p.Pod, p.State})
	}
	return states
}

// livePods returns the pods; apart says that this one is the only one that it can see.
func (s *Server) livePods(ctx context.Context, cluster rooms.Cluster) (all []livePod, apart bool, _ error) {
	pods, err := cluster.Pods(ctx)
	apart = errors.Is(err, rooms.ErrUnavailable) && len(pods) > 0
	if err != nil && !apart {
		return nil, false, err
	}
	drained := map[string]bool{}
	for _, r := range s.rules.List() {
		if r.Kind == policy.Drained {
			drained[r.Target] = true
		}
	}
	for _, p := range pods {
		is := s.asLivePod(p)
		// It may have been told since its last heartbeat.
		if is.told = is.life != "" && drained[is.life]; is.told && is.State != podLost {
			is.State = podDraining
		}
		all = append(all, is)
	}
	return all, apart, nil
}

func (s *Server) asLivePod(p rooms.Pod) livePod {
	w := wirePod{Pod: cmp.Or(p.Name, s.pod), Self: p.Self, Since: p.Since.UnixMilli(), Heard: max(0, p.Heard.Milliseconds())}
	var report podReport
	switch {
	case len(p.Status) == 0: // it hasn't said anything yet
		report.State = podStarting
	case json.Unmarshal(p.Status, &report) != nil || report.State == "":
		report = podReport{podStatus: podStatus{State: podUnknown}}
	}
	w.podStatus = report.podStatus
	if p.Lost {
		w.State = podLost
	}
	return livePod{wirePod: w, life: report.Life, janus: report.Janus}
}
