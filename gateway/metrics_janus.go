package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roompass/roompass/gateway/janus"
)

// janusMetrics are how the Janus servers are, as this pod sees them.
type janusMetrics struct{ front *janus.Front }

var (
	janusReady   = prometheus.NewDesc("roompass_janus_ready", "1 where a Janus server may be used, else 0.", []string{"server"}, nil)
	janusSockets = prometheus.NewDesc("roompass_janus_sockets", "Sockets of browsers to a Janus server.", []string{"server"}, nil)
)

// Describe implements [prometheus.Collector].
func (m janusMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- janusReady
	to <- janusSockets
}

// Collect implements [prometheus.Collector].
func (m janusMetrics) Collect(to chan<- prometheus.Metric) {
	for _, is := range m.front.Servers() {
		ready := 0.0
		if is.State == janus.StateReady || is.State == janus.StateDraining {
			ready = 1
		}
		to <- prometheus.MustNewConstMetric(janusReady, prometheus.GaugeValue, ready, is.Server)
		to <- prometheus.MustNewConstMetric(janusSockets, prometheus.GaugeValue, float64(is.Sockets), is.Server)
	}
}
