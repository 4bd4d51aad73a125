package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

// A report is all rows, and what they were measured with.
type report struct {
	Go          string `json:"go"`
	CPUs        int    `json:"cpus"`
	Centrifuge  string `json:"centrifuge_version"`
	OpenSSL     string `json:"openssl_version"`
	Connections int    `json:"connections"`
	Rounds      int    `json:"rounds"`
	Load        string `json:"load_average"` // of the machine at the end
	Rows        []row  `json:"rows"`
}

func newReport(o options) *report {
	r := &report{Go: runtime.Version(), CPUs: runtime.NumCPU(), Connections: o.connections, Rounds: o.rounds}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "github.com/centrifugal/centrifuge" {
				r.Centrifuge = module.Version
			}
		}
	}
	if text, err := exec.Command("openssl", "version").Output(); err == nil {
		r.OpenSSL, _, _ = strings.Cut(strings.TrimPrefix(string(text), "OpenSSL "), " ")
	}
	return r
}

// write writes what was asked for: the table or JSON, and plots.
func (r *report) write(o options) error {
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if o.plots != "" {
		if err := writePlots(o.plots, r.Rows); err != nil {
			return fmt.Errorf("--plots: %w", err)
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if o.json == "-" {
		_, err := os.Stdout.Write(text)
		return err
	}
	if o.json != "" {
		if err := os.WriteFile(o.json, text, 0o644); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	return r.print(os.Stdout)
}

func (r *report) print(to io.Writer) error {
	fmt.Fprintf(to, "%d connections in rooms of %d, %d rounds, centrifuge %s, openssl %s, %s, %d CPUs, load average %s\n\n",
		r.Connections, roomSize, r.Rounds, r.Centrifuge, r.OpenSSL, r.Go, r.CPUs, r.Load)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\troompass\tbeside\tof\tunit\tratio\tasked\t\thow")
	for _, is := range r.Rows {
		beside, ratio, asked := "-", "-", is.Asked.String()
		if is.Peer != "" {
			beside = fmt.Sprintf("%.2f", is.Beside)
		}
		if is.Verdict != "void" && is.Beside > 0 {
			ratio = fmt.Sprintf("%.2f", is.Ratio)
		}
		if is.Limit > 0 {
			asked += fmt.Sprintf(", ≤ %.4g %s", is.Limit, is.Unit)
		}
		fmt.Fprintf(table, "%s\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", is.What, is.Ours, beside, is.Peer, is.Unit, ratio, asked, is.Verdict, is.How)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, is := range r.Rows {
		if is.Void != "" {
			fmt.Fprintf(to, "void: %s: %s\n", is.What, is.Void)
		}
	}
	return nil
}
