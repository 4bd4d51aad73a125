package load

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed report.html
var page string

var report = template.Must(template.New("report").Funcs(template.FuncMap{
	"short": short, "curve": curve, "timeline": timeline, "mb": func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) },
	"percent": func(f float64) string { return fmt.Sprintf("%.1f", 100*f) },
}).Parse(page))

// WriteHTML writes the report as one page that needs nothing else. command is how it
// was made.
func (r *Report) WriteHTML(w io.Writer, command string) error {
	return report.Execute(w, struct {
		*Report
		Command string
	}{r, command})
}

// The charts' size, in the SVG's own units.
const (
	chartWidth  = 640
	chartHeight = 200
	chartLeft   = 64
	chartBottom = 24
)

// curve draws how large a value is at each part of a distribution, both on scales on
// which each nine takes as much room as the one before.
func curve(q Quantiles) template.HTML {
	if q.Count == 0 || q.Max <= 0 {
		return "<p>Nothing to draw.</p>"
	}
	nines := func(part float64) float64 { return -math.Log10(max(1-part, 1/float64(q.Count)/2)) }
	most := max(nines(1), 1)
	low, high := math.Log10(max(float64(q.Min), float64(time.Microsecond))), math.Log10(max(float64(q.Max), float64(2*time.Microsecond)))
	high = max(high, low+0.1)
	x := func(part float64) float64 { return chartLeft + nines(part)/most*(chartWidth-chartLeft-8) }
	y := func(d time.Duration) float64 {
		at := (math.Log10(max(float64(d), float64(time.Microsecond))) - low) / (high - low)
		return chartHeight - chartBottom - at*(chartHeight-chartBottom-8)
	}
	var b strings.Builder
	begin(&b, fmt.Sprintf("From %s to %s; half are at most %s, 99 of 100 at most %s.", short(q.Min), short(q.Max), short(q.P50), short(q.P99)))
	for e := math.Ceil(low); e <= high; e++ {
		at := time.Duration(math.Pow(10, e))
		guide(&b, y(at), at.String())
	}
	for _, part := range []float64{0, .5, .9, .99, .999, .9999} {
		if nines(part) <= most {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x(part), chartHeight-6, strings.TrimSuffix(fmt.Sprintf("%.4g", part*100), ".")+"%")
		}
	}
	b.WriteString(`<polyline points="`)
	for _, p := range q.Curve {
		fmt.Fprintf(&b, "%.1f,%.1f ", x(p.Part), y(p.At))
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()) // #nosec G203: numbers only
}

// timeline draws what was counted in each second.
func timeline(seconds []Second, what string) template.HTML {
	pick := map[string]func(Second) int64{
		"received": func(s Second) int64 { return s.Received }, "tokens": func(s Second) int64 { return s.Tokens },
		"connected": func(s Second) int64 { return s.Connected },
	}[what]
	values := make([]int64, len(seconds))
	for i, s := range seconds {
		values[i] = pick(s)
	}
	if len(values) < 2 || slices.Max(values) == 0 {
		return "<p>Nothing to draw.</p>"
	}
	most := slices.Max(values)
	var b strings.Builder
	begin(&b, fmt.Sprintf("%d seconds; at most %d in one.", len(values), most))
	y := func(v int64) float64 {
		return chartHeight - chartBottom - float64(v)/float64(most)*(chartHeight-chartBottom-8)
	}
	guide(&b, y(most), fmt.Sprint(most))
	guide(&b, y(0), "0")
	fmt.Fprintf(&b, `<text x="%d" y="%d">0 s</text><text x="%d" y="%d" text-anchor="end">%d s</text><polyline points="`,
		chartLeft, chartHeight-6, chartWidth-8, chartHeight-6, len(values)-1)
	for i, v := range values {
		fmt.Fprintf(&b, "%.1f,%.1f ", chartLeft+float64(i)/float64(len(values)-1)*(chartWidth-chartLeft-8), y(v))
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()) // #nosec G203: numbers only
}

func begin(b *strings.Builder, says string) {
	fmt.Fprintf(b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, chartHeight, says)
}

func guide(b *strings.Builder, y float64, label string) {
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
		chartLeft, chartWidth-8, y, y, chartLeft-6, y+4, label)
}
