package core

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/securecookie"
)

// Sealer turns bytes into a cookie value and back. The value is bound to the
// cookie's name and to the purpose it was made for. Safe for concurrent use.
type Sealer interface {
	// Seal appends the sealed form of plain to dst. It keeps plain as it is.
	Seal(dst, plain []byte) ([]byte, error)
	// Open appends the plain form of value to dst. old means that another
	// secret than the newest opened it, so it should be sealed again. There
	// is one error for everything that is wrong with a value.
	Open(dst []byte, value string) (plain []byte, old bool, err error)
}

// SealConfig is what a sealer is made from.
type SealConfig struct {
	Secrets []Secret      // newest first, at least one
	Name    string        // of the cookie
	Encrypt bool          // hide the content; else it is enough to sign it
	MaxLen  int           // of a sealed value, in bytes
	MaxAge  time.Duration // refuse older values, as a backstop to the limits in the content
}

// errSeal is deliberately the only thing that Open says.
var errSeal = errors.New("sessions: the seal of the cookie does not hold")

const sealVersion = 1

// SecureCookie makes the default [Sealer]: gorilla/securecookie, which signs
// with HMAC-SHA256 and, if asked to, encrypts with AES-256-CTR first. It opens
// only what was sealed in the same mode, in canonical form.
func SecureCookie(cfg SealConfig) (Sealer, error) {
	s := &secureCookieSealer{name: cfg.Name, maxLen: cfg.MaxLen}
	purpose := "sign"
	if cfg.Encrypt {
		purpose = "encrypt"
	}
	for _, secret := range cfg.Secrets {
		mac, err := secret.derive("securecookie mac", purpose, cfg.Name)
		if err != nil {
			return nil, err
		}
		// The library's MAC does not cover the encryption key; both come
		// from one secret, so they can only change together.
		var block []byte
		if cfg.Encrypt {
			if block, err = secret.derive("securecookie block", purpose, cfg.Name); err != nil {
				return nil, err
			}
		}
		codec := securecookie.New(mac, block)
		codec.SetSerializer(securecookie.NopEncoder{}) // no gob near a client's bytes
		codec.MaxAge(int(cfg.MaxAge / time.Second))
		codec.MaxLength(cfg.MaxLen)
		s.codecs = append(s.codecs, codec)
	}
	return s, selfTest(s)
}

type secureCookieSealer struct {
	codecs []*securecookie.SecureCookie
	name   string
	maxLen int
}

func (s *secureCookieSealer) Seal(dst, plain []byte) ([]byte, error) {
	// The library encrypts in place, and cannot decrypt an empty text.
	private := make([]byte, 1, 1+len(plain))
	private[0] = sealVersion
	private = append(private, plain...)
	// Its error for a value that is too long is untyped, so the length is
	// left to the caller.
	value, err := s.codecs[0].Encode(s.name, private)
	if err != nil {
		return nil, &TooLargeError{What: "cookie", Size: len(s.name) + securecookieLen(len(private)), Limit: s.maxLen + len(s.name)}
	}
	return append(dst, value...), nil
}

// securecookieLen estimates, from above, what n bytes become.
func securecookieLen(n int) int {
	enc := base64.URLEncoding.EncodedLen
	return enc(10 + 1 + enc(n+aes.BlockSize) + 1 + 32)
}

func (s *secureCookieSealer) Open(dst []byte, value string) ([]byte, bool, error) {
	if !s.canonical(value) {
		return nil, false, errSeal
	}
	for i, codec := range s.codecs {
		var plain []byte
		if codec.Decode(s.name, value, &plain) == nil {
			if len(plain) < 1 || plain[0] != sealVersion {
				return nil, false, errSeal
			}
			if dst == nil {
				return plain[1:], i > 0, nil
			}
			return append(dst, plain[1:]...), i > 0, nil
		}
	}
	return nil, false, errSeal
}

