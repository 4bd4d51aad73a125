package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// drainTold is how long a decision to drain is remembered, for pods that hear of
// it late. The pod itself stays as it is until it is told otherwise, or ends.
const drainTold = 24 * time.Hour

// A drainingPod is the answer to the wish that a pod gives its clients away.
type drainingPod struct {
	Pod      string `json:"pod"`
	Degraded bool   `json:"degraded,omitempty"`
}

// drainPod answers POST /v1/pods/{pod}/drain. The clients of the last pod that
// takes any would have nowhere to go, and their tokens would run out.
func (s *Server) drainPod(cluster rooms.Cluster) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, r *http.Request, a *act) (any, error) {
		pods, i, err := s.findPod(ctx, cluster, r, a)
		if err != nil {
			return nil, err
		}
		takes := func(p livePod) bool { return p.State == podReady && p.Pod != pods[i].Pod }
		if !slices.ContainsFunc(pods, takes) {
			return nil, &requestError{codeLastPod, "no other pod takes clients: these would have nowhere to go"}
		}
		_, apart, err := s.decide(ctx, draining(pods[i], true, s.now()))
		if err != nil {
			return nil, err
		}
		return drainingPod{pods[i].Pod, apart}, nil
	}
}

// undrainPod answers DELETE /v1/pods/{pod}/drain.
func (s *Server) undrainPod(cluster rooms.Cluster) func(context.Context, *http.Request, *act) (any, error) {
	return func(ctx context.Context, r *http.Request, a *act) (any, error) {
		pods, i, err := s.findPod(ctx, cluster, r, a)
		if err != nil {
			return nil, err
		}
		if !pods[i].told {
			return nil, &requestError{codeNotDrained, "no operator drains this pod; one that was told to end does so in any case"}
		}
		return s.lift(ctx, draining(pods[i], false, s.now()))
	}
}

// draining is the decision about a pod's present life: when it is started anew it
// is as any other.
func draining(p livePod, wanted bool, now time.Time) policy.Rule {
	return policy.Rule{Kind: policy.Drained, Target: p.life, Value: wanted, Until: now.Add(drainTold)}
}

// findPod returns the pods, and which of them a request is about. Without the
// others nothing can be decided about them, nor about this one.
func (s *Server) findPod(ctx context.Context, cluster rooms.Cluster, r *http.Request, a *act) ([]livePod, int, error) {
	name := r.PathValue("pod")
	a.Target = name
	pods, apart, err := s.livePods(ctx, cluster)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(pods, func(p livePod) bool { return p.Pod == name })
	switch {
	case apart:
		return nil, 0, &requestError{codeUnavailable, "the other pods are out of reach: nobody knows whether they take clients"}
	case i < 0 || pods[i].State == podLost:
		return nil, 0, &requestError{codeNoSuchPod, "there is no such pod"}
	case pods[i].life == "":
		return nil, 0, &requestError{codeUnavailable, "this pod hasn't told the others of itself yet: try again"}
	}
	return pods, i, nil
}
