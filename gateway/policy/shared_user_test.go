package policy_test

import (
	"testing"

	"github.com/roompass/roompass/rooms/redistest"
)

// The user of deploy/redis may do all that the rules need: all that is tested with a Redis is, as that user.
func TestTheRedisUserIsEnough(t *testing.T) {
	redistest.RunAsUser(t, "../../deploy/redis/users.acl",
		"^Test(AllPodsHear|ALost|ASubscription|RulesO|ADecision|ACaller|AfterAn|ALate|ANewPod|AThousand|Databases|WhatIsOver|WhatWasReplacedIsNot|WhatCannot)")
}
