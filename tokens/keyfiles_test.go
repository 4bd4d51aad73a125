package tokens

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a command of an operator's.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// The commands are those that the SFU's operators make their keys with.
func TestOperatorsKeyGivesTheSameDERAndASignatureThatOpenSSLTakes(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-f", "key.pem", "-N", "", "-m", "pem")
	run(t, dir, "openssl", "rsa", "-in", "key.pem", "-outform", "PEM", "-pubout", "-out", "public.pem")
	run(t, dir, "openssl", "rsa", "-in", "key.pem", "-outform", "DER", "-out", "key.der")
	run(t, dir, "openssl", "rsa", "-in", "key.der", "-inform", "DER", "-RSAPublicKey_out", "-outform", "DER", "-out", "public.der")

	ring, err := LoadKeys(filepath.Join(dir, "key.pem"), KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"public.der": must(ring.PublicDER()), "public.pem": must(ring.PublicPEM())} {
		if want := must(os.ReadFile(filepath.Join(dir, name))); !bytes.Equal(got, want) {
			t.Errorf("%s is\n%x\nopenssl made\n%x", name, got, want)
		}
	}

	token := must(newIssuer(t, ring).Mint(Grant{User: "1", Room: "123"}))
	input, signature, _ := cutLast(token.JWT, ".")
	must(0, os.WriteFile(filepath.Join(dir, "input"), []byte(input), 0o600))
	must(0, os.WriteFile(filepath.Join(dir, "signature"), must(decodePart(signature)), 0o600))
	if said := run(t, dir, "openssl", "dgst", "-sha512", "-verify", "public.pem", "-signature", "signature", "input"); !strings.Contains(said, "Verified OK") {
		t.Errorf("openssl said %s", said)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func TestKeyFilesAreReadByOpenSSLAndByUs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "keys")
	if err := WriteKeyFiles(dir, 2048); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "openssl", "rsa", "-in", "key.pem", "-check", "-noout")
	fromOpenSSL := run(t, dir, "openssl", "rsa", "-in", "key.pem", "-pubout")
	if public := string(must(os.ReadFile(filepath.Join(dir, "public.pem")))); !strings.Contains(fromOpenSSL, public) {
		t.Errorf("public.pem is %s; openssl makes %s", public, fromOpenSSL)
	}
	der := must(os.ReadFile(filepath.Join(dir, "public.der")))
	public := must(x509.ParsePKCS1PublicKey(der))
	if public.N.BitLen() != 2048 {
		t.Errorf("%d bits", public.N.BitLen())
	}
	for name, want := range map[string]fs.FileMode{"key.pem": 0o600, "public.pem": 0o644, "public.der": 0o644} {
		if mode := must(os.Stat(filepath.Join(dir, name))).Mode().Perm(); mode != want {
			t.Errorf("%s has mode %o; want %o", name, mode, want)
		}
	}
	// The folder is a ring as it stands: the public half is no second key.
	ring, err := LoadKeys(dir, KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ring.keys.Load().all) != 1 || !bytes.Equal(der, must(ring.PublicDER())) {
		t.Error("the folder is another ring than its key")
	}
}

func TestNoKeyFileIsOverwritten(t *testing.T) {
	for _, name := range []string{"key.pem", "public.pem", "public.der"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		must(0, os.WriteFile(path, []byte("mine"), 0o600))
		if err := WriteKeyFiles(dir, 2048); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if got := string(must(os.ReadFile(path))); got != "mine" {
			t.Errorf("%s is now %q", name, got)
		}
		if files := must(os.ReadDir(dir)); len(files) != 1 {
			t.Errorf("%s: left %v", name, files)
		}
	}
}

func TestFailedKeyFilesLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "a file")
	must(0, os.WriteFile(blocked, nil, 0o600))
	if err := WriteKeyFiles(filepath.Join(blocked, "keys"), 2048); err == nil {
		t.Error("a folder inside a file: made")
	}
	for _, bits := range []int{0, 1024, 2047, 8193} {
		if err := WriteKeyFiles(filepath.Join(dir, "keys"), bits); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}

func TestPublicFormsOfOtherKeys(t *testing.T) {
	secret := must(LoadKeys(file(t, "secret", bytes.Repeat([]byte("s"), 32)), KeyOptions{Alg: "HS256"}))
	for name, form := range map[string]func() ([]byte, error){"JWKS": secret.JWKS, "PEM": secret.PublicPEM, "DER": secret.PublicDER} {
		if body, err := form(); !errors.Is(err, ErrNoPublicKey) || body != nil {
			t.Errorf("%s of a secret: %q, %v", name, body, err)
		}
	}
	ec := must(NewKeyRing(KeyOptions{}, ecKey()))
	if _, err := ec.PublicDER(); !errors.Is(err, ErrNoPublicKey) {
		t.Errorf("PKCS#1 of an EC key: %v", err)
	}
	block, _ := pem.Decode(must(ec.PublicPEM()))
	if public := must(x509.ParsePKIXPublicKey(block.Bytes)); !ecKey().PublicKey.Equal(public) {
		t.Error("public.pem is another key")
	}
}
