package rooms

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A change is one step of a room, as it is published and as scripts answer it.
// What is in it is words between spaces, and at the end what may have spaces:
//
//	epoch position n at J owner seq pod body     joined
//	                    U owner seq body         updated
//	                    G owner seq body         its rights are others: a step of the cursor, and no entry for who follows
//	                    L reason id user         left; given-up: lost, since it was waited for in vain
//	                    S owner seq fork k from to data
//	                    A owner seq - fork k     what that was told first as number k of a fork
//	                    W fork k                 the fork's entries up to number k are in the log, all before this
//	                    T owner pod was id       somebody else's now, beside the log
//	                    R                        a new log began, beside it
//
// A body is: id user session joined rights data. Ids, users, sessions and rights are
// tokens; times are Unix milliseconds.
type change struct {
	epoch    string
	position uint64 // of all messages
	n        uint64 // of the entries among them: of this one, or of the last before it
	at       time.Time

	kind    byte
	owner   string // J, U, G, S, A: who did it; T: whose it is now
	seq     uint64 // J, U, G, S, A: the how manieth thing that this owner did
	member  Member // J, U, G: who; L, T: its ID; L: its User
	reason  Reason
	givenUp bool   // L: lost, as whoever waited for it sees it
	fork    string // S, A: the fork that it was first told in; empty: none. W: the fork
	forkN   uint64
	from    string
	to      string
	data    json.RawMessage
	pod     string // J, T: where the owner is
	was     string // T: the owner that may turn out to live, where its pod was reaped; else "-"
	size    int    // bytes of the payload
}

// givenUp is the reason of those who didn't come back in time, or whose pod is dead: whoever says so may
// not have heard that they did.
const givenUp = "given-up"

var errBadMessage = errors.New("not a message of roompass: is another program using the keys?")

// isEntry reports whether the change is in the log.
func (c *change) isEntry() bool { return c.kind != 'T' && c.kind != 'R' }

// words cuts n words off text. ok is false where there are fewer.
func words(text string, n int) (cut []string, rest string, ok bool) {
	cut = make([]string, n)
	for i := range cut {
		if cut[i], text, ok = strings.Cut(text, " "); !ok && (i < n-1 || cut[i] == "") {
			return nil, "", false
		}
	}
	return cut, text, true
}

// parseMessage reads what was published.
func parseMessage(text string) (change, error) {
	head, payload, ok := words(text, 4)
	if !ok {
		return change{}, errBadMessage
	}
	c, err := parseHead(head)
	if err != nil {
		return change{}, err
	}
	return c, c.parsePayload(payload)
}

// parseAnswer reads what a script says of what it published.
func parseAnswer(where, payload string) (change, error) { return parseMessage(where + " " + payload) }

func parseHead(head []string) (c change, err error) {
	c.epoch = head[0]
	position, err1 := strconv.ParseUint(head[1], 10, 64)
	n, err2 := strconv.ParseUint(head[2], 10, 64)
	at, err3 := strconv.ParseInt(head[3], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return change{}, errBadMessage
	}
	c.position, c.n, c.at = position, n, time.UnixMilli(at)
	return c, nil
}

// parsePayload reads what the log keeps.
func (c *change) parsePayload(text string) error {
	if text == "" {
		return errBadMessage
	}
	c.kind, c.size = text[0], len(text)
	_, rest, _ := strings.Cut(text, " ")
	switch c.kind {
	case 'R':
		return nil
	case 'L':
		w, _, ok := words(rest, 3)
		if !ok {
			return errBadMessage
		}
		c.reason, c.member = Reason(w[0]), Member{ID: untoken(w[1]), User: untoken(w[2])}
		if c.givenUp = w[0] == givenUp; c.givenUp {
			c.reason = ReasonLost
		}
		return nil
	case 'T':
		w, id, ok := words(rest, 3)
		if !ok {
			return errBadMessage
		}
		c.owner, c.pod, c.was, c.member = w[0], w[1], w[2], Member{ID: id}
		return nil
	}
	w, rest, ok := words(rest, 2)
	if !ok {
		return errBadMessage
	}
	if c.kind == 'W' {
		var err error
		c.fork = w[0]
		c.forkN, err = strconv.ParseUint(w[1], 10, 64)
		return err
	}
	seq, err := strconv.ParseUint(w[1], 10, 64)
	if err != nil {
		return errBadMessage
	}
	c.owner, c.seq = w[0], seq
	switch c.kind {
	case 'J':
		if c.pod, rest, ok = strings.Cut(rest, " "); !ok {
			return errBadMessage
		}
		c.member, err = parseBody(rest)
		return err
	case 'U', 'G':
		c.member, err = parseBody(rest)
		return err
	case 'A':
		w, _, ok := words(rest, 3)
		if !ok {
			return errBadMessage
		}
		c.fork = w[1]
		c.forkN, err = strconv.ParseUint(w[2], 10, 64)
		return err
	case 'S':
		w, data, ok := words(rest, 4)
		if !ok {
			return errBadMessage
		}
		if w[0] != "-" {
			c.fork = w[0]
		}
		if c.forkN, err = strconv.ParseUint(w[1], 10, 64); err != nil {
			return errBadMessage
		}
		c.from, c.to, c.data = untoken(w[2]), untoken(w[3]), asData(data)
		return nil
	}
	return errBadMessage
}

