package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

// A report is both sides, and how they compare.
type report struct {
	Go          string  `json:"go"`
	CPUs        int     `json:"cpus"`
	Centrifuge  string  `json:"centrifuge_version"`
	Connections int     `json:"connections"`
	Rounds      int     `json:"rounds"`
	Load        string  `json:"load_average"` // of the machine at the end
	Roompass    figures `json:"roompass"`
	Other       figures `json:"centrifuge"`
	Rows        []row   `json:"rows"`
}

// A row is one figure. Less is better in all of them.
type row struct {
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Roompass float64 `json:"roompass"`
	Other    float64 `json:"centrifuge"`
	Ratio    float64 `json:"ratio"`     // 0: there is none
	AtMost   float64 `json:"at_most"`   // of the ratio; 0: nothing is asked
	Absolute float64 `json:"at_most_n"` // of our own figure, in its unit; 0: nothing is asked
	Verdict  string  `json:"verdict"`   // "", "met", "worse", "void"
	How      string  `json:"how"`
}

func compare(o options, ours, other figures) report {
	r := report{Go: runtime.Version(), CPUs: runtime.NumCPU(), Connections: o.connections, Rounds: o.rounds, Roompass: ours, Other: other}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "github.com/centrifugal/centrifuge" {
				r.Centrifuge = module.Version
			}
		}
	}
	r.add(row{
		What: "memory of an idle connection", Unit: "KB", Roompass: ours.RSS / 1024, Other: other.RSS / 1024, AtMost: 0.6, Absolute: 12,
		How: fmt.Sprintf("RSS after %v idle, less RSS before the first came, by connections", o.idle),
	})
	for i, is := range ours.Fanout {
		than := other.Fanout[i]
		void := is.Void || than.Void
		at := fmt.Sprintf(" at %dk/s", is.Rate/1000)
		r.delivered(void, row{
			What: "server CPU, 1M deliveries" + at, Unit: "s", Roompass: is.CPU, Other: than.CPU, AtMost: 0.8,
			How: "user and system time of the server's process, by deliveries",
		})
		r.delivered(void, row{
			What: "Redis CPU, 1M deliveries" + at, Unit: "s", Roompass: is.RedisCPU, Other: than.RedisCPU,
			How: "by INFO cpu, by deliveries",
		})
		r.delivered(void, row{
			What: "latency p50" + at, Unit: "ms", Roompass: is.P50, Other: than.P50,
			How: "from when a message was due, open loop",
		})
		r.delivered(void, row{
			What: "latency p99" + at, Unit: "ms", Roompass: is.P99, Other: than.P99, AtMost: 1,
			How: "from when a message was due, open loop",
		})
	}
	r.add(row{
		What: "server CPU of a join", Unit: "µs", Roompass: ours.JoinCPU, Other: other.JoinCPU, AtMost: 1,
		How: "connect, join, the members, the others told; tokens by HS256, so without RSA",
	})
	r.add(row{
		What: "Redis CPU of a join", Unit: "µs", Roompass: ours.JoinRedisCPU, Other: other.JoinRedisCPU, AtMost: 2,
		How: "the same, by INFO cpu",
	})
	r.add(row{
		What: "idle: server CPU", Unit: "% of a core", Roompass: ours.IdleCPU, Other: other.IdleCPU, AtMost: 0.5,
		How: fmt.Sprintf("over %v, no token due in them", o.idle),
	})
	r.add(row{
		What: "idle: Redis commands", Unit: "1/s", Roompass: ours.IdleCommands, Other: other.IdleCommands, AtMost: 0.5,
		How: "by INFO stats, those within scripts included",
	})
	return r
}

// delivered adds a row about messages; with void some were lost, or came twice.
func (r *report) delivered(void bool, is row) {
	r.add(is)
	if void {
		last := &r.Rows[len(r.Rows)-1]
		last.Ratio, last.Verdict = 0, "void"
	}
}

func (r *report) add(is row) {
	if is.Other > 0 {
		is.Ratio = is.Roompass / is.Other
	}
	switch {
	case is.AtMost == 0:
	case is.Roompass > is.Other*is.AtMost, is.Absolute > 0 && is.Roompass > is.Absolute:
		is.Verdict = "worse"
	default:
		is.Verdict = "met"
	}
	r.Rows = append(r.Rows, is)
}

func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "%d connections in rooms of %d, %d rounds, centrifuge %s, %s, %d CPUs, load average %s\n\n",
		r.Connections, roomSize, r.Rounds, r.Centrifuge, r.Go, r.CPUs, r.Load)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\troompass\tcentrifuge\tunit\tratio\tat most\t\thow")
	for _, is := range r.Rows {
		ratio, most := "-", "-"
		if is.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", is.Ratio)
		}
		if is.AtMost > 0 {
			most = fmt.Sprintf("%.1f", is.AtMost)
		}
		if is.Absolute > 0 {
			most += fmt.Sprintf(", %.0f %s", is.Absolute, is.Unit)
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\n", is.What, is.Roompass, is.Other, is.Unit, ratio, most, is.Verdict, is.How)
	}
	_ = table.Flush()
	for side, all := range map[string][]fanout{"roompass": r.Roompass.Fanout, "centrifuge": r.Other.Fanout} {
		for _, is := range all {
			if is.Reached < 0.9*float64(is.Rate) {
				fmt.Fprintf(to, "overloaded: %s had %.0f/s where %d were offered; its latency is of the queue\n", side, is.Reached, is.Rate)
			}
			if is.Void {
				fmt.Fprintf(to, "void: %s at %d/s delivered %d of %d\n", side, is.Rate, is.Received, is.Expected)
			}
		}
	}
}