// canonical refuses the other spellings of a value that the library's
// lenient base64 would accept: spare bits, line breaks.
func (s *secureCookieSealer) canonical(value string) bool {
	return len(value) > 0 && len(value) <= s.maxLen && canonicalBase64(base64.URLEncoding, value)
}

// canonicalBase64 reports whether value is the one encoding of its bytes. It
// allocates nothing.
func canonicalBase64(enc *base64.Encoding, value string) bool {
	pad := 0
	for pad < 2 && pad < len(value) && value[len(value)-1-pad] == '=' {
		pad++
	}
	if pad > 0 && len(value)%4 != 0 {
		return false
	}
	body := value[:len(value)-pad]
	for i := range len(body) {
		if base64Index(body[i]) < 0 {
			return false
		}
	}
	spare := 0
	switch len(body) % 4 {
	case 1:
		return false
	case 2:
		spare = 0x0f
	case 3:
		spare = 0x03
	}
	if wantPad := (4 - len(body)%4) % 4; enc == base64.URLEncoding && pad != wantPad || enc == base64.RawURLEncoding && pad != 0 {
		return false
	}
	return spare == 0 || base64Index(body[len(body)-1])&spare == 0
}

// base64Index returns the six bits of a character of base64url, or -1.
func base64Index(c byte) int { return int(base64Bits[c]) }

// base64Bits is a table because two loops run over every byte of every cookie.
var base64Bits = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = int8(i)
	}
	return t
}()

// AESGCM makes a [Sealer] on the standard library's AES-256-GCM: smaller
// cookies for a fraction of the time. It always encrypts. Its nonces are
// random, so replace the secret before it has sealed 2^32 cookies (NIST SP
// 800-38D, 8.3).
func AESGCM(cfg SealConfig) (Sealer, error) {
	s := &gcmSealer{maxLen: cfg.MaxLen, name: cfg.Name}
	purpose := "sign"
	if cfg.Encrypt {
		purpose = "encrypt"
	}
	for _, secret := range cfg.Secrets {
		key, err := secret.derive("aes-gcm", purpose, cfg.Name)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s.aeads = append(s.aeads, aead)
	}
	return s, selfTest(s)
}

type gcmSealer struct {
	aeads  []cipher.AEAD
	name   string
	maxLen int
}

func (s *gcmSealer) Seal(dst, plain []byte) ([]byte, error) {
	size := len(plain) + s.aeads[0].Overhead()
	n := base64.RawURLEncoding.EncodedLen(size)
	if n > s.maxLen {
		return nil, &TooLargeError{What: "cookie", Size: n + len(s.name), Limit: s.maxLen + len(s.name)}
	}
	buf := s.aeads[0].Seal(make([]byte, 0, size), nil, plain, nil)
	return base64.RawURLEncoding.AppendEncode(dst, buf), nil
}

func (s *gcmSealer) Open(dst []byte, value string) ([]byte, bool, error) {
	if len(value) == 0 || len(value) > s.maxLen || !canonicalBase64(base64.RawURLEncoding, value) {
		return nil, false, errSeal
	}
	room := base64.RawURLEncoding.DecodedLen(len(value))
	if dst == nil {
		room *= 2 // for the plain text too
	}
	sealed, err := base64.RawURLEncoding.AppendDecode(make([]byte, 0, room), []byte(value))
	if err != nil {
		return nil, false, errSeal
	}
	if dst == nil {
		dst = sealed[len(sealed):]
	}
	for i, aead := range s.aeads {
		if plain, err := aead.Open(dst, nil, sealed, nil); err == nil {
			return plain, i > 0, nil
		}
	}
	return nil, false, errSeal
}

// selfTest finds at start what the libraries would only report at first use.
func selfTest(s Sealer) error {
	probe := []byte("probe")
	value, err := s.Seal(nil, probe)
	if err == nil {
		var back []byte
		if back, _, err = s.Open(nil, string(value)); err == nil && string(back) != string(probe) {
			err = errSeal
		}
	}
	if err != nil {
		return fmt.Errorf("%w: the sealer does not open what it sealed: %w", ErrConfig, err)
	}
	return nil
}
