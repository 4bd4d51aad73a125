// Package roomstest holds the checks that every implementation of
// [rooms.Rooms] passes. They read as its specification.
//
// They run in real time, so that they fit one that is over a network. Nothing in
// them rests on how fast anything is: what should come is waited for, up to
// [Patience], and what should not is looked for before something that is sure to
// come after it.
package roomstest

import (
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
)

// Patience is how long a check waits for what is sure to come.
const Patience = 20 * time.Second

// Open returns rooms with nobody in them, kept as cfg says. The suite closes them.
type Open func(t *testing.T, cfg rooms.Config) rooms.Rooms

// Run runs the suite. open is called at least once in each of its subtests.
func Run(t *testing.T, open func(t *testing.T, cfg rooms.Config) rooms.Rooms) {
	for _, check := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"order/everybody sees the same", sameOrder},
		{"order/each entry comes exactly once", exactlyOnce},
		{"order/exactly once over many sockets", exactlyOnceOverSockets},
		{"order/rooms are apart", roomsAreApart},
		{"order/an entry is prepared once", preparedOnce},

		{"members/a snapshot is in join order", snapshotInJoinOrder},
		{"members/an update shows in the snapshot", updateShows},
		{"members/an id is there once", idIsUnique},
		{"members/a room is full at its limit", fullAtLimit},
		{"members/a thousand come and go", thousandComeAndGo},
		{"members/the list has the rooms with somebody in them", listOfRooms},
		{"members/data is copied", dataIsCopied},

		{"members/whom a pod holds", held},

		{"rights/stay with the member", rightsStay},
		{"rights/nobody is told", rightsUnseen},
		{"rights/of a member that lingers", rightsOfLingering},

		{"signals/to everybody else", signalToAll},
		{"signals/to one is unseen by the others", signalToOne},
		{"signals/to one is unseen in replay", signalToOneInReplay},
		{"signals/to nobody", signalToNobody},
		{"signals/from outside", announcements},

		{"replay/from a cursor", replayFromCursor},
		{"replay/without what one caused oneself", replayWithoutOwn},
		{"replay/then deliveries go on", replayThenDeliveries},
		{"replay/a cursor that can't be told from is a gap", gaps},
		{"replay/a log that was cut is a gap", gapOfCutLog},
		{"replay/a cursor of an earlier epoch is a gap", gapOfEarlierEpoch},
		{"replay/what came before the membership is a gap", gapBeforeJoining},
		{"replay/a rejoin goes on in the epoch", rejoinKeepsEpoch},

		{"takeover/the old follower is detached once", takeoverDetaches},
		{"takeover/a stale membership can do nothing", staleMembership},
		{"takeover/racing ones end with one owner", racingTakeovers},
		{"takeover/not by another session", wrongOwner},

		{"leaving/for every reason", everyReason},
		{"leaving/lingering then lost exactly once", lostOnce},
		{"leaving/a resumption is unseen", resumptionUnseen},
		{"leaving/a resumed member isn't lost", resumedIsNotLost},
		{"leaving/without lingering", lostAtOnce},
		{"leaving/the removed can't resume", removedCantResume},
		{"leaving/the removed may join", removedMayJoin},
		{"leaving/to be removed as lost is no bar", lossIsNoBar},
		{"leaving/an ended membership can do nothing", endedMembership},

		{"calls/with a done context change nothing", doneContext},
		{"calls/after Close fail", afterClose},
		{"calls/a room that isn't there", noRoom},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, open) })
	}
}
