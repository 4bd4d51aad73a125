package model

import (
	"strings"
	"testing"
)

func TestModelHolds(t *testing.T) {
	for _, start := range []State{Start(3, 4, 0), Start(1, 3, 2)} {
		found := Check(start, Mutant{}.Next, Judge)
		t.Logf("%d states, %d settled", found.States, found.Settled)
		if found.Wrong != "" {
			t.Fatalf("%s:\n%s", found.Wrong, strings.Join(found.Trace, "\n"))
		}
	}
}

func TestMutantsAreFound(t *testing.T) {
	for name, m := range map[string]Mutant{
		"leave without comparing the owner":              {LeaveAnybody: true},
		"reclaim without from":                           {ReclaimWithoutFrom: true},
		"push without the sequence check":                {PushUnchecked: true},
		"a claim's note that names whose the member was": {NoteNamesFormer: true},
		"taken, though the log was lost":                 {TakenThoughLost: true},
	} {
		found := Check(Start(2, 3, 2), m.Next, Judge)
		if found.Wrong == "" {
			t.Errorf("%s: nothing was found in %d states", name, found.States)
		}
		t.Logf("%s: %s:\n%s", name, found.Wrong, strings.Join(found.Trace, "\n"))
	}
}
