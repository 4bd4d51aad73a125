package rooms_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/roompass/roompass/rooms"
)

// screen is a follower that prints. A real one puts the entry into its
// connection's queue.
type screen string

func (s screen) Deliver(e *rooms.Entry) {
	switch e.Kind {
	case rooms.KindJoined:
		fmt.Printf("%s sees %s come\n", s, e.Member.ID)
	case rooms.KindSignal:
		fmt.Printf("%s hears %s say %s\n", s, e.From, e.Data)
	case rooms.KindLeft:
		fmt.Printf("%s sees %s go: %s\n", s, e.Member.ID, e.Reason)
	}
}

func (s screen) Detached(err error) { fmt.Printf("%s: %v\n", s, err) }

func Example() {
	ctx := context.Background()
	house := rooms.NewMemory(rooms.Config{})
	defer house.Close()

	ada := rooms.Member{ID: "ada", User: "1", Session: "s1"}
	hers, snapshot, err := house.Join(ctx, "lobby", ada, screen("ada"))
	if err != nil {
		fmt.Println(err)
		return
	}
	bob := rooms.Member{ID: "bob", User: "2", Session: "s2"}
	his, _, err := house.Join(ctx, "lobby", bob, screen("bob"))
	if err != nil {
		fmt.Println(err)
		return
	}

	// Ada's socket drops. Bob sees nothing of it, and talks on.
	_ = hers.Suspend(ctx)
	_ = his.Signal(ctx, "ada", json.RawMessage(`"hello?"`))

	// She comes back and says what she saw last.
	hers, back, err := house.Resume(ctx, "lobby", ada, snapshot.Cursor, screen("ada"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range back.Missed {
		fmt.Println("missed:", e.Kind)
	}
	_ = hers.Signal(ctx, "", json.RawMessage(`"here I am"`))
	_ = hers.Leave(ctx)

	// Output:
	// ada sees bob come
	// missed: joined
	// missed: signal
	// bob hears ada say "here I am"
	// bob sees ada go: left
}
