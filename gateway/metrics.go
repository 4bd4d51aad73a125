package gateway

import (
	"math"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are part of the interface: their names are in docs/operating.md.
type metrics struct {
	messages   *prometheus.CounterVec
	pushes     counter
	lateness   prometheus.Histogram
	remaining  prometheus.Histogram
	sign       prometheus.Histogram
	signErrors prometheus.Counter
	lapses     counter
	closes     *prometheus.CounterVec
	refusals   *prometheus.CounterVec
}

func newMetrics(s *Server, cfg Config) *metrics {
	ttl, to := cfg.TokenTTL, cfg.Registry
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roompass_messages_total", Help: "Messages from clients, by type.",
		}, []string{"type"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roompass_token_push_lateness_seconds", Help: "From when a token was due to when it was pushed.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		remaining: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roompass_token_remaining_seconds", Help: "What a token still had to live when its delivery was proven.",
			Buckets: prometheus.LinearBuckets(ttl.Seconds()/10, ttl.Seconds()/10, 10),
		}),
		sign: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roompass_token_sign_seconds", Help: "Time that one signature took.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		}),
		signErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roompass_token_sign_errors_total", Help: "Signatures that failed, and are tried again.",
		}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roompass_closes_total", Help: "Connections that ended, by close code; 1006 is none.",
		}, []string{"code"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roompass_refusals_total", Help: "What people were refused, by action and by the error's code; of an upgrade, by the HTTP status.",
		}, []string{"action", "result"}),
	}
	if to == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	to.MustRegister(m.messages, m.lateness, m.remaining, m.sign, m.signErrors, m.closes, m.refusals, keyMetric{cfg.Keys},
		m.pushes.as("roompass_token_pushes_total", "Tokens put on the way to clients, those in replies included."),
		m.lapses.as("roompass_token_lapses_total", "Connected members whose newest delivered token expired. Stays 0."),
		gauge("roompass_token_least_remaining_seconds", "What the newest delivered token has left that runs out first of all; NaN where nobody holds one.", s.leastRemaining),
		gauge("roompass_token_margin_seconds", "What a token has left when the next one is due at the latest: life less refresh and skew.", func() float64 { return s.margin.Seconds() }),
		gauge("roompass_token_signers", "Signatures that are made at a time.", func() float64 { return float64(s.schedule.Signers()) }),
		gauge("roompass_connections", "Open sockets.", func() float64 { return float64(s.conns.len()) }),
		gauge("roompass_rooms", "Rooms with a member of this pod.", func() float64 { n, _ := s.countRooms(); return float64(n) }),
		gauge("roompass_members", "Members of this pod, lingering ones included.", func() float64 { _, n := s.countRooms(); return float64(n) }),
		gauge("roompass_queue_bytes", "Bytes that wait to be written.", func() float64 { return float64(s.conns.queuedBytes()) }),
	)
	for _, code := range []CloseCode{CloseNormal, closeAbnormal, CloseRestart} {
		m.closes.WithLabelValues(strconv.Itoa(int(code)))
	}
	// From 0 on, so that the first one is an increase too.
	for action := range refusable {
		m.refusals.WithLabelValues(action, codeNotAllowed)
	}
	return m
}

func (s *Server) leastRemaining() float64 {
	left, held := s.schedule.LeastRemaining()
	if !held {
		return math.NaN()
	}
	return left.Seconds()
}

// refusable are the actions of people that can be refused, by their names in the audit.
var refusable = map[string]bool{"auth": true, "join": true, "resume": true, "token": true, "kick": true}

// refused counts an act that came to nothing. What the operator does is none of it.
func (m *metrics) refused(a act) {
	if a.Result != resultOK && a.By != byOperator && refusable[a.Action] {
		m.refusals.WithLabelValues(a.Action, a.Result).Inc()
	}
}

// A counter is one whose value the pods tell each other too.
type counter struct{ n atomic.Int64 }

func (c *counter) Inc()         { c.n.Add(1) }
func (c *counter) value() int64 { return c.n.Load() }

func (c *counter) as(name, help string) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(c.value()) })
}

// message counts one message. A type that we don't know must not become a label.
func (m *metrics) message(typ string) {
	switch typ {
	case "auth", "join", "leave", "signal", "update", "kick":
	default:
		typ = "unknown"
	}
	m.messages.WithLabelValues(typ).Inc()
}

func (m *metrics) close(code CloseCode) { m.closes.WithLabelValues(strconv.Itoa(int(code))).Inc() }
