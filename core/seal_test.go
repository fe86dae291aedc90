package core

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

var sealers = map[string]func(SealConfig) (Sealer, error){"securecookie": SecureCookie, "aesgcm": AESGCM}

func sealConfig(secrets ...Secret) SealConfig {
	return SealConfig{Secrets: secrets, Name: "__Host-session", MaxLen: maxCookie - 14, MaxAge: MaxLifetime}
}

func forSealers(t *testing.T, f func(t *testing.T, name string, make func(SealConfig) Sealer)) {
	for name, fn := range sealers {
		for _, encrypt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/encrypt=%v", name, encrypt), func(t *testing.T) {
				f(t, name, func(cfg SealConfig) Sealer {
					cfg.Encrypt = encrypt
					s, err := fn(cfg)
					if err != nil {
						t.Fatal(err)
					}
					return s
				})
			})
		}
	}
}

func mustSeal(t *testing.T, s Sealer, plain []byte) string {
	t.Helper()
	v, err := s.Seal(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func TestSealRoundTrip(t *testing.T) {
	forSealers(t, func(t *testing.T, _ string, mk func(SealConfig) Sealer) {
		s := mk(sealConfig(GenerateSecret()))
		for _, size := range []int{0, 1, 15, 16, 17, 31, 32, 33, 200, 1000, 2000} {
			plain := make([]byte, size)
			rand.Read(plain)
			before := bytes.Clone(plain)
			value := mustSeal(t, s, plain)
			// Fails if the library's in-place encryption reaches the caller's bytes.
			if !bytes.Equal(plain, before) {
				t.Fatalf("size %d: Seal changed its argument", size)
			}
			got, old, err := s.Open([]byte("prefix"), value)
			if err != nil || old || !bytes.Equal(got, append([]byte("prefix"), plain...)) {
				t.Fatalf("size %d: opened %d bytes, old %v, err %v", size, len(got), old, err)
			}
			if unsealed(value) != ReasonSeal {
				t.Fatalf("size %d: %q would be called malformed", size, value)
			}
		}
	})
}

// Fails if appendCanonical takes what encoding/base64 does: there are other
// spellings of the same value.
func TestSealTamper(t *testing.T) {
	forSealers(t, func(t *testing.T, _ string, mk func(SealConfig) Sealer) {
		s := mk(sealConfig(GenerateSecret()))
		for size := 30; size < 36; size++ {
			value := mustSeal(t, s, make([]byte, size))
			bad := func(what, v string) {
				t.Helper()
				if _, _, err := s.Open(nil, v); !errors.Is(err, errSeal) {
					t.Fatalf("size %d, %s: err = %v", size, what, err)
				}
			}
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
			for i := range len(value) {
				for _, c := range alphabet {
					if v := value[:i] + string(c) + value[i+1:]; v != value {
						bad(fmt.Sprintf("byte %d", i), v)
					}
				}
				bad("cut", value[:i])
				bad("cut front", value[i+1:])
				bad("line break", value[:i]+"\n"+value[i:])
				bad("carriage return", value[:i]+"\r"+value[i:])
			}
			for _, tail := range []string{"=", "==", "A", "AA", "AAAA", " ", "\n"} {
				bad("append", value+tail)
			}
			bad("twice", value+value)
			bad("long", strings.Repeat("A", maxCookie))
		}
	})
}

// Fails if the cookie's name leaves the derivation of the key (securecookie
// binds the name besides, so both must go).
func TestSealBinding(t *testing.T) {
	for name, fn := range sealers {
		t.Run(name, func(t *testing.T) {
			secret := GenerateSecret()
			mk := func(cookie string, encrypt bool) Sealer {
				cfg := sealConfig(secret)
				cfg.Name, cfg.Encrypt = cookie, encrypt
				s, err := fn(cfg)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			plain := []byte("a record or a token")
			for _, from := range []Sealer{mk("a", false), mk("a", true)} {
				value := mustSeal(t, from, plain)
				opened := 0
				for _, to := range []Sealer{mk("a", false), mk("a", true), mk("b", false), mk("b", true)} {
					if _, _, err := to.Open(nil, value); err == nil {
						opened++
					}
				}
				if opened != 1 {
					t.Errorf("opened by %d of name x purpose, want only its own", opened)
				}
			}
		})
	}
	a, _ := SecureCookie(sealConfig(GenerateSecret()))
	if _, _, err := a.Open(nil, "QUJD"); err == nil {
		t.Error("opened junk")
	}
}

func TestSealRotation(t *testing.T) {
	forSealers(t, func(t *testing.T, _ string, mk func(SealConfig) Sealer) {
		k1, k2 := GenerateSecret(), GenerateSecret()
		first, both, second := mk(sealConfig(k1)), mk(sealConfig(k2, k1)), mk(sealConfig(k2))
		value := mustSeal(t, first, []byte("x"))
		if plain, old, err := both.Open(nil, value); err != nil || !old || string(plain) != "x" {
			t.Errorf("the old secret's value: old %v, err %v", old, err)
		}
		renewed := mustSeal(t, both, []byte("x"))
		if _, old, err := second.Open(nil, renewed); err != nil || old {
			t.Errorf("sealed anew: old %v, err %v; want the newest secret to seal", old, err)
		}
		if _, _, err := first.Open(nil, renewed); err == nil {
			t.Error("the old secret opens what the new one sealed")
		}
		if _, _, err := second.Open(nil, value); err == nil {
			t.Error("a retired secret's value is still opened")
		}
	})
}

func TestSealTooLong(t *testing.T) {
	forSealers(t, func(t *testing.T, _ string, mk func(SealConfig) Sealer) {
		cfg := sealConfig(GenerateSecret())
		s := mk(cfg)
		fits := 0
		for n := 2100; n < 4096; n += 1 + n%3 {
			v, err := s.Seal(nil, make([]byte, n))
			if err == nil {
				if len(cfg.Name)+len(v) > maxCookie {
					t.Fatalf("%d bytes became a cookie of %d", n, len(cfg.Name)+len(v))
				}
				fits = n
				continue
			}
			var large *TooLargeError
			if !errors.As(err, &large) || large.What != "cookie" || large.Limit != maxCookie || large.Size <= maxCookie {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if n > fits+1 && fits == 0 {
				t.Fatal("nothing fits")
			}
		}
		if fits < 2200 {
			t.Errorf("only %d bytes fit", fits)
		}
	})
}

func TestSealEncryptionHides(t *testing.T) {
	for name, fn := range sealers {
		cfg := sealConfig(GenerateSecret())
		cfg.Encrypt = true
		s, err := fn(cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := []byte(mustSeal(t, s, []byte("canary-canary-canary")))
		for range 3 {
			if bytes.Contains(v, []byte("canary")) {
				t.Fatalf("%s: the content can be read", name)
			}
			next, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(v), "="))
			if err != nil {
				break
			}
			v = next
		}
	}
}

func FuzzOpen(f *testing.F) {
	var open []Sealer
	secret := GenerateSecret()
	for _, fn := range sealers {
		for _, encrypt := range []bool{false, true} {
			cfg := sealConfig(secret)
			cfg.Encrypt = encrypt
			s, err := fn(cfg)
			if err != nil {
				f.Fatal(err)
			}
			open = append(open, s)
			v, _ := s.Seal(nil, []byte("seed"))
			f.Add(string(v))
		}
	}
	f.Add("")
	f.Add("MTc=")
	f.Fuzz(func(t *testing.T, v string) {
		n := 0
		for _, s := range open {
			if plain, _, err := s.Open(nil, v); err == nil {
				n++
				if string(plain) != "seed" {
					t.Fatalf("opened a value that was never sealed: %q", plain)
				}
			}
		}
		if n > 1 {
			t.Fatal("several sealers open one value")
		}
	})
}

// appendCanonical must accept exactly what encoding produces.
func FuzzCanonicalBase64(f *testing.F) {
	for _, s := range []string{"", "QQ", "QQ==", "QR==", "QUI", "QUI=", "QUJ=", "QUJD", "Q", "QQ=", "====", "QUJD\n", "QU\r\nJD", "-_-_", "+/+/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for lenient, strict := range map[*base64.Encoding]*base64.Encoding{base64.URLEncoding: paddedStrict, base64.RawURLEncoding: rawStrict} {
			b, err := lenient.DecodeString(s)
			want := err == nil && lenient.EncodeToString(b) == s
			got, ok := appendCanonical([]byte("prefix"), strict, s)
			if ok != want || ok && string(got) != "prefix"+string(b) {
				t.Fatalf("%q: %q, %v, want %q, %v", s, got, ok, b, want)
			}
		}
	})
}

func TestParseSecret(t *testing.T) {
	good := GenerateSecret()
	if back, err := ParseSecret(good.Reveal()); err != nil || back != good {
		t.Fatalf("a generated secret does not parse: %v", err)
	}
	b64 := base64.StdEncoding.EncodeToString
	random := make([]byte, 31)
	rand.Read(random)
	for name, text := range map[string]string{
		"is empty": "", "TrimSpace": good.Reveal() + "\n", "word": "secret", "short": b64(random), "zeros": b64(make([]byte, 32)), "repeated": b64(bytes.Repeat([]byte("a"), 32)),
		"hex as text": b64([]byte("00112233445566778899aabbccddeeff")), "base64 twice": b64([]byte(b64(random))),
		"few distinct": b64(bytes.Repeat([]byte{1, 200, 3, 4}, 16)), "no padding": strings.TrimRight(b64(make([]byte, 32)), "="),
		"line break": good.Reveal()[:10] + "\n" + good.Reveal()[10:],
	} {
		if _, err := ParseSecret(text); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%s: err = %v, want ErrConfig with advice", name, err)
		} else if len(text) > 6 && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error quotes the secret", name)
		} else if (name == "is empty" || name == "TrimSpace") && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the error does not say so: %v", name, err)
		}
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	s := GenerateSecret()
	type holder struct{ S Secret }
	j, _ := json.Marshal(holder{s})
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "list", []Secret{s}, "holder", holder{s})
	text := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v %#v", s, s, s, s, s, s, []Secret{s}, holder{s}, holder{s}) + string(j) + log.String()
	for _, form := range []string{s.key, s.Reveal(), fmt.Sprintf("%x", s.key), fmt.Sprintf("%q", s.key)} {
		if strings.Contains(text, form) {
			t.Fatalf("a secret can be read in %q", text)
		}
	}
}

func BenchmarkSealer(b *testing.B) {
	for name, fn := range sealers {
		for _, size := range []int{32, 250} {
			cfg := sealConfig(GenerateSecret())
			cfg.Encrypt = size > 32
			s, err := fn(cfg)
			if err != nil {
				b.Fatal(err)
			}
			plain := make([]byte, size)
			v, _ := s.Seal(nil, plain)
			value := string(v)
			b.Run(fmt.Sprintf("%s/seal-%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				var buf [1024]byte
				for b.Loop() {
					s.Seal(buf[:0], plain)
				}
			})
			b.Run(fmt.Sprintf("%s/open-%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				var buf [1024]byte
				for b.Loop() {
					s.Open(buf[:0], value)
				}
			})
		}
	}
}
