package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A logbook is a log that a test reads.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) keep(c *Config) {
	c.Logger = slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// audits returns the lines of the audit, without those of their fields that change
// with each run or are the same in all.
func (l *logbook) audits(t *testing.T) (lines []message) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["msg"] != "audit" {
			continue
		}
		if _, ok := m["duration"].(float64); !ok || m["level"] != "INFO" || m["pod"] == nil || m["remote"] == nil {
			t.Errorf("a line without its duration, level, pod or remote: %s", line)
		}
		for _, key := range []string{"time", "level", "msg", "pod", "duration"} {
			delete(m, key)
		}
		lines = append(lines, m)
	}
	return lines
}

// wantAudits compares the lines, as JSON.
func wantAudits(t *testing.T, got []message, want ...message) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var is, wanted []byte
		if i < len(got) {
			is, _ = json.Marshal(got[i])
		}
		if i < len(want) {
			wanted, _ = json.Marshal(want[i])
		}
		if !bytes.Equal(is, wanted) {
			t.Errorf("line %d of the audit:\n got %s\nwant %s", i, is, wanted)
		}
	}
}

func TestAuditTellsWhoCameInAndWhoPutOutWhom(t *testing.T) {
	var log logbook
	inBubble(t, func(c *Config) { log.keep(c); c.Limits.Rooms = 1 }, func(t *testing.T, p *pod) {
		ann, annWelcome := p.enter("ann")
		annMember := ann.ask("join", message{"room": "r", "data": message{"phone": "presence data"}})["member"]
		guest, guestWelcome := p.enter("")
		guestMember := guest.ask("join", message{"room": "r"})["member"]
		guest.ask("join", message{"room": "another"})
		guest.ask("kick", message{"room": "r", "member": annMember})
		guest.ask("signal", message{"room": "r", "data": "what was said"})
		guest.ask("join", message{"room": strings.Repeat("x", 1000)}) // did nothing
		ann.ask("kick", message{"room": "r", "member": strings.Repeat("é", 1000)})
		ann.ask("kick", message{"room": "r", "member": guestMember})
		guest.wantClose(CloseForbidden)
		stranger := p.connect()
		stranger.send(message{"type": "auth", "credential": strings.Repeat("credential", 50)})
		stranger.wantClose(CloseUnauthenticated)
		ann.bye()
		remote := "pipe"
		wantAudits(t, log.audits(t),
			message{"action": "join", "room": "r", "member": annMember, "user": "ann", "session": annWelcome["session"], "result": "ok", "remote": remote},
			message{"action": "join", "room": "r", "member": guestMember, "session": guestWelcome["session"], "result": "ok", "remote": remote},
			message{"action": "join", "room": "another", "member": memberID(guestWelcome.str("session"), "another"), "session": guestWelcome["session"], "result": "too_many_rooms", "remote": remote},
			message{"action": "kick", "room": "r", "member": annMember, "by": guestMember, "session": guestWelcome["session"], "result": "not_allowed", "remote": remote},
			message{"action": "kick", "room": "r", "member": strings.Repeat("é", 128) + "…", "by": annMember, "user": "ann", "session": annWelcome["session"], "result": "no_such_member", "remote": remote},
			message{"action": "kick", "room": "r", "member": guestMember, "by": annMember, "user": "ann", "session": annWelcome["session"], "result": "ok", "remote": remote},
			message{"action": "auth", "result": "not_authenticated", "remote": remote},
		)
		for _, secret := range []string{"presence data", "what was said", "credential\"", "credentialcredential", "eyJ", annWelcome.str("secret")} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in the log", secret)
			}
		}
	})
}

