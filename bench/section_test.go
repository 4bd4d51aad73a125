package main

import (
	"errors"
	"slices"
	"testing"
)

func TestSectionsAreChosenByName(t *testing.T) {
	for only, want := range map[string][]string{"": {"memory", "deliveries"}, "push,memory": {"memory", "push"}} {
		chosen, err := choose(only, false)
		if err != nil || len(chosen) < len(want) {
			t.Fatalf("%q: %v, %v", only, chosen, err)
		}
		for i, name := range want {
			if chosen[i].name != name {
				t.Errorf("%q: %s, want %s", only, chosen[i].name, name)
			}
		}
		if slices.ContainsFunc(chosen, func(s section) bool { return s.long }) {
			t.Errorf("%q has a section that takes long", only)
		}
	}
	if all, err := choose("", true); err != nil || len(all) != len(sections) {
		t.Errorf("--all: %d, %v", len(all), err)
	}
	if _, err := choose("memory,speed", false); err == nil {
		t.Error("a section that isn't there was chosen")
	}
}

func TestWhoBeginsChangesWithTheRound(t *testing.T) {
	var order []string
	for round := range 2 {
		ours, other, err := sideBySide(round, roompass{}, centrifugal{}, func(s side) (string, error) {
			order = append(order, s.name())
			return s.name(), nil
		})
		if err != nil || ours != "roompass" || other != "centrifuge" {
			t.Error(ours, other, err)
		}
	}
	if !slices.Equal(order, []string{"roompass", "centrifuge", "centrifuge", "roompass"}) {
		t.Error(order)
	}
	_, _, err := sideBySide(0, roompass{}, centrifugal{}, func(s side) (int, error) { return 0, errors.New("broken") })
	if err == nil || err.Error() != "roompass: broken" {
		t.Error(err)
	}
}

func TestNumbersAreAboveZero(t *testing.T) {
	if got, err := numbers("rates", "10,200"); err != nil || !slices.Equal(got, []int{10, 200}) {
		t.Error(got, err)
	}
	for _, text := range []string{"", "0", "1,,2", "1k"} {
		if _, err := numbers("rates", text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
