package main

import (
	"fmt"
	"slices"
)

// merge is one row for each that all rounds have: its figures are the medians, and one
// void round is enough for it to be void.
func merge(rounds [][]row) ([]row, error) {
	all := slices.Clone(rounds[0])
	for i := range all {
		is := &all[i]
		var ours, beside []float64
		for _, rows := range rounds {
			if len(rows) != len(all) || rows[i].What != is.What {
				return nil, fmt.Errorf("%s: the rounds don't have the same rows", is.Section)
			}
			ours, beside = append(ours, rows[i].Ours), append(beside, rows[i].Beside)
			is.Rounds = append(is.Rounds, round{rows[i].Ours, rows[i].Beside})
			if is.Void == "" {
				is.Void = rows[i].Void
			}
		}
		is.Ours, is.Beside = median(ours), median(beside)
		*is = is.judged()
	}
	return all, nil
}

// median is the median; of two in the middle, the lower.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	of = slices.Sorted(slices.Values(of))
	return of[(len(of)-1)/2]
}
