package gateway

import (
	"strconv"
	"sync/atomic"
	"time"

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
}

func newMetrics(s *Server, ttl time.Duration, to prometheus.Registerer) *metrics {
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
	}
	if to == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	to.MustRegister(m.messages, m.lateness, m.remaining, m.sign, m.signErrors, m.closes,
		m.pushes.as("roompass_token_pushes_total", "Tokens put on the way to clients, those in replies included."),
		m.lapses.as("roompass_token_lapses_total", "Connected members whose newest delivered token expired. Stays 0."),
		gauge("roompass_connections", "Open sockets.", func() float64 { return float64(s.conns.len()) }),
		gauge("roompass_rooms", "Rooms with a member of this pod.", func() float64 { n, _ := s.countRooms(); return float64(n) }),
		gauge("roompass_members", "Members of this pod, lingering ones included.", func() float64 { _, n := s.countRooms(); return float64(n) }),
		gauge("roompass_queue_bytes", "Bytes that wait to be written.", func() float64 { return float64(s.conns.queuedBytes()) }),
	)
	for _, code := range []CloseCode{CloseNormal, closeAbnormal, CloseRestart} {
		m.closes.WithLabelValues(strconv.Itoa(int(code)))
	}
	return m
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
