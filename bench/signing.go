package main

import (
	"context"
	"errors"
)

const signingHow = "tokens by RS512, 2,048 bits, one signer on one core"

// measureSigning has the builds and openssl take turns on one core.
func measureSigning(ctx context.Context, o options, _ int) ([]row, error) {
	plain, err := o.newSigner(ctx, plainBuild)
	if err != nil {
		return nil, err
	}
	// What isn't on every machine: a C compiler, and openssl.
	fast, missing := o.newSigner(ctx, fastBuild)
	var openssl, older []float64
	say("signing: both builds, and openssl")
	for range 3 {
		if err := plain.sign(ctx); err != nil {
			return nil, err
		}
		if missing == nil {
			missing = fast.sign(ctx)
		}
		if missing == nil {
			missing = opensslSigns(ctx, &openssl)
		}
		if missing == nil {
			missing = opensslSigns(ctx, &older, withoutAVX512)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows := []row{
		{
			What: "signing, plain build", Ours: plain.rate("RS512"), Beside: plain.rate("RSA"), Peer: "crypto/rsa alone", Asked: atLeast(0.95),
		},
		{
			What: "signing, fast build", Ours: fast.rate("RS512"), Beside: fast.rate("RSA"), Peer: "its crypto/rsa alone", Asked: atLeast(0.95),
		},
		{
			What: "signing, fast build", Ours: fast.rate("RS512"), Beside: median(openssl), Peer: "openssl speed rsa2048", Asked: atLeast(0.95),
		},
		{
			What: "signing, fast build", Ours: fast.rate("RS512"), Beside: median(older), Peer: "the same without AVX-512",
		},
	}
	for i := range rows {
		rows[i].Unit, rows[i].How = "tokens/s", signingHow
		if i > 0 && missing != nil {
			rows[i].Void = missing.Error()
		}
	}
	return rows, nil
}

// A signer is one build's benchmarks of signatures.
type signer struct {
	o    options
	file string
	took benchmarks
}

func (o options) newSigner(ctx context.Context, b build) (*signer, error) {
	file, err := o.compile(ctx, "tokens", b)
	return &signer{o, file, benchmarks{}}, err
}

// sign signs for a second, tokens and then without tokens.
func (s *signer) sign(ctx context.Context) error {
	took, err := s.o.goBench(ctx, "tokens", s.file, "^BenchmarkSign$/^RS(A|512)$/^2048$", onOneCore, "-test.cpu", "1")
	s.took.add(took)
	if err == nil && s.rate("RS512")*s.rate("RSA") == 0 {
		err = errors.New("the benchmarks of tokens measured no signature")
	}
	return err
}

// rate is how many a second; 0 where nothing was measured.
func (s *signer) rate(what string) float64 {
	each, err := s.took.of("Sign/"+what+"/2048", "ns/op")
	if err != nil {
		return 0
	}
	return 1e9 / each
}