func TestAuditTellsWhatOperatorsDid(t *testing.T) {
	var log logbook
	inBubble(t, log.keep, func(t *testing.T, p *pod) {
		ann, _ := p.enter("ann")
		member := ann.ask("join", message{"room": "a/b", "data": "presence data"})["member"]
		from := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" }
		path := "/v1/rooms/a%2Fb"
		p.operate("GET", "/v1/rooms?prefix=a", "", from, withKey(readKey))
		p.operate("GET", path, "", from)
		p.operate("POST", path+"/signal", `{"data":"what was said"}`, from)
		p.operate("POST", path+"/signal", `{"data":"what was said","to":"nobody"}`, from)
		p.operate("POST", path+"/signal", `{"data":"what was said"}`, from, withKey(readKey))
		p.operate("DELETE", path+"/members/"+member.(string), "", from, withKey("not-a-key-of-ours"))
		p.operate("DELETE", path+"/members/"+member.(string), "", from)
		p.operate("GET", "/v1/nothing", "", from)
		p.operate("GET", "/v1/rooms", "", from, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
		p.operate("GET", "/metrics", "", from)
		p.operate("GET", "/readyz", "", from)
		ann.wantClose(CloseForbidden)
		synctest.Wait()
		const remote = "192.0.2.7"
		lines := log.audits(t)
		if len(lines) == 0 || lines[0]["action"] != "join" {
			t.Fatalf("the audit doesn't begin with the join: %v", lines)
		}
		wantAudits(t, lines[1:],
			message{"action": "list_rooms", "by": "operator", "admin_key": 1, "result": "ok", "status": 200, "remote": remote},
			message{"action": "read_room", "room": "a/b", "by": "operator", "admin_key": 2, "result": "ok", "status": 200, "remote": remote},
			message{"action": "signal", "room": "a/b", "by": "operator", "admin_key": 2, "result": "ok", "status": 204, "remote": remote},
			message{"action": "signal", "room": "a/b", "member": "nobody", "by": "operator", "admin_key": 2, "result": "no_such_member", "status": 404, "remote": remote},
			message{"action": "signal", "room": "a/b", "by": "operator", "admin_key": 1, "result": "not_allowed", "status": 403, "remote": remote},
			message{"action": "kick", "room": "a/b", "member": member, "by": "operator", "result": "not_authenticated", "status": 401, "remote": remote},
			message{"action": "kick", "room": "a/b", "member": member, "by": "operator", "admin_key": 2, "result": "ok", "status": 204, "remote": remote},
			message{"action": "refuse", "by": "operator", "admin_key": 2, "result": "not_found", "status": 404, "remote": remote},
			message{"action": "refuse", "by": "operator", "result": "cross_site", "status": 403, "remote": remote},
		)
	})
	for _, secret := range []string{"presence data", "what was said", readKey, writeKey, "not-a-key-of-ours", "eyJ"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestAuditTellsWhatWasDecidedAboutWhom(t *testing.T) {
	var log logbook
	inBubble(t, log.keep, func(t *testing.T, p *pod) {
		ann, welcome := p.enter("ann")
		joined := ann.ask("join", message{"room": "r"})
		session, member, remote := welcome["session"], joined["member"], "pipe"
		ann.drop()
		ann, _ = p.resume(welcome, message{"r": joined["cursor"]}, nil)
		from := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" }
		p.operate("PATCH", "/v1/rooms/r/members/"+member.(string), `{"kick_users":false}`, from)
		newest := ann.want("token")
		p.mint("ann", "r")
		_, answer, _ := p.operate("POST", "/v1/revocations", `{"user":"ann","for":"1h"}`, from)
		ann.wantClose(CloseForbidden)
		p.mint("ann", "r")
		again := p.connect()
		again.send(message{"type": "auth", "credential": "ann"})
		again.wantClose(CloseForbidden)
		p.operate("DELETE", "/v1/revocations/"+answer.str("id"), "", from)
		synctest.Wait()
		lines := log.audits(t)
		slices.SortStableFunc(lines, func(a, b message) int {
			return cmp.Or(cmp.Compare(a.str("action"), b.str("action")), cmp.Compare(b.str("subject"), a.str("subject")), cmp.Compare(b.str("result"), a.str("result")))
		})
		operator := "192.0.2.7"
		for _, line := range lines {
			if line["action"] == "token" {
				delete(line, "remote") // a recorder's
			}
			if line["action"] == "auth" {
				delete(line, "session") // of the socket that was closed
			}
		}
		wantAudits(t, lines,
			message{"action": "auth", "user": "ann", "result": "not_allowed", "remote": remote},
			message{"action": "change_rights", "room": "r", "member": member, "by": "operator", "subject": "ann", "kick_users": false, "admin_key": 2, "result": "ok", "status": 200, "remote": operator},
			message{"action": "grant", "room": "r", "member": member, "by": "operator", "user": "ann", "session": session, "join_hub": true, "kick_users": false, "result": "ok", "remote": remote},
			message{"action": "join", "room": "r", "member": member, "user": "ann", "session": session, "result": "ok", "remote": remote},
			message{"action": "lift_revocation", "by": "operator", "subject": "ann", "admin_key": 2, "result": "ok", "status": 204, "remote": operator},
			message{"action": "resume", "room": "r", "member": member, "user": "ann", "session": session, "result": "ok", "remote": remote},
			message{"action": "revoke", "by": "operator", "subject": "ann", "exposure_until": answer["exposure_until"], "admin_key": 2, "result": "ok", "status": 200, "remote": operator},
			message{"action": "revoke", "room": "r", "member": member, "by": "operator", "user": "ann", "session": session, "exposure_until": newest["expires_at"], "result": "ok", "remote": remote},
			message{"action": "token", "room": "r", "user": "ann", "result": "ok"},
			message{"action": "token", "room": "r", "user": "ann", "result": "not_allowed"},
		)
		for _, secret := range []string{welcome.str("secret"), "eyJ"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in the log", secret)
			}
		}
	})
}

// A console that is open looks at the same every few seconds.
func TestReadingTheSameIsALineAMinute(t *testing.T) {
	var l looks
	at := time.Unix(1_800_000_000, 0)
	a := act{Action: "list_pods", Remote: "10.0.0.7", AdminKey: 1}
	for after, want := range []bool{0: true, 1: false, 59: false, 60: true, 61: false} {
		if after > 1 && after < 59 {
			continue
		}
		if got := l.isNew(a, at.Add(time.Duration(after)*time.Second)); got != want {
			t.Errorf("after %d s: %v", after, got)
		}
	}
	for _, other := range []act{
		{Action: "list_rooms", Remote: "10.0.0.7", AdminKey: 1}, {Action: "list_pods", Remote: "10.0.0.8", AdminKey: 1},
		{Action: "list_pods", Remote: "10.0.0.7", AdminKey: 2}, {Action: "list_pods", Room: "r", Remote: "10.0.0.7", AdminKey: 1},
	} {
		if !l.isNew(other, at.Add(time.Minute)) {
			t.Errorf("%+v is another one", other)
		}
	}
	for i := range 3 * mostLooks {
		l.isNew(act{Action: "read_room", Room: strconv.Itoa(i)}, at)
	}
	if len(l.last) > mostLooks {
		t.Errorf("%d are remembered", len(l.last))
	}
}
