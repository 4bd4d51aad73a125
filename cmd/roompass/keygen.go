package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/roompass/roompass/tokens"
)

// keygenCmd makes an RSA key and its public halves.
type keygenCmd struct {
	Out  string `required:"" placeholder:"DIR" help:"Folder for key.pem, public.pem and public.der; made if it isn't there. No file is overwritten."`
	Bits int    `default:"2048" help:"Size of the RSA key, 2048 to 8192."`
}

// Validate refuses sizes that the SFU can't use.
func (c *keygenCmd) Validate() error {
	if c.Bits < 2048 || c.Bits > 8192 {
		return fmt.Errorf("--bits %d: the SFU takes RSA keys of 2048 to 8192 bits", c.Bits)
	}
	return nil
}

// Run writes the three files and says what each is for.
func (c *keygenCmd) Run(io stdio) error {
	if err := tokens.WriteKeyFiles(c.Out, c.Bits); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; keygen overwrites nothing: give another --out, or move the old key away", err)
		}
		return err
	}
	_, err := fmt.Fprintf(io.out, "%s\tprivate key: roompass serve --key; keep it secret\n%s\tpublic key, PEM: for most JWT libraries\n%s\tpublic key, DER (PKCS#1): auth_key of janus.plugin.sfu.cfg\n",
		filepath.Join(c.Out, "key.pem"), filepath.Join(c.Out, "public.pem"), filepath.Join(c.Out, "public.der"))
	return err
}
