package tokens

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// GenerateRSA makes an RSA key of 2048 to 8192 bits. It returns [ErrWeakKey],
// wrapped, for another size.
func GenerateRSA(bits int) (*rsa.PrivateKey, error) {
	if bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("%w: %d bits; an RSA key for the SFU has %d to %d", ErrWeakKey, bits, minRSABits, maxRSABits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// WriteKeyFiles makes an RSA key and writes it to dir in the three forms that an
// operator needs:
//
//   - key.pem: the private key, PKCS#1 in PEM, mode 0600;
//   - public.pem: the public key, SPKI in PEM;
//   - public.der: the public key, PKCS#1 in DER, for the SFU's auth_key.
//
// dir is made if it isn't there. No file is overwritten: if one of the three
// exists the error is an [fs.ErrExist]. On any error the files that this call
// made are removed again.
func WriteKeyFiles(dir string, bits int) (err error) {
	files := []struct {
		name string
		mode fs.FileMode
		body []byte
	}{{name: "key.pem", mode: 0o600}, {name: "public.pem", mode: 0o644}, {name: "public.der", mode: 0o644}}
	for _, f := range files {
		// Said before the key is made, which takes up to a minute for a long one.
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
	}

	private, err := GenerateRSA(bits)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	files[0].body = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	files[1].body = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	files[2].body = x509.MarshalPKCS1PublicKey(&private.PublicKey)

	var made []string // newest first
	defer func() {
		if err == nil {
			return
		}
		for _, path := range made {
			_ = os.Remove(path) // a directory that holds something else stays
		}
	}()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		made = append(made, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		created, err := writeNew(path, f.mode, f.body)
		if created {
			made = append([]string{path}, made...)
		}
		if err != nil {
			return fmt.Errorf("keygen: %w", err)
		}
	}
	return nil
}

// writeNew writes a file that doesn't exist yet, down to the disk: a key whose
// public half is already handed out must not be lost with the power.
func writeNew(path string, mode fs.FileMode, body []byte) (created bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return false, err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	return true, errors.Join(err, f.Close())
}
