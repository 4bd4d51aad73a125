package tokens

import (
	"encoding/asn1"
	"fmt"
	"math/big"
)

// rawECDSA turns the ASN.1 signature of a [crypto.Signer] on P-256 into r and s,
// 32 bytes each, as RFC 7518, section 3.4 wants.
func rawECDSA(der []byte) ([]byte, error) {
	var signature struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &signature); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its ECDSA signature isn't ASN.1", ErrKey)
	}
	raw := make([]byte, 64)
	signature.R.FillBytes(raw[:32])
	signature.S.FillBytes(raw[32:])
	return raw, nil
}
