package load

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/coder/websocket"
)

// A Report is what was seen. Durations are in ns.
type Report struct {
	Began       time.Time     `json:"began"`
	Wanted      int           `json:"wanted"`    // connections
	Connected   int           `json:"connected"` // of them were in their room
	ConnectTook time.Duration `json:"connect_took"`
	Ran         time.Duration `json:"ran"`

	Sent      int64 `json:"sent"`      // signals
	Expected  int64 `json:"expected"`  // deliveries of them
	Received  int64 `json:"received"`  // deliveries that came
	Delivered int64 `json:"delivered"` // of these, while the run ran

	Disorder int64 `json:"disorder"` // messages that came twice, or in another order than the log's

	Tokens    int64  `json:"tokens"`              // that were verified
	BadTokens int64  `json:"bad_tokens"`          // that didn't hold
	BadToken  string `json:"bad_token,omitempty"` // why the last of them didn't
	Lapses    int64  `json:"lapses"`              // a connected client's newest token had run out

	Resumes       int64 `json:"resumes"`
	SignedResumes int64 `json:"signed_resumes"` // of them got a new token

	Join      Quantiles `json:"join"`      // from when a client was to come to when it was in
	Latency   Quantiles `json:"latency"`   // of a signal, from when it was to be sent
	Resume    Quantiles `json:"resume"`    // from when a socket was lost to when its client was back
	Lateness  Quantiles `json:"lateness"`  // of a pushed token, after its predecessor was as old as it should get
	Remaining Quantiles `json:"remaining"` // what a token still had to live when it came

	Errors map[string]int `json:"errors"` // that the gateway answered, by code, and other mishaps
	Closes map[int]int    `json:"closes"` // of sockets, by close code; 1006: without

	Servers []Server          `json:"servers"`
	Unread  map[string]string `json:"unread,omitempty"` // pods that nobody can look at, and why
	Seconds []Second          `json:"seconds"`
}

// A Second is what happened in one, counted from the beginning.
type Second struct {
	Sent      int64 `json:"sent"`
	Received  int64 `json:"received"`
	Tokens    int64 `json:"tokens"`
	Connected int64 `json:"connected"`
}

// Quantiles are those of a distribution, in ns. Count 0: there was nothing.
type Quantiles struct {
	Count int64         `json:"count"`
	Min   time.Duration `json:"min"`
	P50   time.Duration `json:"p50"`
	P90   time.Duration `json:"p90"`
	P99   time.Duration `json:"p99"`
	P999  time.Duration `json:"p999"`
	Max   time.Duration `json:"max"`

	Curve []Point `json:"curve,omitempty"`
}

// A Point says which part of a distribution is at most so large.
type Point struct {
	Part float64       `json:"part"`
	At   time.Duration `json:"at"`
}

// A recorder is an HDR histogram of up to an hour, that may be used concurrently.
type recorder struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newRecorder() *recorder {
	return &recorder{h: hdrhistogram.New(int64(time.Microsecond), int64(time.Hour), 3)}
}

func (r *recorder) record(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.h.RecordValue(min(max(int64(d), 0), int64(time.Hour)))
}

func (r *recorder) quantiles() Quantiles {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := func(q float64) time.Duration { return time.Duration(r.h.ValueAtQuantile(q)) }
	q := Quantiles{
		Count: r.h.TotalCount(), Min: time.Duration(r.h.Min()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(r.h.Max()),
	}
	if q.Count > 0 {
		for _, b := range r.h.CumulativeDistributionWithTicks(4) {
			q.Curve = append(q.Curve, Point{b.Quantile / 100, time.Duration(b.ValueAt)})
		}
	} else {
		q.Min = 0
	}
	return q
}

func (r *run) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Errors[what]++
}

func (r *run) bad(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.BadTokens++
	r.report.BadToken = err.Error()
}

func (r *run) resumed(after time.Duration, signed bool) {
	r.resumes.record(after)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Resumes++
	if signed {
		r.report.SignedResumes++
	}
}

