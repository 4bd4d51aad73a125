package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// makeKey runs keygen and gives the path of the private key.
func makeKey(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if got := roompass(t, "", "keygen", "--out", dir); got.code != exitDone || got.stderr != "" {
		t.Fatalf("keygen: %+v", got)
	}
	return filepath.Join(dir, "key.pem")
}

// mint runs token mint and gives the JWT.
func mint(t *testing.T, args ...string) string {
	t.Helper()
	got := roompass(t, "", append([]string{"token", "mint"}, args...)...)
	if got.code != exitDone || got.stderr != "" {
		t.Fatalf("token mint: %+v", got)
	}
	return strings.TrimSuffix(got.out, "\n")
}

func TestKeygenWritesThreeFilesAndOverwritesNone(t *testing.T) {
	key := makeKey(t)
	dir := filepath.Dir(key)
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"public.pem", "public.der"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	roompass(t, "", "keygen", "--out", dir).wantsOneSentence(t, exitFailed, "key.pem", "another --out")
	if after, err := os.ReadFile(key); err != nil || string(after) != string(before) {
		t.Errorf("the key changed at the second keygen (error %v)", err)
	}
}

func TestMintPrintsOnlyTheToken(t *testing.T) {
	jwt := mint(t, "--key", makeKey(t), "--room", "lobby", "--user", "7", "--kick", "--ttl", "2m")
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("printed %q, want a compact JWT", jwt)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	if lives := claims["exp"].(float64) - claims["iat"].(float64); lives != 120 {
		t.Errorf("the token lives %v s, want 120", lives)
	}
	for _, varies := range []string{"iat", "nbf", "exp", "jti"} {
		delete(claims, varies)
	}
	want := map[string]any{
		"aud": "webrtc_auth", "iss": "", "sub": "7", "typ": "access",
		"user_id": 7.0, "join_hub": true, "kick_users": true, "room_ids": []any{"lobby"},
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestMintWithoutAPrivateKeySaysSo(t *testing.T) {
	key := makeKey(t)
	public := filepath.Join(filepath.Dir(key), "public.pem")
	roompass(t, "", "token", "mint", "--room", "r", "--key", public).wantsOneSentence(t, exitUsage, "--key", "private")
	roompass(t, "", "token", "mint", "--room", "r", "--key", public+".missing").wantsOneSentence(t, exitUsage, "--key", "no such file")
	roompass(t, "", "token", "mint", "--room", "r", "--key", key, "--alg", "none").wantsOneSentence(t, exitUsage, "none", "RS512")
}

func TestInspectShowsWhatIsInATokenThatHolds(t *testing.T) {
	key := makeKey(t)
	synctest.Test(t, func(t *testing.T) {
		jwt := mint(t, "--key", key, "--room", "lobby")
		time.Sleep(time.Minute)
		got := roompass(t, "\n"+jwt+"\n", "token", "inspect", "--key", key)
		if got.code != exitDone || got.stderr != "" {
			t.Fatalf("exit code %d, standard error %q; want 0 and nothing", got.code, got.stderr)
		}
		for _, part := range []string{`"alg": "RS512"`, `"room_ids": [`, "(1m0s ago)", "(in 4m0s)", "signature  checked"} {
			if !strings.Contains(got.out, part) {
				t.Errorf("printed\n%s\nwhich lacks %q", got.out, part)
			}
		}
	})
}

func TestInspectFailsForATokenThatDoesNotHold(t *testing.T) {
	key, other := makeKey(t), makeKey(t)
	synctest.Test(t, func(t *testing.T) {
		jwt := mint(t, "--key", key, "--room", "lobby", "--no-kid")
		parts := strings.Split(jwt, ".")
		for _, test := range []struct {
			name, token string
			args        []string
			says        string
		}{
			{"another key", jwt, []string{"--key", other}, "signature"},
			{"other claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`)) + "." + parts[2], []string{"--key", key}, "signature"},
			{"no exp, no key", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "." + parts[2], nil, "no exp"},
			{"of the future, no key", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"nbf":99999999998,"exp":99999999999}`)) + "." + parts[2], nil, "not valid yet"},
		} {
			got := roompass(t, test.token, append([]string{"token", "inspect"}, test.args...)...)
			if got.code != exitFailed || !strings.Contains(got.stderr, "does not hold") || !strings.Contains(got.stderr, test.says) {
				t.Errorf("%s: exit code %d, standard error %q; want 1 and %q", test.name, got.code, got.stderr, test.says)
			}
			if !strings.HasPrefix(got.out, "header {") {
				t.Errorf("%s: printed %q, want what is in it all the same", test.name, got.out)
			}
		}

		time.Sleep(5 * time.Minute)
		for _, args := range [][]string{{}, {"--key", key}} {
			got := roompass(t, jwt, append([]string{"token", "inspect"}, args...)...)
			if got.code != exitFailed || !strings.Contains(got.stderr, "expired") {
				t.Errorf("after its life, with %q: exit code %d, standard error %q; want 1 and expired", args, got.code, got.stderr)
			}
		}
	})
}

func TestInspectWithoutAKeySaysThatTheSignatureIsNotChecked(t *testing.T) {
	got := roompass(t, mint(t, "--key", makeKey(t), "--room", "lobby"), "token", "inspect")
	if got.code != exitDone || !strings.Contains(got.out, "signature  not checked") {
		t.Errorf("got %+v, want exit code 0 and that the signature is not checked", got)
	}
}

func TestInspectRefusesWhatIsNoToken(t *testing.T) {
	for name, input := range map[string]string{
		"nothing":     " \n",
		"rubbish":     "rubbish",
		"too much":    strings.Repeat("a", longestToken+1),
		"not base64":  "!.!.!",
		"two in line": "e30.e30.e30 e30.e30.e30",
	} {
		t.Run(name, func(t *testing.T) {
			roompass(t, input, "token", "inspect").wantsOneSentence(t, exitFailed)
		})
	}
	roompass(t, "e30.e30.", "token", "inspect", "--key", "missing.pem").wantsOneSentence(t, exitUsage, "--key")
}

func TestInspectDoesNotLetATokenSteerTheTerminal(t *testing.T) {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	claims := base64.RawURLEncoding.EncodeToString([]byte("{\"sub\":\"\u009b2J\u202e\U000e0041\u007f\"}"))
	got := roompass(t, header+"."+claims+".", "token", "inspect")
	if !strings.Contains(got.out, `\u009b2J\u202e\U000e0041\u007f`) {
		t.Errorf("printed %q, want control characters escaped", got.out)
	}
}
