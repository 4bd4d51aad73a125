package main

import (
	"fmt"
	"strconv"
	"strings"
)

// numbers reads a flag's numbers, which commas part.
func numbers(name, text string) (all []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("--%s: %q isn't a number above zero", name, part)
		}
		all = append(all, n)
	}
	return all, nil
}
