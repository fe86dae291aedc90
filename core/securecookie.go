package core

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/securecookie"
)

const sealVersion = 1

// SecureCookie makes the default [Sealer]: the format of gorilla/securecookie,
// which signs with HMAC-SHA256 and, if asked to, encrypts with AES-256-CTR
// first. It opens only what was sealed in the same mode, in canonical form.
func SecureCookie(cfg SealConfig) (Sealer, error) {
	s := &secureCookieSealer{name: cfg.Name, maxLen: cfg.MaxLen, maxAge: int64(cfg.MaxAge / time.Second)}
	purpose := "sign"
	if cfg.Encrypt {
		purpose = "encrypt"
	}
	for _, secret := range cfg.Secrets {
		mac, err := secret.derive("securecookie mac", purpose, cfg.Name)
		if err != nil {
			return nil, err
		}
		key := &secureCookieKey{}
		key.desks.New = func() any { return &desk{mac: hmac.New(sha256.New, mac)} }
		// The MAC does not cover the encryption key; both come from one
		// secret, so they can only change together.
		var block []byte
		if cfg.Encrypt {
			if block, err = secret.derive("securecookie block", purpose, cfg.Name); err != nil {
				return nil, err
			}
			if key.block, err = aes.NewCipher(block); err != nil {
				return nil, err
			}
		}
		s.keys = append(s.keys, key)
		if err := s.agrees(key, securecookie.New(mac, block)); err != nil {
			return nil, err
		}
	}
	return s, selfTest(s)
}

// secureCookieSealer does what securecookie.SecureCookie with a NopEncoder
// does, without making everything anew for each value. A value is
//
//	base64( date "|" base64(body) "|" mac )
//
// where body is the content, or an IV and the encrypted content, and mac is
// that of name "|" date "|" base64(body). The content begins with a version.
type secureCookieSealer struct {
	keys   []*secureCookieKey
	name   string
	maxLen int
	maxAge int64 // seconds
}

type secureCookieKey struct {
	block cipher.Block // nil to sign only
	desks sync.Pool    // of *desk: to key an HMAC takes longer than to use it
}

// desk is what one value is worked on with.
type desk struct {
	mac     hash.Hash
	sum     [sha256.Size]byte
	message []byte // name "|" date "|" base64(body) "|" mac
	body    []byte
}

// sign returns the MAC of message, which is gone after the next.
func (d *desk) sign(message []byte) []byte {
	d.mac.Reset()
	d.mac.Write(message)
	return d.mac.Sum(d.sum[:0])
}

func (s *secureCookieSealer) Seal(dst, plain []byte) ([]byte, error) {
	return s.seal(s.keys[0], dst, plain)
}

func (s *secureCookieSealer) seal(key *secureCookieKey, dst, plain []byte) ([]byte, error) {
	d := key.desks.Get().(*desk)
	defer key.desks.Put(d)
	enc := base64.URLEncoding
	message := append(append(d.message[:0], s.name...), '|')
	start := len(message) // the name does not travel
	message = strconv.AppendInt(message, time.Now().Unix(), 10)
	message = append(message, '|')

	size := 1 + len(plain)
	if key.block != nil {
		size += aes.BlockSize
	}
	if n := enc.EncodedLen(len(message) - start + enc.EncodedLen(size) + 1 + sha256.Size); n > s.maxLen {
		return nil, &TooLargeError{What: "cookie", Size: len(s.name) + n, Limit: s.maxLen + len(s.name)}
	}
	body := d.body[:0]
	if key.block != nil {
		body = slices.Grow(body, aes.BlockSize)[:aes.BlockSize]
		rand.Read(body)
	}
	body = append(append(body, sealVersion), plain...)
	if key.block != nil {
		iv, content := body[:aes.BlockSize], body[aes.BlockSize:]
		cipher.NewCTR(key.block, iv).XORKeyStream(content, content)
	}
	message = enc.AppendEncode(message, body)
	sum := d.sign(message)
	message = append(append(message, '|'), sum...)
	d.message, d.body = message, body
	return enc.AppendEncode(dst, message[start:]), nil
}

func (s *secureCookieSealer) Open(dst []byte, value string) ([]byte, bool, error) {
	if len(value) == 0 || len(value) > s.maxLen {
		return nil, false, errSeal
	}
	for i, key := range s.keys {
		if plain, ok := s.open(key, dst, value); ok {
			return plain, i > 0, nil
		}
	}
	return nil, false, errSeal
}

func (s *secureCookieSealer) open(key *secureCookieKey, dst []byte, value string) (plain []byte, ok bool) {
	d := key.desks.Get().(*desk)
	defer key.desks.Put(d)

	// The name in front of the text, as the MAC covers it.
	message := append(append(d.message[:0], s.name...), '|')
	start := len(message)
	message, ok = appendCanonical(message, paddedStrict, value)
	d.message = message
	if !ok {
		return nil, false
	}
	text := message[start:]
	dateEnd := bytes.IndexByte(text, '|')
	if dateEnd < 0 {
		return nil, false
	}
	bodyEnd := bytes.IndexByte(text[dateEnd+1:], '|')
	if bodyEnd < 0 {
		return nil, false
	}
	bodyEnd += dateEnd + 1
	date, body, sum := text[:dateEnd], text[dateEnd+1:bodyEnd], text[bodyEnd+1:]
	if !hmac.Equal(sum, d.sign(message[:start+bodyEnd])) {
		return nil, false
	}
	// From here on, it was sealed with this key.
	sealed, err := strconv.ParseInt(string(date), 10, 64)
	if err != nil || s.maxAge != 0 && sealed < time.Now().Unix()-s.maxAge {
		return nil, false
	}
	n, err := base64.URLEncoding.Decode(body, body)
	if err != nil {
		return nil, false
	}
	content := body[:n]
	if key.block != nil {
		if n < aes.BlockSize {
			return nil, false
		}
		content = body[aes.BlockSize:n]
		cipher.NewCTR(key.block, body[:aes.BlockSize]).XORKeyStream(content, content)
	}
	if len(content) < 1 || content[0] != sealVersion {
		return nil, false
	}
	return append(dst, content[1:]...), true
}

// agrees has the library open what the sealer made and the other way round, so
// that no build runs in which they are not one format.
func (s *secureCookieSealer) agrees(key *secureCookieKey, reference *securecookie.SecureCookie) error {
	reference.SetSerializer(securecookie.NopEncoder{}) // no gob near a client's bytes
	reference.MaxAge(int(s.maxAge))
	reference.MaxLength(s.maxLen)
	probe := []byte("\x01probe")
	ours, err := s.seal(key, nil, probe[1:])
	if err != nil {
		return err
	}
	var back []byte
	if err := reference.Decode(s.name, string(ours), &back); err != nil || !bytes.Equal(back, probe) {
		return fmt.Errorf("%w: securecookie does not open what the sealer sealed", ErrConfig)
	}
	theirs, err := reference.Encode(s.name, bytes.Clone(probe)) // it encrypts in place
	if err != nil {
		return err
	}
	if plain, ok := s.open(key, nil, theirs); !ok || !bytes.Equal(plain, probe[1:]) {
		return fmt.Errorf("%w: the sealer does not open what securecookie sealed", ErrConfig)
	}
	return nil
}
