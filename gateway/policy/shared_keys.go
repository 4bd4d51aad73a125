package policy

import "strconv"

// sharedKeys are the keys of the rules, in the order in which the scripts take them. All share a
// hash tag, so that in a cluster they are on one node. A room of the name "rules" has the same
// tag: neither these names nor the channel's are ones that a room has.
//
//	history   hash: epoch, a random text; version, which counts the changes; chain, a hash over them;
//	          count, of the rules that there are
//	rules     hash: id → rule, as in wire.go
//	versions  sorted set: id → the version with which it changed last
//	ends      sorted set: id → until when it is remembered, in ms
//	chains    list: the chains of the newest versions, the last at the end
//
// All of them run out together, [keptOver] after the last rule does.
type sharedKeys struct {
	keys    []string
	channel string // sharded, in the same slot
}

// newSharedKeys names the keys. database is that of a single Redis: channels know none.
func newSharedKeys(prefix string, database int) sharedKeys {
	tag := prefix + "{rules}"
	channel := tag + ":news"
	if database != 0 {
		channel += ":" + strconv.Itoa(database)
	}
	return sharedKeys{
		keys:    []string{tag + ":history", tag + ":rules", tag + ":versions", tag + ":ends", tag + ":chains"},
		channel: channel,
	}
}
