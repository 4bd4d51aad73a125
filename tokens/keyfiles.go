package tokens

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteKeyFiles makes an RSA key and writes key.pem (PKCS#1, for its owner only),
// public.pem (SPKI) and public.der (PKCS#1, as janus-plugin-sfu's auth_key) into
// dir, which it makes where it isn't there. It overwrites nothing: where one of
// the three exists the error wraps [fs.ErrExist], and none is left half-made.
func WriteKeyFiles(dir string, bits int) (err error) {
	names := []string{"key.pem", "public.pem", "public.der"}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s: %w; keygen overwrites nothing: choose another folder", filepath.Join(dir, name), fs.ErrExist)
		}
	}
	key, err := GenerateRSA(bits)
	if err != nil {
		return err
	}
	public, err := publicPEM(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var made []string
	defer func() {
		if err != nil {
			for _, path := range made {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	for i, content := range [][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		public,
		x509.MarshalPKCS1PublicKey(&key.PublicKey),
	} {
		mode := fs.FileMode(0o644)
		if i == 0 {
			mode = 0o600
		}
		path := filepath.Join(dir, names[i])
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		made = append(made, path)
		_, err = file.Write(content)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
