package cookiestore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

var sealers = []struct {
	name string
	make func(core.SealConfig) (core.Sealer, error)
}{
	{"SecureCookie", core.SecureCookie},
	{"AESGCM", core.AESGCM},
}

func sealedBy(make func(core.SealConfig) (core.Sealer, error)) func(*site, *core.Config) {
	return func(_ *site, cfg *core.Config) { cfg.Sealer = make }
}

func withSecrets(secrets ...core.Secret) func(*site, *core.Config) {
	return func(_ *site, cfg *core.Config) { cfg.Secrets = secrets }
}

// Fails without Pack or Unpack: everything travels in the cookie, so a second
// process with the same secret knows the session as well as the first.
func TestRoundTrip(t *testing.T) {
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			a := newSite(t, sealedBy(sealer.make))
			b := newSite(t, sealedBy(sealer.make), withSecrets(a.secret))
			cookie := a.use("", func(s *core.Session) {
				s.Login("user-42")
				s.Set("n", int64(7))
				s.Set("list", []string{"a", "b"})
				s.Namespace("shop").Set("cart", "full")
				s.SetIdleTimeout(time.Hour)
			}).ok().sets()
			var first core.ID
			for range 2 {
				b.use(cookie, func(s *core.Session) {
					n, _ := s.Get("n")
					l, _ := s.Get("list")
					cart, _ := s.Namespace("shop").Get("cart")
					got := fmt.Sprintf("%v %v %v %v %v %v %v %v", s.User(), n, l, cart, s.IdleTimeout(), s.LoginAt().Equal(a.clock.Now()), s.CreatedAt().Equal(a.clock.Now()), s.IsNew())
					if want := "user-42 7 [a b] full 1h0m0s true true false"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					if first.IsZero() {
						first = s.ID()
					}
					if s.ID() != first || first.IsZero() {
						t.Errorf("the ID is %v, was %v", s.ID(), first)
					}
				}).ok().silent()
			}
		})
	}
}

// Fails if refresh sets the cookie without asking wantsTouch, or never: idle
// time is counted from the last touch.
func TestReadingSetsACookieOnlyToTouch(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		s.use("", func(s *core.Session) { s.Get("k"); s.User(); s.Delete("k"); s.Clear(); s.Destroy() }).ok().silent()
		cookie := s.begin()
		s.send(cookie, func(w http.ResponseWriter, _ *core.Session) { io.WriteString(w, "ok") }).ok().silent()
		s.use(cookie, func(s *core.Session) { s.Get("k"); s.Set("k", "v") }).ok().silent()
		s.clock.Advance(3 * time.Minute) // the interval, not more
		s.use(cookie, func(s *core.Session) { s.Get("k") }).ok().silent()
		s.clock.Advance(time.Millisecond)
		touched := s.use(cookie, func(s *core.Session) { s.Get("k") }).ok().sets()
		s.use(touched, func(s *core.Session) { s.Get("k") }).ok().silent()

		s.clock.Advance(28 * time.Minute) // 31 since the session began
		s.refuses(cookie, core.ReasonExpired)
		if got := s.get(touched, "k"); got != "v" {
			t.Errorf("the touched cookie holds %v", got)
		}
	})
}

// decodings returns everything that base64, applied again and again to the
// text or to the parts between its separators, makes of it.
func decodings(text string) []string {
	seen := map[string]bool{}
	var out []string
	var walk func(s string, depth int)
	walk = func(s string, depth int) {
		if seen[s] || depth > 6 || len(s) < 4 {
			return
		}
		seen[s] = true
		out = append(out, s)
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := enc.DecodeString(s); err == nil {
				walk(string(b), depth+1)
			}
		}
		for _, sep := range []string{"|", ".", "=", "&"} {
			if parts := strings.Split(s, sep); len(parts) > 1 {
				for _, part := range parts {
					walk(part, depth+1)
				}
			}
		}
	}
	walk(text, 0)
	return out
}

