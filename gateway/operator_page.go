package gateway

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultPage = 100  // elements of a page where the request doesn't say
	largestPage = 1000 // and the most that it may say
)

// A page is the part of a list that a request wants.
type page struct {
	limit int
	after string // the place of the last element before it; "": from the start
}

// readPage reads limit and after. kind tells the places of one list from those
// of others; the rest of the query is returned too.
func readPage(r *http.Request, kind string) (page, url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page{}, nil, badRequest("the query can't be read: percent-encode what is in it")
	}
	p := page{limit: defaultPage}
	if query.Has("limit") {
		if p.limit, err = strconv.Atoi(query.Get("limit")); err != nil || p.limit < 1 || p.limit > largestPage {
			return page{}, nil, badRequest("limit is a number from 1 to " + strconv.Itoa(largestPage))
		}
	}
	if query.Has("after") {
		text, err := base64.RawURLEncoding.Strict().DecodeString(query.Get("after"))
		place, ok := strings.CutPrefix(string(text), kind)
		if err != nil || !ok || place == "" {
			return page{}, nil, badRequest("after is the next of an earlier answer about the same list, exactly as it was")
		}
		p.after = place
	}
	return p, query, nil
}

// asPlace makes the opaque text that readPage reads.
func asPlace(kind, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + place))
}

// cut takes the page off a sorted list. follows says whether an element is after
// the page's start; placeOf gives the place of the last one, where more follow.
func cut[T any](p page, sorted []T, follows func(T) bool, placeOf func(T) string) (part []T, next string) {
	start := 0
	if p.after != "" {
		for start < len(sorted) && !follows(sorted[start]) {
			start++
		}
	}
	part = sorted[start:]
	if len(part) > p.limit {
		part = part[:p.limit]
		next = placeOf(part[len(part)-1])
	}
	return part, next
}
