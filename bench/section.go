package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A section is rows that are measured together, and without the others.
type section struct {
	name    string
	long    bool // only where it is asked for
	once    bool // whatever the rounds: no side of it takes turns with another
	measure func(ctx context.Context, o options, round int) ([]row, error)
}

// rows measures a section in each round.
func (s section) rows(ctx context.Context, o options) ([]row, error) {
	rounds := o.rounds
	if s.once {
		rounds = 1
	}
	var all [][]row
	for round := range rounds {
		rows, err := s.measure(ctx, o, round)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].Section = s.name
		}
		all = append(all, rows)
	}
	return merge(all)
}

// In the order in which they are measured and shown.
var sections = []section{
	{"memory", false, false, measureMemory},
	{"deliveries", false, false, measureDeliveries},
	{"joins", false, false, measureJoins},
	{"pods", false, false, measurePods},
	{"signing", false, false, measureSigning},
	{"fanout", false, false, measureFanOut},
	{"push", false, true, measurePush},
	{"resume", false, false, measureResume},
	{"growth", true, true, measureGrowth},
}

func sectionNames() string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return strings.Join(names, ",")
}

// choose picks the sections that only names; with "" all that aren't long, or all.
func choose(only string, all bool) ([]section, error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return s.long && !all }), nil
	}
	names := strings.Split(only, ",")
	for _, name := range names {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return nil, fmt.Errorf("--only: there is no %q; there are %s", name, sectionNames())
		}
	}
	return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return !slices.Contains(names, s.name) }), nil
}

// peer is what stands beside most rows.
const peer = "centrifuge"

// sideBySide measures both sides. Who begins changes from round to round: what else
// the machine does falls on both.
func sideBySide[T any](round int, ours, other side, measure func(side) (T, error)) (is, than T, err error) {
	err = inTurns(round, func() (err error) {
		is, err = measure(ours)
		return named(ours, err)
	}, func() (err error) {
		than, err = measure(other)
		return named(other, err)
	})
	return is, than, err
}

// inTurns does both, the second first in every other round.
func inTurns(round int, first, second func() error) error {
	if round%2 == 1 {
		first, second = second, first
	}
	if err := first(); err != nil {
		return err
	}
	return second()
}

func named(s side, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", s.name(), err)
	}
	return nil
}
