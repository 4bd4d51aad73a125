package rooms

import "time"

// Config says how rooms are kept. The zero value works.
type Config struct {
	// Linger is how long a member whose socket dropped stays without one.
	// 0: 15 s. Negative: not at all, it is lost at once.
	Linger time.Duration

	// LogLength, LogAge and LogBytes limit what a room keeps of its log for
	// members that come back. 0: 4096 entries, 2 min, 2 MiB of data. Negative:
	// nothing is kept, and everyone who comes back after an entry sees a gap.
	// LogAge is also how long the log of a room outlives its last member. What
	// Prepare made is kept along with an entry, and isn't counted. Redis keeps up
	// to 15 entries more than LogLength and LogAge say.
	LogLength int
	LogAge    time.Duration
	LogBytes  int

	// MaxMembers limits the members of a room, those that linger included.
	// 0 or negative: no limit.
	MaxMembers int

	// RemovedFor is how long a member that was kicked or revoked can't resume.
	// 0: 12 h. Negative: it is forgotten at once.
	RemovedFor time.Duration

	// Prepare, where it is set, is called once for an entry that anybody gets,
	// before its first delivery, and its result is Entry.Prepared. It is called
	// with the room's lock held: it must neither block nor call back into rooms.
	Prepare func(*Entry) any

	// TimeNow is the clock. nil: time.Now.
	TimeNow func() time.Time
}

// withDefaults returns c with its zero fields filled in.
func (c Config) withDefaults() Config {
	if c.Linger == 0 {
		c.Linger = 15 * time.Second
	}
	if c.LogLength == 0 {
		c.LogLength = 4096
	}
	if c.LogAge == 0 {
		c.LogAge = 2 * time.Minute
	}
	if c.LogBytes == 0 {
		c.LogBytes = 2 << 20
	}
	if c.RemovedFor == 0 {
		c.RemovedFor = 12 * time.Hour
	}
	if c.TimeNow == nil {
		c.TimeNow = time.Now
	}
	return c
}
