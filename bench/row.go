package main

import (
	"encoding/json"
	"fmt"
)

// A row is one figure of ours beside that of a peer, or beside a limit.
type row struct {
	Section string  `json:"section"`
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Ours    float64 `json:"roompass"`
	Beside  float64 `json:"beside"`
	Peer    string  `json:"peer"`            // what it is beside; "": nothing
	Ratio   float64 `json:"ratio"`           // 0: there is none
	Asked   bound   `json:"asked,omitzero"`  // of the ratio
	Limit   float64 `json:"limit,omitempty"` // of our own figure, at most; 0: nothing is asked
	Verdict string  `json:"verdict"`         // "", "met", "worse", "void"
	Void    string  `json:"void,omitempty"`  // why the row says nothing
	How     string  `json:"how"`

	Rounds []round `json:"rounds,omitempty"`

	plot string  // which plot it is a point of; "": none
	at   float64 // where, by what the plot goes over
}

// A round is what one round had.
type round struct {
	Ours   float64 `json:"roompass"`
	Beside float64 `json:"beside"`
}

// A bound is what a ratio has to be. The zero bound asks nothing.
type bound struct {
	most, least float64
	is          bool
}

func atMost(ratio float64) bound  { return bound{most: ratio, is: true} }
func atLeast(ratio float64) bound { return bound{least: ratio, is: true} }

func (b bound) String() string {
	switch {
	case !b.is:
		return ""
	case b.least > 0:
		return fmt.Sprintf("≥ %.4g", b.least)
	default:
		return fmt.Sprintf("≤ %.4g", b.most)
	}
}

func (b bound) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// holds compares by products, so that a peer's 0 is compared with too.
func (b bound) holds(ours, beside float64) bool {
	if b.least > 0 {
		return ours >= beside*b.least
	}
	return ours <= beside*b.most
}

// judged is the row with its ratio and verdict.
func (r row) judged() row {
	r.Ratio, r.Verdict = 0, ""
	if r.Void != "" {
		r.Verdict = "void"
		return r
	}
	if r.Beside > 0 {
		r.Ratio = r.Ours / r.Beside
	}
	switch {
	case !r.Asked.is:
	case !r.Asked.holds(r.Ours, r.Beside), r.Limit > 0 && r.Ours > r.Limit:
		r.Verdict = "worse"
	default:
		r.Verdict = "met"
	}
	return r
}
