package rooms

import (
	"net/url"
	"strconv"
	"strings"
)

// roomKeys are the keys of a room, in the order in which the scripts take them.
// All share a hash tag, so that in a cluster they are on one node.
//
//	head     hash: epoch, n, c, at, bytes; see lua/room.lua
//	members  hash: member id → body
//	holds    hash: member id → whose it is
//	log      stream: the newest entries
//	removed  sorted set: who was put out, by when it may resume again
type roomKeys struct {
	keys    []string
	channel string // sharded, in the same slot
}

// newRoomKeys names a room's keys. database is that of a single Redis: channels know none.
func newRoomKeys(prefix, room string, database int) roomKeys {
	// Escaped, a name has no brace that would end the tag sooner.
	tag := prefix + "{" + url.PathEscape(room) + "}"
	channel := tag
	if database != 0 {
		channel += ":" + strconv.Itoa(database)
	}
	return roomKeys{
		keys:    []string{tag + ":head", tag + ":members", tag + ":holds", tag + ":log", tag + ":removed"},
		channel: channel,
	}
}

func (k roomKeys) holds() string { return k.keys[2] }

// The keys beside the rooms'.
//
//	{pods}:leases  sorted set: pod → until when its lease is good, in ms of Redis's clock
//	{pods}:dead    sorted set: pod → since when it is being reaped
//	{pods}:about   hash: pod → when it was heard, since when it lives, and what it reports
//	pod:…:rooms    set: the rooms in which a pod has, or had, members
type podKeys struct{ leases, dead, about, prefix string }

func newPodKeys(prefix string) podKeys {
	return podKeys{prefix + "{pods}:leases", prefix + "{pods}:dead", prefix + "{pods}:about", prefix}
}

func (k podKeys) rooms(pod string) string { return k.prefix + "pod:" + pod + ":rooms" }

// token makes one word of any text, also of none, for what the scripts split at spaces.
func token(text string) string { return "=" + url.PathEscape(text) }

// untoken undoes token.
func untoken(word string) string {
	text, err := url.PathUnescape(strings.TrimPrefix(word, "="))
	if err != nil {
		return word // not one of ours
	}
	return text
}
