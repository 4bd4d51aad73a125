package main

import "testing"

func TestLargerSizesStandBesideTheSmallest(t *testing.T) {
	for _, g := range (options{growth: []int{1000, 5000}}).growths() {
		first := g.rows(0, cost{10, 20, 30}, cost{10, 20, 30})
		next := g.rows(1, cost{11, 24, 31}, cost{10, 20, 30})
		if len(first) != len(next) || len(first) < 2 || first[0].judged().Verdict != "" || first[0].Peer != "" {
			t.Fatalf("%+v", first)
		}
		for i, want := range []string{"met", "worse"} {
			if got := next[i].judged().Verdict; got != want || next[i].Peer == "" {
				t.Errorf("%s: %q, want %q", next[i].What, got, want)
			}
		}
	}
}
