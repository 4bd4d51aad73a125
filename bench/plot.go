package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A plot is a figure over something, ours and mostly a peer's. Its file is the name that rows have.
type plot struct {
	name     string
	title    string
	over     string
	unit     string
	peer     bool // whether what rows are beside is a line too
	logarith bool // the unit's axis
}

var plots = []plot{
	{name: "latency", title: "Latency, p99", over: "deliveries a second that were offered", unit: "ms", peer: true, logarith: true},
	{name: "cpu", title: "Server CPU of a million deliveries", over: "deliveries a second that were offered", unit: "s", peer: true},
	{name: "memory", title: "Memory of a connection", over: "connections", unit: "KB"},
	{name: "keep", title: "CPU to keep a connection", over: "connections", unit: "µs/s"},
}

// A point is one of a line.
type point struct{ x, y float64 }

// writePlots draws those for which there are rows.
func writePlots(dir string, rows []row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range plots {
		var ours, other []point
		for _, is := range rows {
			if is.plot == p.name && is.Verdict != "void" {
				ours, other = append(ours, point{is.at, is.Ours}), append(other, point{is.at, is.Beside})
			}
		}
		if !p.peer {
			other = nil
		}
		if len(ours) < 2 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, p.name+".svg"), []byte(p.draw(ours, other)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A plot's size, in SVG's units.
const (
	plotWidth  = 680
	plotHeight = 320
	plotLeft   = 64
	plotRight  = 104 // the lines' names
	plotTop    = 40
	plotBottom = 52
)

// The colours have a contrast of 3 at least on white and on black alike (WCAG 2.2, 1.4.11): a page that
// embeds the file has a theme that the file isn't told of. The peer's line is dashed too.
const plotStyle = `<style>text{font:13px system-ui,sans-serif;fill:#737b84}.title{font-weight:600;font-size:15px}.grid{stroke:#737b84;stroke-opacity:.35}` +
	`.line{fill:none;stroke-width:2.5}.ours{stroke:#2f81f7}.other{stroke:#db6d28;stroke-dasharray:7 4}` +
	`.dot-ours,.name-ours{fill:#2f81f7}.dot-other,.name-other{fill:#db6d28}</style>`

// draw draws one or two lines; other may be nil.
func (p plot) draw(ours, other []point) string {
	all := slices.Concat(ours, other)
	byX := func(a, b point) int { return cmp.Compare(a.x, b.x) }
	byY := func(a, b point) int { return cmp.Compare(a.y, b.y) }
	left, right := slices.MinFunc(all, byX).x, slices.MaxFunc(all, byX).x
	ticks := linearTicks(slices.MaxFunc(all, byY).y)
	if p.logarith {
		ticks = decades(slices.MinFunc(all, byY).y, slices.MaxFunc(all, byY).y)
	}
	low, high := ticks[0], ticks[len(ticks)-1]
	x := func(v float64) float64 {
		return plotLeft + 12 + math.Log(v/left)/math.Log(right/left)*(plotWidth-plotLeft-plotRight-12)
	}
	y := func(v float64) float64 {
		part := (v - low) / (high - low)
		if p.logarith {
			part = math.Log(v/low) / math.Log(high/low)
		}
		return plotHeight - plotBottom - part*(plotHeight-plotTop-plotBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s, in %s, over %s">`, plotWidth, plotHeight, p.title, p.unit, p.over)
	b.WriteString(plotStyle)
	fmt.Fprintf(&b, `<text class="title" x="8" y="20">%s, %s</text>`, p.title, p.unit)
	for _, tick := range ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWidth-plotRight, y(tick), y(tick))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%g</text>`, plotLeft-8, y(tick)+4, tick)
	}
	for _, at := range ours {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x(at.x), plotHeight-plotBottom+20, thousands(at.x))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, (plotLeft+plotWidth-plotRight)/2, plotHeight-10, p.over)
	line := func(class, name string, points []point) {
		fmt.Fprintf(&b, `<polyline class="line %s" points="`, class)
		for _, at := range points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(at.x), y(at.y))
		}
		b.WriteString(`"/>`)
		for _, at := range points {
			fmt.Fprintf(&b, `<circle class="dot-%s" cx="%.1f" cy="%.1f" r="4"><title>%s at %s: %.3g %s</title></circle>`, class, x(at.x), y(at.y), name, thousands(at.x), at.y, p.unit)
		}
	}
	ends := []float64{y(ours[len(ours)-1].y)}
	if other != nil {
		ends = apart(ends[0], y(other[len(other)-1].y), 16)
		line("other", peer, other)
		fmt.Fprintf(&b, `<text class="name-other" x="%d" y="%.1f">%s</text>`, plotWidth-plotRight+10, ends[1]+4, peer)
	}
	line("ours", "roompass", ours)
	fmt.Fprintf(&b, `<text class="name-ours" x="%d" y="%.1f">roompass</text></svg>`+"\n", plotWidth-plotRight+10, ends[0]+4)
	return b.String()
}

// apart moves two names away from each other until they can be read.
func apart(a, b, least float64) []float64 {
	if gap := math.Abs(a - b); gap < least {
		move := (least - gap) / 2
		if a > b {
			move = -move
		}
		a, b = a-move, b+move
	}
	return []float64{a, b}
}

// linearTicks are round numbers from 0 to what is at least most.
func linearTicks(most float64) (ticks []float64) {
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1e-9))))
	for _, times := range []float64{0.2, 0.5, 1, 2} {
		if most/(step*times) <= 5 {
			step *= times
			break
		}
	}
	for i := 0.0; ; i++ {
		ticks = append(ticks, i*step)
		if i*step >= most && i > 0 {
			return ticks
		}
	}
}

// decades are powers of ten around what there is, two at least.
func decades(least, most float64) (ticks []float64) {
	first := math.Floor(math.Log10(max(least, 1e-3)))
	last := max(first+1, math.Ceil(math.Log10(max(most, 1e-3))))
	for e := first; e <= last; e++ {
		ticks = append(ticks, math.Pow(10, e))
	}
	return ticks
}

// thousands writes 120,000 as 120k.
func thousands(n float64) string {
	if n >= 1000 {
		return fmt.Sprintf("%gk", n/1000)
	}
	return fmt.Sprintf("%g", n)
}
