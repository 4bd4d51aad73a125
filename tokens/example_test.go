package tokens_test

import (
	"context"
	"fmt"
	"time"

	"github.com/roompass/roompass/tokens"
)

// A token for one person in one room, signed and verified.
func ExampleIssuer() {
	private, err := tokens.GenerateRSA(2048)
	if err != nil {
		panic(err)
	}
	ring, err := tokens.NewKeyRing(tokens.KeyOptions{}, private)
	if err != nil {
		panic(err)
	}
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: ring, TTL: 5 * time.Minute})
	if err != nil {
		panic(err)
	}
	token, err := issuer.Mint(tokens.Grant{User: "ann", Room: "lobby", JoinHub: true})
	if err != nil {
		panic(err)
	}
	claims, err := ring.Verify(token.JWT, time.Now())
	if err != nil {
		panic(err)
	}
	fmt.Println(claims.User, "may join", claims.Rooms, "by", claims.Algorithm)
	// Output: ann may join [lobby] by RS512
}

// Two people with one grant each, who are pushed their tokens while Run runs.
func ExampleSchedule() {
	private, err := tokens.GenerateRSA(2048)
	if err != nil {
		panic(err)
	}
	ring, err := tokens.NewKeyRing(tokens.KeyOptions{}, private)
	if err != nil {
		panic(err)
	}
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: ring, TTL: 2 * time.Second})
	if err != nil {
		panic(err)
	}
	schedule, err := tokens.NewSchedule(tokens.ScheduleConfig{Minter: issuer, TTL: 2 * time.Second, Refresh: time.Second})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- schedule.Run(ctx) }()

	next := make(chan tokens.Token, 1)
	member, first, err := schedule.Add(ctx, tokens.Grant{User: "ann", Room: "lobby"}, func(t tokens.Token) { next <- t })
	if err != nil {
		panic(err)
	}
	member.Delivered(first) // her socket answered the ping behind it
	second := <-next
	fmt.Println(second.ExpiresAt.After(first.ExpiresAt))
	member.Remove()
	stop()
	fmt.Println(<-ended)
	// Output:
	// true
	// <nil>
}
