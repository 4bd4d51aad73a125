package policy_test

import (
	"context"
	"fmt"
	"time"

	"github.com/roompass/roompass/gateway/policy"
)

func Example() {
	rules := policy.NewLocal(nil)
	told := make(chan struct{})
	rules.Follow(func(batch []policy.Rule) {
		for _, r := range batch {
			fmt.Println("decided:", r.Kind, r.User, r.Value)
		}
		close(told)
	})
	_, err := rules.Set(context.Background(), policy.Rule{
		Kind: policy.Revoked, User: "eve", Value: true, Until: time.Now().Add(12 * time.Hour),
	})
	if err != nil {
		fmt.Println(err)
	}
	<-told
	_ = rules.Close()
	fmt.Println("eve may come in:", !rules.On("eve", "", "lobby").Revoked)
	fmt.Println("bob may come in:", !rules.On("bob", "", "lobby").Revoked)
	// Output:
	// decided: revoked eve true
	// eve may come in: false
	// bob may come in: true
}
