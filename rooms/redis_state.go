package rooms

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// state is a room as Redis has it.
type state struct {
	epoch    string
	position uint64
	n        uint64
	mark     string
	told     bool     // entries are all after the number that was asked from
	entries  []change // oldest first; the one of that number too, if it is kept
	full     bool     // members are there
	members  []*member
}

// read asks Redis for what it has of the room: see lua/read.lua.
func (r *replica) read(ctx context.Context, epoch string, position uint64, what string, since uint64) (state, error) {
	r.mu.Lock()
	beside, mark := r.position-r.log.last, r.mark
	r.mu.Unlock()
	answer, err := r.store.evalRoom(ctx, readScript, r.keys, epoch, position, what, since, beside, mark)
	if err != nil {
		return state{}, err
	}
	return parseState(answer)
}

func parseState(answer []any) (state, error) {
	if len(answer) != 8 {
		return state{}, errBadMessage
	}
	n, ok1 := answer[1].(int64)
	c, ok2 := answer[2].(int64)
	if !ok1 || !ok2 {
		return state{}, errBadMessage
	}
	st := state{epoch: word(answer, 0), n: uint64(n), position: uint64(n + c), mark: word(answer, 4)}
	entries, told := answer[5].([]any)
	st.told = told
	for _, item := range slices.Backward(entries) {
		e, err := parseLogged(item)
		if err != nil {
			return state{}, err
		}
		e.epoch = st.epoch
		st.entries = append(st.entries, e)
	}
	bodies, full := answer[6].([]any)
	holds, ok := answer[7].([]any)
	if st.full = full && ok; !st.full {
		return st, nil
	}
	claims := make(map[string]string, len(holds)/2)
	for i := 0; i+1 < len(holds); i += 2 {
		claims[word(holds, i)] = word(holds, i+1)
	}
	for i := 0; i+1 < len(bodies); i += 2 {
		m, err := parseBody(word(bodies, i+1))
		if err != nil {
			return state{}, err
		}
		c, joined, err := parseHold(claims[m.ID])
		if err != nil {
			return state{}, err
		}
		st.members = append(st.members, &member{Member: m, joinedN: joined, claim: c})
	}
	slices.SortFunc(st.members, byJoining)
	return st, nil
}

// parseLogged reads an entry as XRANGE answers it: its id is time-number.
func parseLogged(item any) (c change, err error) {
	pair, ok := item.([]any)
	if !ok || len(pair) != 2 {
		return change{}, errBadMessage
	}
	fields, ok := pair[1].([]any)
	if !ok || len(fields) != 2 {
		return change{}, errBadMessage
	}
	ms, n, ok := cutStreamID(word(pair, 0))
	if !ok {
		return change{}, errBadMessage
	}
	c.at, c.n = time.UnixMilli(ms), n
	return c, c.parsePayload(word(fields, 1))
}

func cutStreamID(id string) (ms int64, n uint64, ok bool) {
	left, right, ok := strings.Cut(id, "-")
	ms, err1 := strconv.ParseInt(left, 10, 64)
	n, err2 := strconv.ParseUint(right, 10, 64)
	return ms, n, ok && err1 == nil && err2 == nil
}
