package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/roompass/roompass/gateway"
	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// A gateway with its rooms in memory, and one client that enters and joins.
func Example() {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := tokens.GenerateRSA(2048)
	check(err)
	keys, err := tokens.NewKeyRing(tokens.KeyOptions{}, key)
	check(err)
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: keys})
	check(err)
	store := rooms.NewMemory(rooms.Config{Prepare: gateway.Prepare})
	defer store.Close()
	server, err := gateway.New(gateway.Config{
		Keys: keys, Issuer: issuer, Rooms: store, Access: access.Open{},
		TokenTTL: 5 * time.Minute, TokenRefresh: 4 * time.Minute,
	})
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	operator := server.Operator(http.NotFoundHandler())
	for ready := false; !ready; time.Sleep(time.Millisecond) {
		answer := httptest.NewRecorder()
		operator.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		ready = answer.Code == http.StatusOK
	}
	front := httptest.NewServer(server.Public())

	socket, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(front.URL, "http")+"/ws",
		&websocket.DialOptions{Subprotocols: []string{"roompass.v1"}})
	check(err)
	for _, request := range []map[string]any{
		{"type": "auth", "id": 1, "credential": "ann"},
		{"type": "join", "id": 2, "room": "lobby"},
	} {
		check(wsjson.Write(ctx, socket, request))
		var reply struct {
			Type  string
			Token struct{ Token string }
		}
		check(wsjson.Read(ctx, socket, &reply))
		fmt.Println(reply.Type)
		if reply.Token.Token != "" {
			claims, err := keys.Verify(reply.Token.Token, time.Now())
			check(err)
			fmt.Println(claims.User, claims.Rooms)
		}
	}
	check(socket.Close(websocket.StatusNormalClosure, ""))

	server.Drain(ctx, time.Second)
	front.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// welcome
	// joined
	// ann [lobby]
	// <nil>
}
