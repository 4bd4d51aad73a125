package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// withoutAVX512 has openssl take the way that it has for processors without AVX-512 IFMA: openssl alone
// has another one, which BoringSSL and Go lack. It is bit 21 of what follows the colon (OPENSSL_ia32cap(3)).
const withoutAVX512 = "OPENSSL_ia32cap=:~0x200000"

// opensslSigns adds how many signatures of RSA-2048 openssl makes a second, on one core.
func opensslSigns(ctx context.Context, to *[]float64, env ...string) error {
	cmd := exec.CommandContext(ctx, "openssl", "speed", "-elapsed", "-mr", "-seconds", "1", "rsa2048")
	cmd.Env = append(os.Environ(), env...)
	out, err := onOneCore(cmd)
	if err != nil {
		return fmt.Errorf("openssl speed: %w", err)
	}
	rate, err := parseSpeed(string(out))
	*to = append(*to, rate)
	return err
}

// parseSpeed reads what `openssl speed -mr` prints of RSA: signatures a second.
func parseSpeed(out string) (float64, error) {
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if fields[0] == "+F2" && len(fields) >= 5 && fields[2] == "2048" {
			return strconv.ParseFloat(fields[3], 64)
		}
	}
	return 0, errors.New("openssl speed says nothing of rsa2048")
}
