package main

import "context"

const signingHow = "tokens by RS512, 2,048 bits, one signer on one core"

// A signer is how many tokens, and bare signatures, one build makes a second.
type signer struct{ tokens, bare float64 }

func measureSigning(ctx context.Context, o options, _ int) ([]row, error) {
	plain, err := o.signs(ctx, plainBuild)
	if err != nil {
		return nil, err
	}
	void := ""
	fast, err := o.signs(ctx, fastBuild) // takes a C compiler
	if err != nil {
		void = err.Error()
	}
	say("signing: openssl")
	openssl, err := opensslSigns(ctx)
	if err != nil {
		void = err.Error()
	}
	older, err := opensslSigns(ctx, withoutAVX512)
	if err != nil {
		void = err.Error()
	}
	return []row{
		{
			What: "signing, plain build", Unit: "tokens/s", Ours: plain.tokens, Beside: plain.bare, Peer: "crypto/rsa alone", Asked: atLeast(0.95),
			How: signingHow,
		},
		{
			What: "signing, fast build", Unit: "tokens/s", Ours: fast.tokens, Beside: fast.bare, Peer: "its crypto/rsa alone", Asked: atLeast(0.95),
			Void: void, How: signingHow,
		},
		{
			What: "signing, fast build", Unit: "tokens/s", Ours: fast.tokens, Beside: openssl, Peer: "openssl speed rsa2048", Asked: atLeast(0.95),
			Void: void, How: signingHow,
		},
		{
			What: "signing, fast build", Unit: "tokens/s", Ours: fast.tokens, Beside: older, Peer: "the same without AVX-512",
			Void: void, How: signingHow,
		},
	}, ctx.Err()
}

// signs measures one build's signer.
func (o options) signs(ctx context.Context, b build) (is signer, err error) {
	file, err := o.compile(ctx, "tokens", b)
	if err != nil {
		return is, err
	}
	say("signing: the %s build", b.name)
	all, err := o.goBench(ctx, "tokens", file, "^Benchmark(RSA|Sign)$/^(RS512)?$/^(2048)?$", onOneCore, "-test.cpu", "1")
	if err != nil {
		return is, err
	}
	token, err := all.of("Sign/RS512/2048", "ns/op")
	if err != nil {
		return is, err
	}
	bare, err := all.of("RSA", "ns/op")
	return signer{1e9 / token, 1e9 / bare}, err
}
