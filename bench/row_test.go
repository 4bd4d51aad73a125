package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRowThatMissesWhatIsAskedIsWorse(t *testing.T) {
	for _, test := range []struct {
		row
		want string
	}{
		{row{Ours: 5, Beside: 10, Asked: atMost(0.6)}, "met"},
		{row{Ours: 7, Beside: 10, Asked: atMost(0.6)}, "worse"},
		{row{Ours: 5, Beside: 10, Asked: atMost(0.6), Limit: 4}, "worse"},
		{row{Ours: 5, Beside: 10}, ""},
		{row{Ours: 5, Beside: 0, Asked: atMost(1)}, "worse"},
		{row{Ours: 96, Beside: 100, Asked: atLeast(0.95)}, "met"},
		{row{Ours: 94, Beside: 100, Asked: atLeast(0.95)}, "worse"},
		{row{Ours: 0, Beside: 100, Asked: atMost(0)}, "met"},
		{row{Ours: 1, Beside: 100, Asked: atMost(0)}, "worse"},
		{row{Ours: 5, Beside: 10, Asked: atMost(0.6), Void: "messages were lost"}, "void"},
	} {
		if got := test.judged(); got.Verdict != test.want || got.Verdict == "void" && got.Ratio != 0 {
			t.Errorf("%+v: %q, want %q", test.row, got.Verdict, test.want)
		}
	}
}

func TestRowSaysInJSONWhatIsAsked(t *testing.T) {
	for want, is := range map[string]row{`"asked":"≤ 0.6"`: {Asked: atMost(0.6)}, `"asked":"≤ 0"`: {Asked: atMost(0)}, `"asked":"≥ 0.95"`: {Asked: atLeast(0.95)}} {
		if text, err := json.Marshal(is); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v: %s", err, text)
		}
	}
	if text, _ := json.Marshal(row{}); strings.Contains(string(text), "asked") {
		t.Errorf("nothing is asked: %s", text)
	}
}

func TestRowsOfAllRoundsAreMergedByMedians(t *testing.T) {
	one := func(ours, beside float64, void string) []row {
		return []row{{What: "memory", Ours: ours, Beside: beside, Asked: atMost(1), Void: void}}
	}
	rows, err := merge([][]row{one(3, 5, ""), one(1, 9, ""), one(2, 4, "")})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if is := rows[0]; is.Ours != 2 || is.Beside != 5 || is.Ratio != 0.4 || is.Verdict != "met" || len(is.Rounds) != 3 {
		t.Errorf("%+v", is)
	}
	rows, _ = merge([][]row{one(3, 5, ""), one(1, 9, "lost")})
	if is := rows[0]; is.Verdict != "void" || is.Void != "lost" {
		t.Errorf("one void round is enough: %+v", is)
	}
	if _, err := merge([][]row{one(1, 1, ""), {}}); err == nil {
		t.Error("rounds with other rows were merged")
	}
}

func TestMedianOfTwoIsTheLower(t *testing.T) {
	if got := median([]float64{9, 4}); got != 4 {
		t.Error(got)
	}
	if got := median([]float64{9, 4, 5}); got != 5 {
		t.Error(got)
	}
}
