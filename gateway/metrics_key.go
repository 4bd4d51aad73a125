package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roompass/roompass/tokens"
)

// keyMetric is since when there is the key that signs. A time and not an age: so pods can be compared.
type keyMetric struct{ keys *tokens.KeyRing }

var signingKey = prometheus.NewDesc("roompass_signing_key_timestamp_seconds",
	"When the file of the key that signs was modified, in seconds since 1970.", []string{"kid"}, nil)

// Describe implements [prometheus.Collector].
func (m keyMetric) Describe(to chan<- *prometheus.Desc) { to <- signingKey }

// Collect implements [prometheus.Collector].
func (m keyMetric) Collect(to chan<- prometheus.Metric) {
	kid, since := m.keys.Signing()
	to <- prometheus.MustNewConstMetric(signingKey, prometheus.GaugeValue, float64(since.UnixMilli())/1000, kid)
}
