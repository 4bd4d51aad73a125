package rooms_test

import (
	"testing"

	"github.com/roompass/roompass/rooms/redistest"
)

// The user of deploy/redis may do all that rooms need, also in outages: by one Redis, a cluster and Sentinel.
func TestRedisUserIsEnough(t *testing.T) {
	redistest.RunAsUser(t, "../deploy/redis/users.acl",
		"^Test(RedisConforms|RedisClusterConforms|RedisSentinelConforms|AllPodsSeeOneOrder|ResumeOnOtherPods)$")
}