func asData(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func body(m Member) string {
	return token(m.ID) + " " + token(m.User) + " " + token(m.Session) + " " +
		strconv.FormatInt(m.JoinedAt.UnixMilli(), 10) + " " + token(m.Rights) + " " + string(m.Data)
}

func parseBody(text string) (Member, error) {
	w, data, ok := words(text, 5)
	if !ok {
		return Member{}, errBadMessage
	}
	joined, err := strconv.ParseInt(w[3], 10, 64)
	if err != nil {
		return Member{}, errBadMessage
	}
	return Member{
		ID: untoken(w[0]), User: untoken(w[1]), Session: untoken(w[2]),
		JoinedAt: time.UnixMilli(joined), Rights: untoken(w[4]), Data: asData(data),
	}, nil
}

// changePayload is an update of a member, kind U, or of its rights alone, kind G.
func changePayload(kind byte, owner string, seq uint64, m Member) string {
	return fmt.Sprintf("%c %s %d %s", kind, owner, seq, body(m))
}

// signalPayload is a signal; fork is the one that it was first told in, or "-".
func signalPayload(owner string, seq uint64, fork string, forkN uint64, from, to string, data []byte) string {
	var b strings.Builder
	b.Grow(len(data) + 128)
	fmt.Fprintf(&b, "S %s %d %s %d %s %s ", owner, seq, fork, forkN, token(from), token(to))
	b.Write(data)
	return b.String()
}

// entry is the change as followers get it. Of those that they don't get its Kind is none.
func (c *change) entry(room string) Entry {
	e := Entry{Room: room, Cursor: Cursor{Epoch: c.epoch, N: c.n}, At: c.at}
	switch c.kind {
	case 'J':
		e.Kind, e.Member = KindJoined, c.member
	case 'U':
		e.Kind, e.Member = KindUpdated, c.member
	case 'L':
		e.Kind, e.Member, e.Reason = KindLeft, c.member, c.reason
	case 'S':
		e.Kind, e.From, e.To, e.Data = KindSignal, c.from, c.to, c.data
	}
	return e
}

func (c *change) origin() origin {
	return origin{owner: c.owner, seq: c.seq, fork: c.fork, forkN: c.forkN, whole: c.kind == 'W'}
}

// A claim is whose a member is, as the cluster knows it.
type claim struct {
	owner string // of one membership, and never another's
	seq   uint64 // of the last thing that this owner did
	pod   string // where the owner is
	was   string // the owner before, where a pod that reaped adopted the member; else "-"
}

// parseHold reads a claim, and the number of the member's joining.
func parseHold(text string) (claim, uint64, error) {
	w, _, ok := words(text, 5)
	if !ok {
		return claim{}, 0, errBadMessage
	}
	seq, err1 := strconv.ParseUint(w[1], 10, 64)
	joined, err2 := strconv.ParseUint(w[2], 10, 64)
	if errors.Join(err1, err2) != nil {
		return claim{}, 0, errBadMessage
	}
	return claim{owner: w[0], seq: seq, pod: w[3], was: w[4]}, joined, nil
}

func (c claim) hold() string {
	return fmt.Sprintf("%s %d 0 %s %s", c.owner, c.seq, c.pod, c.was)
}

// aliasPayload says that what an owner did is number k of a fork.
func aliasPayload(owner string, seq uint64, fork string, k uint64) string {
	return fmt.Sprintf("A %s %d - %s %d", owner, seq, fork, k)
}

// wholePayload says that all entries of a fork up to number k are in the log.
func wholePayload(fork string, k uint64) string { return fmt.Sprintf("W %s %d", fork, k) }