// Fails if core.New makes the sealer of a carrier without Encrypt (security
// A8): a signed cookie shows the canary at the second decoding.
func TestContentIsHidden(t *testing.T) {
	const canary = "canary-4711"
	shows := func(cookie string) bool {
		for _, text := range decodings(value(cookie)) {
			if strings.Contains(text, canary) {
				return true
			}
		}
		return false
	}
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			s := newSite(t, sealedBy(sealer.make))
			cookie := s.use("", func(s *core.Session) { s.Login(canary); s.Set(canary, strings.Repeat(canary, 20)) }).ok().sets()
			if shows(cookie) {
				t.Errorf("the canary can be read in %s", cookie)
			}
		})
	}
	// What the search would find is there to be found.
	signed, err := core.SecureCookie(core.SealConfig{Secrets: []core.Secret{core.GenerateSecret()}, Name: "c", MaxLen: 4000, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := signed.Seal(nil, []byte("x"+canary))
	if err != nil || !shows("c="+string(sealed)) {
		t.Errorf("the search does not find what is only signed: %v", err)
	}
}

// Fails without an ID in the record and a random IV in the seal (security
// E11).
func TestEqualLoginsGiveDifferentCookies(t *testing.T) {
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			s := newSite(t, sealedBy(sealer.make))
			cookies, ids := map[string]bool{}, map[core.ID]bool{}
			for range 100 {
				cookie := s.login("user-42")
				cookies[cookie] = true
				s.use(cookie, func(s *core.Session) { ids[s.ID()] = true })
			}
			if len(cookies) != 100 || len(ids) != 100 {
				t.Errorf("100 logins at one moment gave %d cookies and %d IDs", len(cookies), len(ids))
			}
		})
	}
}

// Fails if the sealer's limit leaves the name out, or if update seals after it
// stores (security F9, H3).
func TestTooLarge(t *testing.T) {
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			s := newSite(t, sealedBy(sealer.make), revocable)
			before := s.use("", func(s *core.Session) { s.Set("k", "before") }).ok().sets()
			fitted, refused := 0, 0
			for n := 1000; n <= 10_000; n += 83 {
				big := strings.Repeat("x", n)
				r := s.use(before, func(s *core.Session) { s.Set("big", big); s.Regenerate() })
				if r.code == http.StatusOK {
					if size := len(r.sets()) - len("="); size > 4096 {
						t.Fatalf("%d bytes: the cookie has %d", n, size)
					}
					fitted = n
					before = s.use("", func(s *core.Session) { s.Set("k", "before") }).ok().sets()
					continue
				}
				refused++
				r.status(http.StatusInternalServerError).silent()
				var tooLarge *core.TooLargeError
				if err := s.failure(); !errors.As(err, &tooLarge) {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if tooLarge.What != "cookie" || tooLarge.Limit != 4096 || tooLarge.Size <= 4096 || tooLarge.Size > 2*n {
					t.Errorf("%d bytes: %+v", n, tooLarge)
				}
				if got := s.get(before, "k"); got != "before" {
					t.Fatalf("%d bytes: the earlier data is now %v", n, got)
				}
			}
			if refused == 0 || fitted == 0 {
				t.Errorf("%d fitted, %d were refused", fitted, refused)
			}
			// The package's documentation promises this much.
			want := map[string]int{"SecureCookie": 2100, "AESGCM": 2900}[sealer.name]
			s.use("", func(s *core.Session) { s.Login("user-42"); s.Set("big", strings.Repeat("x", want-len("big")-5)) }).ok().sets()
		})
	}
}

// Fails if judge does not ask Record.expired: a client keeps a cookie as long
// as it likes.
func TestLimitsHold(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		idle := s.begin()
		s.clock.Advance(30*time.Minute - time.Millisecond)
		if s.get(idle, "k") != "v" {
			t.Error("ended before its idle limit")
		}
		s.clock.Advance(time.Millisecond)
		s.refuses(idle, core.ReasonExpired)

		busy := s.begin()
		for range 24*3 - 1 {
			s.clock.Advance(20 * time.Minute)
			busy = s.use(busy, func(s *core.Session) {
				if v, _ := s.Get("k"); v != "v" {
					t.Fatal("ended before its absolute limit")
				}
			}).ok().sets()
		}
		s.clock.Advance(20 * time.Minute)
		s.refuses(busy, core.ReasonExpired)
	})
}

// Fails without the check against maxSkew in openCarried (security D5).
func TestRecordFromTheFutureIsRefused(t *testing.T) {
	ahead := newSite(t)
	here := newSite(t, withSecrets(ahead.secret))
	ahead.clock.Advance(time.Minute)
	if here.get(ahead.begin(), "k") != "v" {
		t.Error("a clock that is a minute ahead is within what clocks do")
	}
	ahead.clock.Advance(time.Millisecond)
	here.refuses(ahead.begin(), core.ReasonMalformed)

	// A session that was created here and used there.
	cookie := here.begin()
	cookie = ahead.use(cookie, func(s *core.Session) { s.Set("k", "w") }).ok().sets()
	here.refuses(cookie, core.ReasonMalformed)
}

