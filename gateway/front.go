package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
)

// serveJanus serves GET /janus, the front of Janus. What keeps a socket of /ws from
// being made keeps this one.
func (s *Server) serveJanus(w http.ResponseWriter, r *http.Request) {
	if s.mayUpgrade(w, r, janus.Subprotocol) {
		s.janus.ServeHTTP(w, r)
	}
}

// janusSockets are this pod's sockets to each server; nil: there is no front.
func (s *Server) janusSockets() map[string]int {
	if s.janus == nil {
		return nil
	}
	count := map[string]int{}
	for _, is := range s.janus.Servers() {
		count[is.Server] = is.Sockets
	}
	return count
}

// janusElsewhere are the other pods' sockets to each server, as far as they are known.
func (s *Server) janusElsewhere(ctx context.Context) map[string]int {
	count := map[string]int{}
	cluster, ok := s.rooms.(rooms.Cluster)
	if !ok {
		return count
	}
	pods, _, err := s.livePods(ctx, cluster)
	if err != nil {
		return count
	}
	for _, p := range pods {
		if p.Self || p.State == podLost {
			continue
		}
		for server, n := range p.janus {
			count[server] += n
		}
	}
	return count
}

// Answers of the operator's API about Janus servers.
type janusList struct {
	Servers []wireServer `json:"servers"`
}

type wireServer struct {
	janus.Status
	Total int `json:"total"` // of sockets, over all pods
}

type drainingServer struct {
	Server   string `json:"server"`
	Degraded bool   `json:"degraded,omitempty"`
}

// listJanus answers GET /v1/janus.
func (s *Server) listJanus(ctx context.Context, _ *http.Request, _ *act) (any, error) {
	list, others := janusList{}, s.janusElsewhere(ctx)
	for _, is := range s.janus.Servers() {
		list.Servers = append(list.Servers, wireServer{is, is.Sockets + others[is.Server]})
	}
	return list, nil
}

// drainJanus answers POST /v1/janus/{server}/drain. The rooms of the last one would
// have nowhere to go.
func (s *Server) drainJanus(ctx context.Context, r *http.Request, a *act) (any, error) {
	name, err := s.findJanus(r, a)
	if err != nil {
		return nil, err
	}
	drained := s.drainedServers()
	takes := func(is janus.Status) bool {
		return is.State == janus.StateReady && is.Server != name && !slices.Contains(drained, is.Server)
	}
	if !slices.ContainsFunc(s.janus.Servers(), takes) {
		return nil, &requestError{codeLastServer, "no other media server is ready: the rooms would have nowhere to go"}
	}
	_, apart, err := s.decide(ctx, drainingJanus(name, true, s.now()))
	if err != nil {
		return nil, err
	}
	return drainingServer{name, apart}, nil
}

// undrainJanus answers DELETE /v1/janus/{server}/drain.
func (s *Server) undrainJanus(ctx context.Context, r *http.Request, a *act) (any, error) {
	name, err := s.findJanus(r, a)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.drainedServers(), name) {
		return nil, &requestError{codeNotDrained, "no operator drains this server"}
	}
	return s.lift(ctx, drainingJanus(name, false, s.now()))
}

func (s *Server) findJanus(r *http.Request, a *act) (string, error) {
	a.Target = r.PathValue("server")
	if !slices.ContainsFunc(s.janus.Servers(), func(is janus.Status) bool { return is.Server == a.Target }) {
		return "", &requestError{codeNoSuchServer, "there is no such media server: GET /v1/janus says what they are called"}
	}
	return a.Target, nil
}

// drainedServers are those that an operator drains.
func (s *Server) drainedServers() (names []string) {
	for _, r := range s.rules.List() {
		if r.Kind == policy.DrainedServer {
			names = append(names, r.Target)
		}
	}
	return names
}

// drainedFor is how long a server stays drained: until it is let take rooms again, or
// has been forgotten.
const drainedFor = 30 * 24 * time.Hour

func drainingJanus(name string, wanted bool, now time.Time) policy.Rule {
	return policy.Rule{Kind: policy.DrainedServer, Target: name, Value: wanted, Until: now.Add(drainedFor)}
}
