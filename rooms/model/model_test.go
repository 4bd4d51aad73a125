package model

import (
	"strings"
	"testing"
)

func TestModelHolds(t *testing.T) {
	found := Check(Start(3, 4), Mutant{}.Next, Judge)
	t.Logf("%d states, %d settled", found.States, found.Settled)
	if found.Wrong != "" {
		t.Fatalf("%s:\n%s", found.Wrong, strings.Join(found.Trace, "\n"))
	}
}

func TestMutantsAreFound(t *testing.T) {
	for name, m := range map[string]Mutant{
		"leave without comparing the owner": {LeaveAnybody: true},
		"reclaim without from":              {ReclaimWithoutFrom: true},
		"push without the sequence check":   {PushUnchecked: true},
	} {
		found := Check(Start(2, 3), m.Next, Judge)
		if found.Wrong == "" {
			t.Errorf("%s: nothing was found in %d states", name, found.States)
		}
		t.Logf("%s: %s:\n%s", name, found.Wrong, strings.Join(found.Trace, "\n"))
	}
}