// Fails if openCarried drops the sealer's "old", or refresh does not seal anew
// (security E5, E6).
func TestSecretRotation(t *testing.T) {
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			one, two := core.GenerateSecret(), core.GenerateSecret()
			seal := sealedBy(sealer.make)
			old, both, only := newSite(t, seal, withSecrets(one)), newSite(t, seal, withSecrets(two, one)), newSite(t, seal, withSecrets(two))

			cookie := old.begin()
			only.refuses(cookie, core.ReasonSeal)
			renewed := both.use(cookie, func(s *core.Session) {
				if v, _ := s.Get("k"); v != "v" {
					t.Error("the older secret opens nothing")
				}
			}).ok().sets()
			if only.get(renewed, "k") != "v" {
				t.Error("not sealed with the newer secret")
			}
			old.refuses(renewed, core.ReasonSeal)
			both.use(renewed, func(s *core.Session) { s.Get("k") }).ok().silent()
			both.send(cookie, func(w http.ResponseWriter, _ *core.Session) { io.WriteString(w, "ok") }).ok().silent()
		})
	}
}

// Fails if the sealer's keys do not depend on Encrypt (security E9). The
// version byte in the seal would still refuse all but one signed value in 256
// or so, hence the many.
func TestSignedValueIsRefused(t *testing.T) {
	for _, sealer := range sealers {
		t.Run(sealer.name, func(t *testing.T) {
			s := newSite(t, sealedBy(sealer.make))
			now := s.clock.Now()
			store := cookiestore.New(cookiestore.Config{})
			rec := core.Record{
				Version: 1, Generation: 1, User: "mallory", CreatedAt: now, LastAccess: now,
				ExpiresAt: now.Add(time.Hour), IdleTimeout: time.Hour, Deadline: now.Add(time.Hour), Horizon: now.Add(time.Hour),
			}
			for _, encrypt := range []bool{false, true} {
				box, err := sealer.make(core.SealConfig{Secrets: []core.Secret{s.secret}, Name: "__Host-session", Encrypt: encrypt, MaxLen: 4000, MaxAge: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				seal := func(i int) string {
					rec.ID = core.ID{1, byte(i), byte(i >> 8)}
					packed, err := store.Pack(rec)
					if err != nil {
						t.Fatal(err)
					}
					sealed, err := box.Seal(nil, packed)
					if err != nil {
						t.Fatal(err)
					}
					return "__Host-session=" + string(sealed)
				}
				if encrypt { // the one difference that matters
					if user := s.user(seal(0)); user != "mallory" {
						t.Errorf("the encrypted value opens a session of %q", user)
					}
					continue
				}
				for i := range 3000 {
					s.refuses(seal(i), core.ReasonSeal)
				}
			}
		})
	}
}

func TestForeignAndDamagedCookiesAreRefused(t *testing.T) {
	s := newSite(t)
	cookie := s.begin()
	s.refuses(newSite(t).begin(), core.ReasonSeal)
	s.refuses("__Host-session=", core.ReasonMalformed)
	s.refuses("__Host-session=%00", core.ReasonMalformed)
	s.refuses(cookie[:len(cookie)-8], core.ReasonSeal)
	for _, c := range []byte("AB") { // one of them is another character
		if at := len(cookie) / 2; cookie[at] != c {
			s.refuses(cookie[:at]+string(c)+cookie[at+1:], core.ReasonSeal)
		}
	}
}

// Fails if Store is marked core.ProcessLocal: with random secrets nobody's
// cookie would survive a restart.
func TestNeedsSecrets(t *testing.T) {
	_, err := core.New(core.Config{Store: cookiestore.New(cookiestore.Config{})})
	if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "Secrets") {
		t.Errorf("New without secrets: %v", err)
	}
}

// Fails without the check in Config.withDefaults: a copy of a cookie is
// refused from the moment of the rotation, or never.
func TestGraceIsRefused(t *testing.T) {
	_, err := core.New(core.Config{Store: cookiestore.New(cookiestore.Config{}), Secrets: []core.Secret{core.GenerateSecret()}, RotationGrace: time.Second})
	if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "RotationGrace") {
		t.Errorf("New with RotationGrace: %v", err)
	}
}

// Fails if use lets changes pass after the header was sent: no record is left
// on the server that could take them.
func TestLateChangeIsAnError(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		cookie := s.begin()
		var err error
		s.send(cookie, func(w http.ResponseWriter, session *core.Session) {
			session.Get("k")
			io.WriteString(w, "ok")
			session.Set("k", "late")
			err = session.Err()
		}).ok().silent()
		if !errors.Is(err, core.ErrLate) {
			t.Errorf("Err after a late change: %v", err)
		}
		if got := s.get(cookie, "k"); got != "v" {
			t.Errorf("the value is now %v", got)
		}
	})
}

func TestFailedAnswerChangesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		cookie := s.begin()
		r := s.send(cookie, func(w http.ResponseWriter, s *core.Session) {
			s.Login("user-42")
			w.WriteHeader(http.StatusBadGateway)
		})
		if r.code != http.StatusBadGateway || r.line != "" {
			t.Errorf("answer %d, cookie %q", r.code, r.line)
		}
		if got := s.get(cookie, "k"); got != "v" || s.user(cookie) != "" {
			t.Errorf("the session now holds %v, of %q", got, s.user(cookie))
		}
	})
}

