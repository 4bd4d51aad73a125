package tokens

import (
	"encoding/base64"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// IssuerConfig says what an [Issuer] writes into its tokens.
type IssuerConfig struct {
	Keys       *KeyRing
	TTL        time.Duration    // from iat to exp, in whole seconds; 0: 5 min
	Audience   string           // aud; "": "webrtc_auth"
	IssuerName string           // iss; written also when it is empty
	TimeNow    func() time.Time // nil: time.Now
}

// An Issuer signs grants. It is safe for concurrent use.
type Issuer struct {
	cfg IssuerConfig
}

// NewIssuer refuses a missing key ring and a TTL that isn't whole seconds.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	if cfg.Keys == nil {
		return nil, fmt.Errorf("%w: none given", ErrKey)
	}
	if cfg.TTL == 0 {
		cfg.TTL = 5 * time.Minute
	}
	if cfg.TTL < time.Second || cfg.TTL%time.Second != 0 {
		return nil, fmt.Errorf("the token's life is %v; exp counts whole seconds, so make it 1s or more of them", cfg.TTL)
	}
	if cfg.Audience == "" {
		cfg.Audience = "webrtc_auth"
	}
	if cfg.TimeNow == nil {
		cfg.TimeNow = time.Now
	}
	return &Issuer{cfg}, nil
}

// backdate is how far nbf lies before iat, as in the tokens of the old backend:
// a verifier whose clock is a little behind takes the token at once.
const backdate = 1 // second

// Mint signs g now. An error wraps [ErrNoRoom], [ErrReservedClaim], or what the
// signer returned.
func (i *Issuer) Mint(g Grant) (Token, error) {
	if err := g.Validate(); err != nil {
		return Token{}, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return Token{}, fmt.Errorf("jti: %w", err)
	}
	issued := i.cfg.TimeNow().Truncate(time.Second)
	expires := issued.Add(i.cfg.TTL)
	sub, userID := g.subject()
	// A map, because jwt's own claims write aud as an array and drop an empty iss.
	claims := jwt.MapClaims{
		"aud": i.cfg.Audience, "iss": i.cfg.IssuerName, "sub": sub, "typ": "access", "jti": id.String(),
		"iat": issued.Unix(), "nbf": issued.Unix() - backdate, "exp": expires.Unix(),
		"join_hub": g.JoinHub, "kick_users": g.KickUsers, "room_ids": []string{g.Room},
	}
	if userID != nil {
		claims["user_id"] = userID
	}
	maps.Copy(claims, g.Extra)
	k := i.cfg.Keys.signing()
	token := jwt.NewWithClaims(k.method, claims)
	if !i.cfg.Keys.opts.NoKeyID {
		token.Header["kid"] = k.id
	}
	text, err := token.SigningString()
	if err != nil {
		return Token{}, fmt.Errorf("encode the claims: %w", err)
	}
	signature, err := k.sign(text)
	if err != nil {
		return Token{}, fmt.Errorf("sign: %w", err)
	}
	return Token{
		JWT:      text + "." + base64.RawURLEncoding.EncodeToString(signature),
		IssuedAt: issued, ExpiresAt: expires,
	}, nil
}
