package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Where this is the path of deploy/redis/users.acl, URLs are those of its user roompass, on servers
// and proxies that start meanwhile. A test fails in which the user was refused anything.
const usersFile = "ROOMPASS_TEST_REDIS_USERS"

// The user of the gateway, and its password on servers that tests start.
const (
	User     = "roompass"
	Password = "gateway"
)

// RunAsUser runs this package's tests that match a pattern once more, in a process of their own, as the
// user of the gateway. file is the path of deploy/redis/users.acl.
func RunAsUser(t *testing.T, file, pattern string) {
	t.Helper()
	if _, err := os.ReadFile(file); err != nil { // here too, so that go test knows by what the result is kept
		t.Fatal(err)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", pattern, "-test.v")
	cmd.Env = append(os.Environ(), usersFile+"="+path)
	text, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "--- PASS") {
		t.Errorf("%v\n%s", err, text)
	}
}

// userInfo is what stands before the host in a URL.
func userInfo() string {
	if os.Getenv(usersFile) == "" {
		return ""
	}
	return User + ":" + Password + "@"
}

var hashOfUser = regexp.MustCompile(`#\w+`)

// userArgs are options with which a server has the user, beside the default one that tests look in as.
func userArgs(t testing.TB) []string {
	file := os.Getenv(usersFile)
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(hashOfUser.ReplaceAllString(line, ">"+Password)); len(words) > 2 && words[1] == User {
			return append([]string{"--user"}, words[1:]...)
		}
	}
	t.Fatalf("%s: no user %s", file, User)
	return nil
}

// reason and object of an entry of ACL LOG, as [Server.Do] prints it.
var refusal = regexp.MustCompile(`reason:(\w+)[^\]]*?object:(\S+)|object:(\S+)[^\]]*?reason:(\w+)`)

// checkUser fails the test where the user was refused something, as far as the server still knows.
func (s *Server) checkUser() {
	if os.Getenv(usersFile) == "" {
		return
	}
	for _, m := range refusal.FindAllString(s.try("ACL", "LOG"), -1) {
		s.t.Error(fmt.Sprint("the gateway's user was refused: ", m))
	}
}
