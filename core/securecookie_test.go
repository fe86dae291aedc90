package core

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"
)

// reference is gorilla/securecookie itself, with the keys of the sealer.
func reference(tb testing.TB, cfg SealConfig, secret Secret) (codec *securecookie.SecureCookie, mac []byte) {
	tb.Helper()
	purpose := "sign"
	if cfg.Encrypt {
		purpose = "encrypt"
	}
	mac, err := secret.derive("securecookie mac", purpose, cfg.Name)
	if err != nil {
		tb.Fatal(err)
	}
	var block []byte
	if cfg.Encrypt {
		if block, err = secret.derive("securecookie block", purpose, cfg.Name); err != nil {
			tb.Fatal(err)
		}
	}
	codec = securecookie.New(mac, block)
	codec.SetSerializer(securecookie.NopEncoder{})
	codec.MaxAge(int(cfg.MaxAge / time.Second))
	codec.MaxLength(cfg.MaxLen)
	return codec, mac
}

// referenceOpen is what the sealer must answer: the library opens the value,
// it is in canonical form, and the version is known.
func referenceOpen(codec *securecookie.SecureCookie, name, value string) (plain []byte, ok bool) {
	raw, err := base64.URLEncoding.DecodeString(value)
	if err != nil || base64.URLEncoding.EncodeToString(raw) != value {
		return nil, false
	}
	if codec.Decode(name, value, &plain) != nil || len(plain) < 1 || plain[0] != sealVersion {
		return nil, false
	}
	return plain[1:], true
}

// pair is a sealer and the library with the same keys.
type pair struct {
	cfg    SealConfig
	sealer Sealer
	codec  *securecookie.SecureCookie
	mac    []byte
}

func pairs(tb testing.TB) (ps []pair) {
	for _, encrypt := range []bool{false, true} {
		secret := GenerateSecret()
		cfg := sealConfig(secret)
		cfg.Encrypt = encrypt
		sealer, err := SecureCookie(cfg)
		if err != nil {
			tb.Fatal(err)
		}
		codec, mac := reference(tb, cfg, secret)
		ps = append(ps, pair{cfg, sealer, codec, mac})
	}
	return ps
}

// agree fails unless the sealer answers as the library does.
func (p pair) agree(tb testing.TB, value string) (opened bool) {
	tb.Helper()
	want, ok := referenceOpen(p.codec, p.cfg.Name, value)
	got, _, err := p.sealer.Open(nil, value)
	if (err == nil) != ok || !bytes.Equal(got, want) {
		tb.Fatalf("encrypt=%v, value %q: opened %q, err %v; the library %q, %v", p.cfg.Encrypt, value, got, err, want, ok)
	}
	return ok
}

// Fails if the sealer and gorilla/securecookie are no longer one format.
func TestSecureCookieFormat(t *testing.T) {
	for _, p := range pairs(t) {
		for size := 0; size < 2300; size++ {
			if size == 100 {
				size = 2200 // where values become too long
			}
			plain := make([]byte, size)
			rand.Read(plain)
			ours, err := p.sealer.Seal([]byte("prefix"), plain)
			theirs, theirErr := p.codec.Encode(p.cfg.Name, append([]byte{sealVersion}, plain...))
			if (err == nil) != (theirErr == nil) {
				t.Fatalf("size %d: Seal %v, the library %v", size, err, theirErr)
			}
			if err != nil {
				continue
			}
			if len(ours) != len("prefix")+len(theirs) {
				t.Fatalf("size %d: sealed to %d bytes, the library to %d", size, len(ours)-len("prefix"), len(theirs))
			}
			for from, value := range map[string]string{"ours": string(ours[len("prefix"):]), "the library's": theirs} {
				if !p.agree(t, value) {
					t.Fatalf("size %d: %s does not open", size, from)
				}
				if back, _, _ := p.sealer.Open(nil, value); !bytes.Equal(back, plain) {
					t.Fatalf("size %d: %s opened to something else", size, from)
				}
			}
		}
	}
}

// Values that only the holder of the key can make must be judged alike too,
// or two releases of the library would not be.
func (p pair) signed(date, body, tail string) string {
	message := date + "|" + body
	h := hmac.New(sha256.New, p.mac)
	h.Write([]byte(p.cfg.Name + "|" + message))
	return base64.URLEncoding.EncodeToString(append([]byte(message+"|"), string(h.Sum(nil))+tail...))
}

