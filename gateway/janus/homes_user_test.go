package janus

import (
	"testing"

	"github.com/roompass/roompass/rooms/redistest"
)

// The user of deploy/redis may do all that homes need.
func TestTheRedisUserIsEnough(t *testing.T) {
	redistest.RunAsUser(t, "../../deploy/redis/users.acl", "^Test(ARoomHasOneHome|PodsHearOfRoomsThatMove)$")
}
