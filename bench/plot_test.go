package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlotsAreOfWhatWasMeasured(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plots")
	rows := []row{
		{plot: "latency", at: 10_000, Ours: 2, Beside: 3}, {plot: "latency", at: 30_000, Ours: 20, Beside: 3.5},
		{plot: "memory", at: 1000, Ours: 9}, {plot: "memory", at: 19_000, Ours: 8, Beside: 9},
		{plot: "cpu", at: 10_000, Ours: 5, Beside: 6}, {plot: "cpu", at: 30_000, Ours: 5, Beside: 6, Verdict: "void"},
	}
	if err := writePlots(dir, rows); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for i, want := range []string{"latency.svg", "memory.svg"} {
		if len(files) != 2 || filepath.Base(files[i]) != want {
			t.Fatalf("%v: one point is no line", files)
		}
	}
	for i, lines := range []int{2, 1} {
		text, err := os.ReadFile(files[i])
		if err != nil || strings.Count(string(text), "<polyline") != lines || strings.Contains(string(text), "NaN") {
			t.Errorf("%v: %s", err, text)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(text)))
		for err = error(nil); err == nil; {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", files[i], err)
		}
	}
}

func TestTicksAreRoundAndHoldAllThereIs(t *testing.T) {
	for most, want := range map[float64][]float64{9: {0, 2, 4, 6, 8, 10}, 54.7: {0, 20, 40, 60}, 20: {0, 5, 10, 15, 20}, 1: {0, 0.2, 0.4, 0.6, 0.8, 1}} {
		got := linearTicks(most)
		if len(got) != len(want) || slices.ContainsFunc(got, func(v float64) bool {
			return !slices.ContainsFunc(want, func(w float64) bool { return v-w < 1e-9 && w-v < 1e-9 })
		}) {
			t.Errorf("%v: %v, want %v", most, got, want)
		}
	}
	if got := decades(2, 340); !slices.Equal(got, []float64{1, 10, 100, 1000}) {
		t.Error(got)
	}
	if got := decades(1, 1); len(got) < 2 {
		t.Error(got)
	}
}
