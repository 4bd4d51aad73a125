// Command webhook-go is an app that says who may enter, when roompass asks it:
// copy what you need of it into yours.
//
//	ROOMPASS_WEBHOOK_SECRET=whsec_... go run ./docs/examples/webhook-go -addr 127.0.0.1:8090
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// These stand for your app's database.
var (
	logins     = map[string]string{"anns-login": "ann", "bens-login": "ben"} // credential → user
	rooms      = map[string][]string{"lobby": {"ann", "ben"}, "staff": {"ann"}}
	moderators = map[string]bool{"ann": true}
)

// A question is what roompass sends. What there isn't is left out.
type question struct {
	Type string `json:"type"`
	Data struct {
		Reason     string `json:"reason"`     // connect, join, resume, refresh or token
		Credential string `json:"credential"` // as your page gave it to the client
		User       string `json:"user"`       // your answer to connect; null is anonymous
		Room       string `json:"room"`
	} `json:"data"`
}

// decide answers 401 where the login doesn't hold, 403 where it isn't enough, and
// else who it is and what they may. Both are a no. roompass asks again before each
// of somebody's tokens, so a login that ends here ends there some minutes later.
func decide(q question) (status int, answer any) {
	d := q.Data
	user := logins[d.Credential]
	if d.Reason == "connect" {
		if user == "" {
			return http.StatusUnauthorized, nil
		}
		return http.StatusOK, map[string]any{"user_id": user, "data": map[string]string{"name": user}}
	}
	// Who resumes a session may do so without the credential: roompass knows them. And
	// it is the one that opened the socket: if yours live for minutes, look at them
	// with connect only, and go by the user here.
	if d.Credential == "" {
		user = d.User
	}
	switch {
	case user == "":
		return http.StatusUnauthorized, nil
	case !slices.Contains(rooms[d.Room], user):
		return http.StatusForbidden, nil
	}
	return http.StatusOK, map[string]any{"user_id": user, "kick_users": moderators[user]}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	flag.Parse()
	secret := os.Getenv("ROOMPASS_WEBHOOK_SECRET")
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil || secret == "" {
		log.Fatal("set ROOMPASS_WEBHOOK_SECRET to the secret that roompass signs by: whsec_ and base64")
	}
	http.HandleFunc("POST /roompass", func(w http.ResponseWriter, r *http.Request) {
		// The signature is one of these very bytes: read them before the JSON in them.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var q question
		// It holds for 5 minutes. Not 401, which would be your answer about the person:
		// after 400 roompass lets those go on who are in, and its log says that all is not well.
		if err != nil || verifier.Verify(body, r.Header) != nil || json.Unmarshal(body, &q) != nil || q.Type != "roompass.access" {
			http.Error(w, "not a question of roompass, or signed by another secret", http.StatusBadRequest)
			return
		}
		status, answer := decide(q)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	})
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s/roompass\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
