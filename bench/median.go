package main

import "slices"

// median is the median of each figure over all rounds; of two in the middle, the lower.
func median(rounds []figures) figures {
	of := func(get func(figures) float64) float64 {
		var all []float64
		for _, f := range rounds {
			all = append(all, get(f))
		}
		slices.Sort(all)
		return all[(len(all)-1)/2]
	}
	m := figures{
		RSS:          of(func(f figures) float64 { return f.RSS }),
		JoinCPU:      of(func(f figures) float64 { return f.JoinCPU }),
		JoinRedisCPU: of(func(f figures) float64 { return f.JoinRedisCPU }),
		IdleCPU:      of(func(f figures) float64 { return f.IdleCPU }),
		IdleCommands: of(func(f figures) float64 { return f.IdleCommands }),
	}
	for i, first := range rounds[0].Fanout {
		is := fanout{
			Rate:     first.Rate,
			Reached:  of(func(f figures) float64 { return f.Fanout[i].Reached }),
			CPU:      of(func(f figures) float64 { return f.Fanout[i].CPU }),
			RedisCPU: of(func(f figures) float64 { return f.Fanout[i].RedisCPU }),
			P50:      of(func(f figures) float64 { return f.Fanout[i].P50 }),
			P99:      of(func(f figures) float64 { return f.Fanout[i].P99 }),
		}
		for _, f := range rounds {
			is.Expected += f.Fanout[i].Expected
			is.Received += f.Fanout[i].Received
			is.Void = is.Void || f.Fanout[i].Void
		}
		m.Fanout = append(m.Fanout, is)
	}
	return m
}