func FuzzSecureCookieSigned(f *testing.F) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	enc := base64.URLEncoding.EncodeToString
	for _, date := range []string{now, "0", "-1", "+" + now, "0" + now, "", " " + now, "1e9", "0x6", "99999999999999999999", "9223372036854775807", "1_0", now + "|"} {
		f.Add(date, enc([]byte("\x01content")), "")
	}
	for _, body := range []string{"", "AQ", "AQ==", "AR==", "A\nQ==", "A\r\nQ==\n", "AQ==|", "|", "AQ=", "====", enc([]byte("\x02x")), enc(make([]byte, 16)), enc(make([]byte, 17)), enc([]byte{1})} {
		f.Add(now, body, "")
	}
	f.Add(now, enc([]byte("\x01content")), "x")
	f.Add(now, enc([]byte("\x01content")), "|")
	ps := pairs(f)
	f.Fuzz(func(t *testing.T, date, body, tail string) {
		for _, p := range ps {
			p.agree(t, p.signed(date, body, tail))
		}
	})
}

func FuzzSecureCookieOpen(f *testing.F) {
	ps := pairs(f)
	for _, p := range ps {
		for _, plain := range []string{"", "x", "content"} {
			v, err := p.sealer.Seal(nil, []byte(plain))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(v), 0, byte(0))
			f.Add(string(v), 20, byte('A'))
			f.Add(string(v), len(v), byte('\n'))
			f.Add(string(v), 40, byte('|'))
		}
	}
	f.Fuzz(func(t *testing.T, value string, at int, b byte) {
		for _, p := range ps {
			p.agree(t, value)
			if n := len(value) + 1; n > 0 && b != 0 {
				at := ((at % n) + n) % n
				p.agree(t, value[:at]+string(rune(b))+value[at:])
				if at < len(value) {
					p.agree(t, value[:at]+string(rune(b))+value[at+1:])
				}
			}
			// What is behind the outer encoding, damaged and encoded again.
			raw, err := base64.URLEncoding.DecodeString(value)
			if err == nil && len(raw) > 0 {
				raw[((at%len(raw))+len(raw))%len(raw)] ^= b
				p.agree(t, base64.URLEncoding.EncodeToString(raw))
			}
		}
	})
}

// Fails if the backstop against old values goes, or is not the library's.
func TestSecureCookieAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range pairs(t) {
			value := mustSeal(t, p.sealer, []byte("x"))
			for _, step := range []struct {
				wait time.Duration
				want bool
			}{{MaxLifetime - time.Hour, true}, {time.Hour, true}, {time.Second, false}, {time.Hour, false}} {
				time.Sleep(step.wait)
				if opened := p.agree(t, value); opened != step.want {
					t.Fatalf("opened %v after %v more, want %v", opened, step.wait, step.want)
				}
			}
		}
	})
}

// Many at once, of several sizes, through one sealer: fails under -race, or by
// mixing values up, if what one is worked on with is shared.
func TestSecureCookieConcurrent(t *testing.T) {
	for _, p := range pairs(t) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 300 {
					plain := bytes.Repeat([]byte{byte(g)}, 1+(i*37+g*11)%1500)
					value, err := p.sealer.Seal(nil, plain)
					if err != nil {
						t.Error(err)
						return
					}
					back, _, err := p.sealer.Open(nil, string(value))
					if err != nil || !bytes.Equal(back, plain) {
						t.Errorf("goroutine %d got %d bytes back, err %v", g, len(back), err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// What Open and Seal return must be the caller's: fails if it is part of what
// the next value is worked on with.
func TestSecureCookieOwnership(t *testing.T) {
	for _, p := range pairs(t) {
		first, _ := p.sealer.Seal(nil, []byte("first"))
		kept := string(first)
		opened, _, _ := p.sealer.Open(nil, kept)
		for range 100 {
			v := mustSeal(t, p.sealer, []byte("other"))
			p.sealer.Open(nil, v)
		}
		if string(first) != kept || string(opened) != "first" {
			t.Fatalf("later values changed earlier ones: %q, %q", first, opened)
		}
	}
}
