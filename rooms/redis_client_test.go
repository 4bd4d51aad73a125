package rooms_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/rooms/redistest"
)

func TestDialWithPassword(t *testing.T) {
	const password = `p@ss/w:ö rd%40`
	s := redistest.Start(t, "--requirepass", password)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"redis://:p%40ss%2Fw%3A%C3%B6%20rd%2540@" + s.Addr(),
		"redis://default:@" + file + "@" + s.Addr(),
		"redis://:%40" + strings.ReplaceAll(file, "/", "%2F") + "@" + s.Addr() + "/0",
	} {
		client, err := rooms.DialRedis(t.Context(), url, nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		_ = client.Close()
	}
	for _, url := range []string{s.URL(), "redis://:wrong-secret@" + s.Addr()} {
		if _, err := rooms.DialRedis(t.Context(), url, nil); err == nil || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

func TestDialSentinelWithPasswords(t *testing.T) {
	s := redistest.StartSentinelWithPasswords(t, "the-servers", "the-sentinels")
	at := strings.TrimPrefix(s.URL(), "redis://")
	client, err := rooms.DialRedis(t.Context(), "redis://:the-servers@"+at+"&sentinel_password=the-sentinels", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"redis://:the-servers@" + at, "redis://" + at + "&sentinel_password=the-sentinels"} {
		if _, err := rooms.DialRedis(t.Context(), url, nil); err == nil || strings.Contains(err.Error(), "the-se") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

func TestDialRefuses(t *testing.T) {
	old := fakeRedis(t, "redis_version:6.2.14")
	for _, c := range []struct{ url, want string }{
		{"redis://" + old, "redis 6.2.14 is too old: 7.0 or later is needed, or Valkey"},
		{"http://user:secret@localhost:1", "not a Redis URL"},
		{"user:secret", "not a Redis URL"},
		{"redis://:secret@localhost:1/x%", "not a Redis URL"},
		{"redis://:secret@localhost:1/zero", "not a Redis URL"},
		{"redis://:@/no/such/secret@localhost:1", "the password's file"},
		{"redis://127.0.0.1:1", "redis doesn't answer"},
		{"redis://127.0.0.1:1,redis://127.0.0.1:2", "redis doesn't answer"},
		{"redis://127.0.0.1:1?master_name=main", "redis doesn't answer"},
	} {
		_, err := rooms.DialRedis(t.Context(), c.url, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(strings.ReplaceAll(err.Error(), "/no/such/secret", ""), "secret") {
			t.Errorf("%s: error %v, want %q", c.url, err, c.want)
		}
	}
	client, err := rooms.DialRedis(t.Context(), "redis://"+fakeRedis(t, "redis_version:7.2.4\r\nvalkey_version:8.0.1"), nil)
	if err != nil {
		t.Errorf("Valkey: %v", err)
	} else {
		_ = client.Close()
	}
}

// fakeRedis answers every command with the same text.
func fakeRedis(t *testing.T, info string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					var n int
					if _, err := fmt.Sscanf(line, "*%d", &n); err != nil {
						return
					}
					var command string
					for i := range 2 * n {
						word, err := in.ReadString('\n')
						if err != nil {
							return
						}
						if i == 1 {
							command = strings.ToLower(strings.TrimSpace(word))
						}
					}
					if command == "info" {
						_, _ = fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
					} else {
						_, _ = fmt.Fprint(c, "-ERR unknown command\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestDialOverTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := redistest.FreePort(t)
	redistest.Start(t, "--tls-port", fmt.Sprint(port), "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	url := fmt.Sprintf("rediss://127.0.0.1:%d", port)
	if _, err := rooms.DialRedis(t.Context(), url, nil); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	client, err := rooms.DialRedis(context.Background(), url, roots)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := rooms.NewRedis(t.Context(), rooms.RedisConfig{Client: client, Pod: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, _, err := p.Join(t.Context(), hall, rooms.Member{ID: "a"}, newEars()); err != nil {
		t.Error(err)
	}
}