// The documentation's plain noes (security E12). A browser keeps one cookie:
// these tests show what a copy of another does.
func TestWhatACookieCannotDo(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		// Rollback: an older cookie serves older data.
		one := s.use("", func(s *core.Session) { s.Set("n", 1) }).ok().sets()
		two := s.use(one, func(s *core.Session) { s.Set("n", 2) }).ok().sets()
		if s.get(one, "n") != int64(1) || s.get(two, "n") != int64(2) {
			t.Errorf("older cookie %v, newer cookie %v", s.get(one, "n"), s.get(two, "n"))
		}
		// Concurrent writes: the cookie that the browser keeps is all there is.
		a := s.use(one, func(s *core.Session) { s.Set("a", 1) }).ok().sets()
		b := s.use(one, func(s *core.Session) { s.Set("b", 1) }).ok().sets()
		if s.get(a, "b") != nil || s.get(b, "a") != nil || s.get(b, "b") != int64(1) {
			t.Errorf("a knows b = %v, b knows a = %v", s.get(a, "b"), s.get(b, "a"))
		}
		// A value popped once is popped again from an older cookie.
		for range 2 {
			s.use(one, func(s *core.Session) {
				if v, ok := s.Pop("n"); v != int64(1) || !ok {
					t.Errorf("popped %v, %t", v, ok)
				}
				s.Set("rest", true)
			}).ok().sets()
		}
		// Nothing can be listed or looked up.
		ctx := context.Background()
		var id core.ID
		s.use(one, func(s *core.Session) { id = s.ID() })
		_, errUser := s.m.UserSessions(ctx, "u")
		_, errRevoke := s.m.RevokeUser(ctx, "u")
		_, errCount := s.m.Count(ctx)
		_, errExists := s.m.Exists(ctx, id)
		_, errLoad := s.m.Load(ctx, id)
		for _, err := range []error{errUser, errRevoke, errCount, errExists, errLoad} {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%v, want ErrUnsupported", err)
			}
		}
		for _, err := range s.m.Sessions(ctx) {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Sessions: %v, want ErrUnsupported", err)
			}
		}
	})
}

// Fails if find trusts the first of two sessions, or mixes up the copies of
// one.
func TestTwoCookies(t *testing.T) {
	bothWays(t, func(t *testing.T, s *site) {
		mine, planted := s.login("me"), s.login("mallory")
		for _, header := range []string{mine + "; " + planted, planted + "; " + mine} {
			s.refuses(header, core.ReasonDuplicate)
		}
		older := s.use("", func(s *core.Session) { s.Set("n", 1) }).ok().sets()
		newer := s.use(older, func(s *core.Session) { s.Set("n", 2) }).ok().sets()
		for _, header := range []string{older + "; " + newer, newer + "; " + older} {
			if got := s.get(header, "n"); got != int64(2) {
				t.Errorf("of two copies of a session the one with %v counts", got)
			}
		}
		s.use(mine+"; "+planted, func(s *core.Session) { s.Destroy() }).ok().clears()
	})
}

// The figures pin what a session of five keys and 200 bytes takes, encrypted, name
// and value together. gorilla/sessions needs 648 bytes for its like.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		sealer    func(core.SealConfig) (core.Sealer, error)
		name      string
		goal, pin int
	}{
		{core.SecureCookie, "SecureCookie", 648 * 95 / 100, 542},
		{core.AESGCM, "AESGCM", 648 * 65 / 100, 378},
	} {
		t.Run(c.name, func(t *testing.T) {
			spy := &packs{Store: cookiestore.New(cookiestore.Config{})}
			s := newSite(t, sealedBy(c.sealer), func(_ *site, cfg *core.Config) { cfg.Store = spy })
			cookie := s.use("", func(s *core.Session) { s.Login("user-42"); fill(s) }).ok().sets()
			size := len(cookie) - len("=")
			t.Logf("%d bytes of content, a record of %d, a cookie of %d", len(spy.last.Values), spy.size, size)
			if n := len(spy.last.Values); n < 195 || n > 205 {
				t.Fatalf("the content has %d bytes, want about 200", n)
			}
			if size > c.goal || size != c.pin {
				t.Errorf("the cookie has %d bytes, want %d, and at most %d", size, c.pin, c.goal)
			}
		})
	}
}

// packs remembers what was packed last.
type packs struct {
	*cookiestore.Store
	last core.Record
	size int
}

func (p *packs) Pack(rec core.Record) ([]byte, error) {
	data, err := p.Store.Pack(rec)
	p.last, p.size = rec, len(data)
	return data, err
}
