package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// readBody reads an operator's request by [decodeBody].
func (s *Server) readBody(r *http.Request, shape string, names ...string) (map[string]json.RawMessage, error) {
	most := s.limits.MessageBytes
	text, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, badRequest("the body ended too soon")
	case len(text) > most:
		return nil, &requestError{codeTooLarge, "the body is longer than " + strconv.Itoa(most) + " bytes"}
	}
	return decodeBody(text, shape, names...)
}

// decodeBody reads one JSON object with some of the fields named, and a shape that
// the error repeats. It is as strict as [decodeRequest], and takes no field that it
// doesn't know: a slip there could do to everybody what was meant for one. The
// error is a *requestError.
func decodeBody(text []byte, shape string, names ...string) (map[string]json.RawMessage, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, badRequest(shape)
	}
	if _, err := objectFields(nil, text, names...); err != nil {
		return nil, badRequest(shape + ": " + err.Error())
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, badRequest(shape)
	}
	for name := range all {
		if !slices.Contains(names, name) {
			return nil, badRequest(fmt.Sprintf("%s: %.40q is not a field of it", shape, name))
		}
	}
	return all, nil
}

// longestFor is the longest that a decision counts: a year, and a day for leap years.
const longestFor = 366 * 24 * time.Hour

// readFor reads how long a decision counts: milliseconds, or text as in "12h" or
// "1h30m".
func readFor(raw json.RawMessage) (time.Duration, error) {
	const form = `for is how long, in milliseconds or as in "12h", and 366 days at most`
	var d time.Duration
	var text string
	if readString(raw, &text) {
		parsed, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return 0, badRequest(form)
		}
		d = parsed
	} else {
		ms, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || ms > longestFor.Milliseconds() {
			return 0, badRequest(form)
		}
		d = time.Duration(ms) * time.Millisecond
	}
	if d < time.Millisecond || d > longestFor {
		return 0, badRequest(form)
	}
	return d, nil
}

// readBool reads true or false.
func readBool(raw json.RawMessage) (value, ok bool) {
	return string(raw) == "true", string(raw) == "true" || string(raw) == "false"
}
