package tokens

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"fmt"
	"testing"
	"time"
)

// BenchmarkSign compares the algorithms, and what a key of 4096 bits costs. RSA is the signature alone that
// a token by RS512 can't do without.
func BenchmarkSign(b *testing.B) {
	long := must(GenerateRSA(4096))
	for name, ring := range map[string]*KeyRing{
		"RS512/2048": must(NewKeyRing(KeyOptions{}, rsaKey())), "RS512/4096": must(NewKeyRing(KeyOptions{}, long)),
		"ES256": must(NewKeyRing(KeyOptions{}, ecKey())), "EdDSA": must(NewKeyRing(KeyOptions{}, edKey())),
	} {
		b.Run(name, func(b *testing.B) {
			issuer := newIssuer(b, ring)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := issuer.Mint(Grant{User: "1", Room: "a", JoinHub: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("RSA/2048", func(b *testing.B) {
		digest := sha512.Sum512([]byte("a token"))
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA512, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkResume is a membership on and off a schedule that has many others: what
// a socket costs that comes back with a good token.
func BenchmarkResume(b *testing.B) {
	for _, others := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			s := must(NewSchedule(ScheduleConfig{Minter: &fakeMinter{}, TTL: testTTL, Refresh: testRefresh}))
			expires := time.Now().Add(testTTL)
			resume := func(user int) *Membership {
				m, _, err := s.Resume(b.Context(), Grant{User: fmt.Sprint(user), Room: "a"}, expires, func(Token) {})
				return must(m, err)
			}
			for i := range others {
				resume(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				resume(-1).Remove()
			}
		})
	}
}
