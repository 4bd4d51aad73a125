package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/roompass/roompass/gateway"
)

// adminKeys reads --admin-key. With --dev, and none given, it makes one, which is
// returned as made too; else made is empty.
func (c *ServeCmd) adminKeys() (keys []gateway.AdminKey, made string, err error) {
	given := c.AdminKey
	if len(given) == 0 && c.Dev {
		made = rand.Text()
		given = []string{made}
	}
	for _, value := range given {
		text, err := readAdminKey(value)
		if err != nil {
			return nil, "", err
		}
		key, err := gateway.ParseAdminKey(text)
		if err != nil {
			return nil, "", err
		}
		keys = append(keys, key)
	}
	return keys, made, nil
}

// readAdminKey reads the file of @FILE, read:@FILE and write:@FILE. A file of the
// first form may have the scope in it.
func readAdminKey(value string) (string, error) {
	for _, scope := range []string{"read:", "write:"} {
		if rest, ok := strings.CutPrefix(value, scope); ok {
			key, err := readAtFile("admin-key", rest)
			return scope + key, err
		}
	}
	return readAtFile("admin-key", value)
}

// greetOperator says where the operator's console is and how to ask the API, where the key was made here.
func greetOperator(out io.Writer, operator net.Addr, key string) {
	if key != "" {
		fmt.Fprintf(out, "  look  http://%[2]s/console   with the key %[1]s\n"+
			"  ask   curl -H 'Authorization: Bearer %[1]s' http://%[2]s/v1/rooms\n\n", key, operator)
	}
}
