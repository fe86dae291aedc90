package core

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Sealer turns bytes into a cookie value and back. The value is bound to the
// cookie's name and to the purpose it was made for. Safe for concurrent use.
// Neither method keeps dst or plain: their memory is used again.
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
	if len(value) == 0 || len(value) > s.maxLen {
		return nil, false, errSeal
	}
	// The sealed bytes lie behind the room for the plain ones, in the same
	// array: no allocation if dst has room for both, and else one.
	room := base64.RawURLEncoding.DecodedLen(len(value))
	dst = slices.Grow(dst, 2*room)
	sealed, ok := appendCanonical(dst[len(dst)+room:len(dst)+room], rawStrict, value)
	if !ok {
		return nil, false, errSeal
	}
	for i, aead := range s.aeads {
		if plain, err := aead.Open(dst, nil, sealed, nil); err == nil {
			return plain, i > 0, nil
		}
	}
	return nil, false, errSeal
}

// The encodings of sealed values, which refuse spare bits that are set.
var (
	rawStrict    = base64.RawURLEncoding.Strict()
	paddedStrict = base64.URLEncoding.Strict()
)

// appendCanonical appends what value encodes, if value is the one encoding of
// it: base64 that skips line breaks has many.
func appendCanonical(dst []byte, strict *base64.Encoding, value string) ([]byte, bool) {
	start := len(dst)
	dst, err := strict.AppendDecode(dst, []byte(value))
	return dst, err == nil && strict.EncodedLen(len(dst)-start) == len(value)
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