// failed notes why a socket ended, and says whether its client comes back.
func (r *run) failed(err error) (again bool) {
	var closed websocket.CloseError
	var refused refusal
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.As(err, &closed):
		r.report.Closes[int(closed.Code)]++
		return !slices.Contains([]websocket.StatusCode{1000, 1009, 4400, 4401, 4403, 4409}, closed.Code)
	case errors.As(err, &refused):
		r.report.Errors[string(refused)]++
		return refused == "unavailable"
	default:
		r.report.Closes[1006]++
		r.report.Errors[kindOf(err)]++
		return true
	}
}

// kindOf is an error without what is different each time, as ports are.
func kindOf(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// why is what went wrong most often.
func (r *Report) why() string {
	if len(r.Errors) == 0 {
		return "the time was too short"
	}
	return slices.MaxFunc(slices.Collect(maps.Keys(r.Errors)), func(a, b string) int { return cmp.Compare(r.Errors[a], r.Errors[b]) })
}

// finish writes down what was counted.
func (r *run) finish() {
	is := &r.report
	is.Wanted, is.Lapses, is.Disorder = r.Connections, r.lapses.Load(), r.disorder.Load()
	is.Sent, is.Expected, is.Received = r.sent.Load(), r.expected.Load(), r.received.Load()
	is.Join, is.Latency, is.Resume = r.joins.quantiles(), r.latency.quantiles(), r.resumes.quantiles()
	is.Lateness, is.Remaining = r.lateness.quantiles(), r.remaining.quantiles()
	is.Tokens = is.Remaining.Count
	last := min(int(time.Since(r.began)/time.Second)+1, len(r.seconds))
	for i := range r.seconds[:last] {
		s := &r.seconds[i]
		is.Seconds = append(is.Seconds, Second{s.Sent.Load(), s.Received.Load(), s.Tokens.Load(), s.Connected.Load()})
	}
}

// WriteText writes the report for a person to read.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "  %-12s"+format+"\n", append([]any{name}, values...)...)
	}
	line("clients", "%d of %d in, in %s", r.Connected, r.Wanted, short(r.ConnectTook))
	line("join", "%s", r.Join)
	if r.Sent > 0 {
		line("signals", "%d sent, %d of %d deliveries came, %.0f a second", r.Sent, r.Received, r.Expected, float64(r.Delivered)/max(r.Ran.Seconds(), 1e-9))
		line("order", "%d messages twice or out of order", r.Disorder)
		line("latency", "%s", r.Latency)
	}
	line("tokens", "%d verified, %d didn't hold", r.Tokens, r.BadTokens)
	if r.BadTokens > 0 {
		line("", "the last because: %s", r.BadToken)
	}
	line("lapses", "%d", r.Lapses)
	if r.Lateness.Count > 0 {
		line("lateness", "%s", r.Lateness)
	}
	line("remaining", "%s at least, when a token came", short(r.Remaining.Min))
	if r.Resumes > 0 {
		line("resumed", "%d, of which %d got a new token", r.Resumes, r.SignedResumes)
		line("back after", "%s", r.Resume)
	}
	for _, s := range r.Servers {
		per := float64(s.RSS-s.RSSBefore) / float64(max(r.Connected, 1)) * float64(max(len(r.Servers), 1))
		line("server", "%s: %.1f MB, %.1f KB a connection; %.2f s of CPU as they came, %.1f %% of a core then", s.URL, float64(s.RSS)/1e6, per/1e3, s.ConnectCPU, 100*s.RunCPUOfCore)
	}
	for _, address := range slices.Sorted(maps.Keys(r.Unread)) {
		line("server", "%s: %s", address, r.Unread[address])
	}
	for _, what := range slices.Sorted(maps.Keys(r.Errors)) {
		line("errors", "%d × %s", r.Errors[what], what)
	}
	for _, code := range slices.Sorted(maps.Keys(r.Closes)) {
		line("closed", "%d × %d", r.Closes[code], code)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String is the quantiles in a line.
func (q Quantiles) String() string {
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, most %s", short(q.P50), short(q.P90), short(q.P99), short(q.P999), short(q.Max))
}

// short is a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}
