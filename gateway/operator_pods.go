package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

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

// A podStatus is what a pod tells the others of itself with each heartbeat.
type podStatus struct {
	State       string `json:"state"`
	Connections int    `json:"connections"`
	Rooms       int    `json:"rooms"`
	Members     int    `json:"members"`
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
	is := podStatus{State: podReady, Connections: s.conns.len()}
	is.Rooms, is.Members = s.countRooms()
	switch {
	case s.draining.Load():
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
	text, _ := json.Marshal(s.status()) // numbers and words can't fail
	return text
}

// listPods answers GET /v1/pods.
func (s *Server) listPods(cluster rooms.Cluster) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, _ *http.Request, _ *act) (any, error) {
		pods, err := cluster.Pods(ctx)
		apart := errors.Is(err, rooms.ErrUnavailable) && len(pods) > 0
		if err != nil && !apart {
			return nil, err
		}
		list := podList{Pods: make([]wirePod, len(pods)), Degraded: apart}
		for i, p := range pods {
			list.Pods[i] = s.asWirePod(p)
		}
		return list, nil
	}
}

func (s *Server) asWirePod(p rooms.Pod) wirePod {
	w := wirePod{Pod: cmp.Or(p.Name, s.pod), Self: p.Self, Since: p.Since.UnixMilli(), Heard: max(0, p.Heard.Milliseconds())}
	switch {
	case len(p.Status) == 0: // it hasn't said anything yet
		w.State = podStarting
	case json.Unmarshal(p.Status, &w.podStatus) != nil || w.State == "":
		w.podStatus = podStatus{State: podUnknown}
	}
	if p.Lost {
		w.State = podLost
	}
	return w
}
