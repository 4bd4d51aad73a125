package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"
)

// A Kind is what a rule is about.
type Kind string

// The kinds of rules.
const (
	Revoked   Kind = "revoked"    // with Value true somebody may not be there; with false that was lifted
	KickUsers Kind = "kick_users" // that right is Value, whatever access says
	JoinHub   Kind = "join_hub"   // that right is Value, whatever access says
	Drained   Kind = "drained"    // with Value true a pod gives its clients away; with false it takes some again

	// DrainedServer is Drained about a media server, whose rooms move to others.
	DrainedServer Kind = "drained_server"
)

// A Rule is one decision about one person, one pod or one media server. Two with the same Kind, User,
// Member, Room and Target are one rule, of which the later Set counts.
type Rule struct {
	Kind   Kind
	User   string // whom, by the app's id
	Member string // or, where the person is anonymous, the one member; then with a Room
	Room   string // "": everywhere, which only revocations can be
	Target string // with Drained, and alone: which process, by a name that no other ever has; with DrainedServer: which server
	Value  bool
	Set    time.Time // when it was decided; to the millisecond
	Until  time.Time // up to when it counts; to the millisecond
}

const (
	// longestText is how many bytes User, Member, Room and Target have at most.
	longestText = 1 << 10
	// longest is how far away Until may be: a year, and a day for whoever counts it otherwise.
	longest = 367 * 24 * time.Hour
	// lastMilli is the end of the year 9999: what is later isn't a time.
	lastMilli = 253402300799999
)

// A key is what makes two rules the same.
type key struct {
	kind                       Kind
	user, member, room, target string
}

func (r Rule) key() key { return key{r.Kind, r.User, r.Member, r.Room, r.Target} }

// ID is the rule's name: it says nothing of whom it is about, and fits in a URL.
func (r Rule) ID() string {
	h := sha256.New()
	for _, text := range []string{string(r.Kind), r.User, r.Member, r.Room, r.Target} {
		fmt.Fprintf(h, "%d:%s", len(text), text) // unambiguous, whatever is in them
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15])
}

// Concerns says whether the rule is about somebody in a room. The room "" is no room, but
// the socket itself: only what counts everywhere is about that.
func (r Rule) Concerns(user, member, room string) bool {
	if r.Kind.drains() || r.User != user || user == "" && (member == "" || r.Member != member) {
		return false
	}
	return r.Room == "" || r.Room == room
}

// A Verdict is what the rules in force make of somebody.
type Verdict struct {
	Revoked bool
	Until   time.Time // until when, where Revoked
	// Rights that are as decided; nil: as access says.
	KickUsers, JoinHub *bool
	RightsUntil        time.Time // when the first of them ends, where there is one
}

// milli is a time as rules have it.
func milli(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()) }

// checked returns rules as they are kept, or ErrBadRule.
func checked(rules []Rule, now time.Time) ([]Rule, error) {
	all := make([]Rule, len(rules))
	for i, r := range rules {
		r.Until = milli(r.Until)
		if !r.Set.IsZero() {
			r.Set = milli(r.Set)
		}
		why := r.flaw()
		switch {
		case why != "":
		case !r.Until.After(now):
			why = "it is over already"
		case r.Until.Sub(now) > longest:
			why = "it lasts for longer than a year"
		case !r.Set.IsZero() && !isMilli(r.Set.UnixMilli()):
			why = "it was set at no time"
		}
		if why != "" {
			return nil, fmt.Errorf("%w: %s", ErrBadRule, why)
		}
		all[i] = r
	}
	return all, nil
}

// flaw says what is wrong with the rule, its times aside.
func (r Rule) flaw() string {
	for _, text := range []string{r.User, r.Member, r.Room, r.Target} {
		if len(text) > longestText {
			return "a text is longer than 1 KiB"
		}
		if !utf8.ValidString(text) {
			return "a text isn't UTF-8"
		}
	}
	switch {
	case r.Kind != Revoked && r.Kind != KickUsers && r.Kind != JoinHub && !r.Kind.drains():
		return "there is no such kind"
	case r.Kind.drains() && (r.Target == "" || r.User+r.Member+r.Room != ""):
		return "it is about a pod or a server, and nothing else"
	case r.Kind.drains():
		return ""
	case r.Target != "":
		return "only draining is about a pod or a server"
	case r.User == "" && r.Member == "":
		return "it is about nobody: give it a user, or a member"
	case r.User != "" && r.Member != "":
		return "it is about a user or about one member, not both"
	case r.Member != "" && r.Room == "":
		return "a member is one of a room"
	case r.Room == "" && r.Kind != Revoked:
		return "a right is one in a room"
	}
	return ""
}

// drains says whether a rule of the kind is about what clients are connected to.
func (k Kind) drains() bool { return k == Drained || k == DrainedServer }

func isMilli(ms int64) bool { return 0 < ms && ms <= lastMilli }
