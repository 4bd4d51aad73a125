package main

import "testing"

func TestMedianIsOfEachFigureAndOneVoidRoundIsEnough(t *testing.T) {
	round := func(rss, p99 float64, void bool) figures {
		return figures{RSS: rss, Fanout: []fanout{{Rate: 1000, P99: p99, Expected: 10, Received: 10, Void: void}}}
	}
	m := median([]figures{round(3, 5, false), round(1, 9, true), round(2, 7, false)})
	is := m.Fanout[0]
	if m.RSS != 2 || is.P99 != 7 || is.Rate != 1000 || is.Expected != 30 || !is.Void {
		t.Errorf("got %+v", m)
	}
}

func TestRowThatMissesIsWorse(t *testing.T) {
	for _, test := range []struct {
		row
		want string
	}{
		{row{Roompass: 5, Other: 10, AtMost: 0.6}, "met"},
		{row{Roompass: 7, Other: 10, AtMost: 0.6}, "worse"},
		{row{Roompass: 5, Other: 10, AtMost: 0.6, Absolute: 4}, "worse"},
		{row{Roompass: 5, Other: 10}, ""},
		{row{Roompass: 5, Other: 0, AtMost: 1}, "worse"},
	} {
		var r report
		r.add(test.row)
		if got := r.Rows[0].Verdict; got != test.want {
			t.Errorf("%+v: %q, want %q", test.row, got, test.want)
		}
	}
	var r report
	r.delivered(true, row{Roompass: 1, Other: 2, AtMost: 1})
	if is := r.Rows[0]; is.Verdict != "void" || is.Ratio != 0 {
		t.Errorf("of a run that lost messages: %+v", is)
	}
}
