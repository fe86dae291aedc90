package core_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Security A6, G3, G4; features Q20, W5. Fails if open() asks the store before
// the seal.
func TestJunkNeverReachesTheStore(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	valid := strings.TrimPrefix(c.cookie, "__Host-session=")
	w.store.took()
	for _, junk := range []string{"", "*del*", "x", strings.Repeat("x", 300), "../x", "a'--", "a\\r\\nSET b", "%00", "ü", strings.Repeat("A", 43), strings.Repeat("A", 120),
		strings.Repeat("A", 8192), strings.Repeat("A", 500_000), valid[:len(valid)-1], valid + "A", valid + "=", "=" + valid, valid[1:], strings.ToLower(valid), `"` + valid, valid + " x"} {
		var reason core.Reason
		rec := w.send("__Host-session="+junk, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe(t, "user", s.User(), "")
			reason = s.Rejected()
		})
		mustStatus(t, rec, 200)
		noCookie(t, rec)
		if reason != core.ReasonMalformed && reason != core.ReasonSeal && reason != "" {
			t.Errorf("%.40q: reason %q", junk, reason)
		}
	}
	for i := range len(valid) {
		flipped := []byte(valid)
		flipped[i] = "AB"[btoi(flipped[i] == 'A')]
		w.send("__Host-session="+string(flipped), func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			if string(flipped) != valid {
				mustBe(t, "reason", s.Rejected(), core.ReasonSeal)
			}
		})
	}
	mustBe(t, "calls", w.store.took(), "")
	mustBe(t, "quoted", c.w.send(`__Host-session="`+valid+`"`, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Get("k") }).Code, 200)
	mustBe(t, "calls", w.store.took(), "load")
	for _, form := range []string{"session=" + valid, "__host-session=" + valid, "__Host-session =x; __Host-session2=" + valid, "\u2000__Host-session=" + valid,
		`x="a; __Host-session=` + "B" + `; b=y"`, strings.Repeat("a=;", 3500) + "__Host-session=" + valid} {
		w.send(form, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe(t, form[:min(len(form), 40)], s.Has("k"), false)
		})
	}
	mustBe(t, "calls", w.store.took(), "")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Security G1, G2. Fails if find() stops at the first cookie.
func TestSeveralCookies(t *testing.T) {
	w := newWorld(t)
	login := func(user string) string {
		c := w.client()
		c.use(func(s *core.Session) { s.Login(user) })
		return c.cookie
	}
	mine, planted, dead := login("victim"), login("mallory"), login("gone")
	w.send(dead, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Destroy() })
	for _, tc := range []struct {
		cookies []string
		user    string
		reason  core.Reason
	}{
		{[]string{"__Host-session=junk", mine}, "victim", ""},
		{[]string{mine, "__Host-session=junk"}, "victim", ""},
		{[]string{dead, mine}, "victim", ""},
		{[]string{mine, mine}, "victim", ""},
		{[]string{mine, planted}, "", core.ReasonDuplicate},
		{[]string{planted, mine}, "", core.ReasonDuplicate},
		{[]string{planted, dead, "__Host-session=x", mine, mine}, "", core.ReasonDuplicate},
		{[]string{dead, "__Host-session=x"}, "", core.ReasonUnknown},
	} {
		w.send(strings.Join(tc.cookies, "; "), func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe(t, fmt.Sprint("user of ", len(tc.cookies)), s.User(), tc.user)
			mustBe(t, "reason", s.Rejected(), tc.reason)
		})
	}
	rec := w.send(planted+"; "+mine, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Destroy() })
	if line, _ := sessionCookie(rec); !strings.Contains(line, "Max-Age=0") {
		t.Errorf("logout with two sessions: %q", line)
	}
	mustBe(t, "records after logging both out", w.count(), 0)
}

// Security E5, E6. Fails if refresh() does not seal again.
func TestSecretRotation(t *testing.T) {
	old, next := core.GenerateSecret(), core.GenerateSecret()
	mem := memorystore.New(memorystore.Config{})
	manager := func(secrets ...core.Secret) *world {
		w := newWorld(t, func(c *core.Config) { c.Store = &spy{Store: mem}; c.Secrets = secrets; c.Clock = nil })
		return w
	}
	before, during, after := manager(old), manager(next, old), manager(next)
	c := before.client()
	c.use(func(s *core.Session) { s.Login("u") })
	first := c.cookie
	mustBe(t, "user without the old secret", (&client{after, first}).user(), "")
	c.w = during
	rec := c.use(func(s *core.Session) { s.User() })
	if _, ok := sessionCookie(rec); !ok {
		t.Fatal("a read did not seal the cookie again")
	}
	noCookie(t, c.use(func(s *core.Session) { s.User() }))
	c.w = after
	mustBe(t, "user with the new secret only", c.user(), "u")
	mustBe(t, "user with the old secret only", (&client{before, c.cookie}).user(), "")

	// A slow reader must not send the old token after a login replaced it.
	c = &client{during, first}
	late := during.slow(first, func(*core.Session) {})
	c.use(func(s *core.Session) { s.Login("u") })
	noCookie(t, late())
	mustBe(t, "user", c.user(), "u")
}

// Security H5, peers S9. Fails if judge() lets ErrCorrupt or an unreadable
// content through as an error.
func TestUnreadableRecordIsANewSession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	for _, damage := range []func(r *core.Record, err *error){
		func(r *core.Record, err *error) { *err = fmt.Errorf("row 7: %w", core.ErrCorrupt) },
		func(r *core.Record, _ *error) { r.Values = []byte("\x01\xff\xff") },
		func(r *core.Record, _ *error) { r.Values = []byte("\x09") },
	} {
		w.events()
		c.use(func(s *core.Session) { s.Set("k", 1) })
		cookie := c.cookie
		d := &damaged{Store: w.store.Store, damage: damage}
		w.store.Store = d
		rec := c.use(func(s *core.Session) {
			v, ok := s.Get("k")
			mustBe(t, "value", fmt.Sprint(v, ok), "<nil> false")
			mustBe(t, "reason", s.Rejected(), core.ReasonMalformed)
			mustBe(t, "Err", s.Err(), nil)
			s.Set("k", 2)
		})
		w.store.Store = d.Store
		mustStatus(t, rec, 200)
		mustBe(t, "same cookie", c.cookie == cookie, false)
		mustBe(t, "value of the new session", c.get("k"), any(int64(2)))
		mustBe(t, "events", w.events(), "created, rejected(malformed), created")
		c.cookie = ""
	}
}

type damaged struct {
	core.Store
	damage func(r *core.Record, err *error)
}

func (d *damaged) Unwrap() core.Store { return d.Store }
func (d *damaged) Load(ctx context.Context, id core.ID) (core.Record, error) {
	r, err := d.Store.Load(ctx, id)
	d.damage(&r, &err)
	return r, err
}

func TestCodecs(t *testing.T) {
	for name, codec := range map[string]core.Codec{"cbor": core.CBOR, "json": core.JSON} {
		w := newWorld(t, func(c *core.Config) { c.Codec = codec })
		c := w.client()
		c.use(func(s *core.Session) { s.Set("k", map[string]any{"a": []any{"b", true, nil}}) })
		c.use(func(s *core.Session) {
			v, _ := s.Get("k")
			mustBe(t, name, fmt.Sprint(v), "map[a:[b true <nil>]]")
			mustBe(t, name+" Dirty", s.Dirty(), false)
		})
	}
	// A session of another codec is not misread.
	w := newWorld(t)
	c := w.client()
	secret := core.GenerateSecret()
	mem := memorystore.New(memorystore.Config{})
	for i, codec := range []core.Codec{core.CBOR, core.JSON} {
		w = newWorld(t, func(cfg *core.Config) {
			cfg.Store = &spy{Store: mem}
			cfg.Codec = codec
			cfg.Secrets = []core.Secret{secret}
			cfg.Clock = nil
		})
		c.w = w
		c.use(func(s *core.Session) {
			if i == 1 {
				mustBe(t, "reason", s.Rejected(), core.ReasonMalformed)
			}
			s.Set("k", i)
		})
	}
}

// ownCodec is an application's codec.
type ownCodec struct {
	core.Codec
	encoded, decoded *int
}

func (c ownCodec) Format() byte                  { return 77 }
func (c ownCodec) Marshal(v any) ([]byte, error) { *c.encoded++; return c.Codec.Marshal(v) }
func (c ownCodec) Unmarshal(data []byte, v any) error {
	*c.decoded++
	return c.Codec.Unmarshal(data, v)
}

// Features W50 and F50. Fails if the codec is left out on one of the two ways,
// or if a session of another format is read.
func TestCodecOfOnesOwn(t *testing.T) {
	mem := memorystore.New(memorystore.Config{})
	defer mem.Close()
	secret := core.GenerateSecret()
	manager := func(codec core.Codec) *world {
		return newWorld(t, func(c *core.Config) {
			c.Store, c.Secrets, c.Codec, c.Clock = &spy{Store: mem}, []core.Secret{secret}, codec, nil
		})
	}
	var encoded, decoded int
	own, usual := manager(ownCodec{core.JSON, &encoded, &decoded}), manager(nil)
	c := own.client()
	id := c.begin()
	if encoded == 0 || decoded != 0 {
		t.Errorf("%d values encoded, %d decoded by a Set", encoded, decoded)
	}
	mustBe(t, "value", c.get("k"), any(float64(1))) // as JSON has it
	if decoded == 0 {
		t.Error("no value was decoded by a Get")
	}
	if _, err := usual.m.Load(t.Context(), id); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Load with another codec: %v", err)
	}
	usual.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "value with another codec", s.Has("k"), false)
		mustBe(t, "reason", s.Rejected(), core.ReasonMalformed)
	})
}

// Security H4: no decoder may be made to allocate by what it only claims.
func TestDecoderIsBounded(t *testing.T) {
	deep := make([]byte, 0, 2000)
	for range 1000 {
		deep = append(deep, 0x81)
	}
	for name, data := range map[string][]byte{
		"array of 2^60":  {0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0},
		"map of 2^60":    {0xbb, 0x10, 0, 0, 0, 0, 0, 0, 0},
		"string of 2^60": {0x7b, 0x10, 0, 0, 0, 0, 0, 0, 0},
		"deep":           append(deep, 0),
		"indefinite":     {0x9f, 0x01, 0xff},
		"nested claims":  {0x9b, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0x9b, 0, 0, 0, 0, 0, 0x0a, 0, 0},
	} {
		var v any
		var err error
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = core.CBOR.Unmarshal(data, &v)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if err == nil || allocated > 1<<20 {
			t.Errorf("%s: err %v, %d bytes", name, err, allocated)
		}
	}
}

func FuzzCBOR(f *testing.F) {
	for _, v := range []any{nil, true, 1, -1, 1.5, "x", []byte("x"), []any{1, "a"}, map[string]any{"a": 1}} {
		data, _ := core.CBOR.Marshal(v)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if core.CBOR.Unmarshal(data, &v) != nil {
			return
		}
		again, err := core.CBOR.Marshal(v)
		if err != nil {
			return // a map with keys that are no strings, say
		}
		var back any
		if err := core.CBOR.Unmarshal(again, &back); err != nil {
			t.Fatalf("%x encodes to %x, which does not decode: %v", data, again, err)
		}
	})
}

// Promise 9; security A1, A3, A4. Fails if create() takes any ID but a fresh one.
func TestNeverAdoptsAnIdentifier(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	dead := c.cookie
	c.use(func(s *core.Session) { s.Destroy() })
	c.cookie = dead
	c.use(func(s *core.Session) { s.Set("k", 1) })
	if c.cookie == dead {
		t.Error("a dead token was adopted")
	}
	mustBe(t, "value with the dead token", (&client{w, dead}).get("k"), nil)
	seen := map[string]bool{}
	for range 1000 {
		d := w.client()
		d.use(func(s *core.Session) { s.Set("k", rand.Int()) })
		if seen[d.cookie] {
			t.Fatal("two sessions have the same cookie")
		}
		seen[d.cookie] = true
	}
}

// Features Q5, B34, decision D3: a token of no session is not adopted, and not
// taken from the browser either, since a late answer could take a fresh one.
// Fails if a rejected cookie is cleared.
func TestDeadCookieIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	id := c.begin()
	if _, err := w.m.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	dead := c.cookie
	for range 3 {
		rec := c.use(func(s *core.Session) { mustBe(t, "reason", s.Rejected(), core.ReasonUnknown) })
		mustStatus(t, rec, 200)
		noCookie(t, rec)
	}
	c.use(func(s *core.Session) { s.Set("k", 2) })
	c.use(func(s *core.Session) { mustBe(t, "same ID", s.ID() == id, false) })
	mustBe(t, "same cookie", c.cookie == dead, false)
	ok, err := w.m.Exists(t.Context(), id)
	mustBe(t, "Exists", fmt.Sprint(ok, err), "false <nil>")
}

// overheard is a sealer that keeps what it seals.
type overheard struct {
	core.Sealer
	tokens *[][]byte
}

func (o overheard) Seal(dst, plain []byte) ([]byte, error) {
	*o.tokens = append(*o.tokens, bytes.Clone(plain))
	return o.Sealer.Seal(dst, plain)
}

// Security A7, flaw B22: what the store has does not open a session. Fails if a
// record holds the proof, or a part of it, instead of its hash.
func TestStoreDumpIsNoCredential(t *testing.T) {
	var tokens [][]byte
	w := newWorld(t, func(c *core.Config) {
		c.RotationGrace = 10 * time.Second // so that a record has two proofs
		c.Sealer = func(cfg core.SealConfig) (core.Sealer, error) {
			inner, err := core.SecureCookie(cfg)
			return overheard{inner, &tokens}, err
		}
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	c.use(func(s *core.Session) { s.Regenerate() })
	if len(tokens) != 2 || len(tokens[1]) != 32 {
		t.Fatalf("%d tokens were sealed", len(tokens))
	}
	n := 0
	for rec, err := range w.store.Store.(core.Lister).List(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		mustBe(t, "kept of the proof", rec.Proof, sha256.Sum256(tokens[1][16:]))
		mustBe(t, "kept of the proof before", rec.Previous, sha256.Sum256(tokens[0][16:]))
		dump, _ := rec.MarshalBinary()
		for _, token := range tokens {
			for i := 16; i+4 <= len(token); i++ {
				if bytes.Contains(dump, token[i:i+4]) {
					t.Error("the store holds a part of the proof")
				}
			}
		}
		for _, form := range []string{rec.ID.String(), fmt.Sprintf("%x", rec.Proof), string(dump)} {
			w.send("__Host-session="+form, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
				mustBe(t, "user", s.User(), "")
			})
			if strings.Contains(c.cookie, form) {
				t.Error("the store holds what the cookie holds")
			}
		}
	}
	mustBe(t, "records", n, 1)
}

func TestStoreFailureIsNotLogout(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	w.store.interfere(func(string) error { return errors.New("connection refused by secret-host") })
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		if s.User() == "" {
			rw.WriteHeader(401)
		}
	})
	mustStatus(t, rec, 503)
	noCookie(t, rec)
	mustBe(t, "events", w.events(), "created, login, load failed")
	if strings.Contains(rec.Body.String(), "secret-host") {
		t.Error("the error page shows the engine's error")
	}
	mustStatus(t, c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {}), 200)
	w.store.interfere(nil)
	mustBe(t, "user", c.user(), "u")
}

// Features Q30, Q31, Q32.
func TestHasCookieAndHasSession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	check := func(what, cookies string, hasCookie, hasSession bool) {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", cookies)
		w.store.took()
		mustBe(t, what+": HasCookie", w.m.HasCookie(r), hasCookie)
		mustBe(t, what+": calls", w.store.took(), "")
		got, err := w.m.HasSession(context.Background(), r)
		mustBe(t, what+": HasSession", fmt.Sprint(got, err), fmt.Sprint(hasSession, nil))
	}
	check("none", "other=1", false, false)
	check("garbage", "__Host-session=garbage", true, false)
	check("empty", "__Host-session=", true, false)
	w.clock.Advance(5 * time.Minute)
	check("live", "a=1; "+c.cookie, true, true)
	mustBe(t, "calls of HasSession", w.store.took(), "load")
	w.clock.Advance(time.Hour)
	check("expired", c.cookie, true, false)

	w.store.interfere(func(string) error { return errors.New("down") })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", c.cookie)
	if got, err := w.m.HasSession(context.Background(), r); got || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("with the store down: %v, %v", got, err)
	}
}

// Fails if Destroy leaves the request's header alone, or changes that of the
// request that came in.
func TestCookieIsHiddenAfterDestroy(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	name, _, _ := strings.Cut(c.cookie, "=")
	in := httptest.NewRequest("GET", "/", nil)
	in.Header["Cookie"] = []string{"a=1; " + c.cookie + " ; b=2", c.cookie, "c=3"}
	w.m.Serve(httptest.NewRecorder(), in, func(_ http.ResponseWriter, r *http.Request) {
		mustBe(t, "before", w.m.HasCookie(r), true)
		core.Get(r.Context()).Destroy()
		mustBe(t, "HasCookie", w.m.HasCookie(r), false)
		if _, err := r.Cookie(name); !errors.Is(err, http.ErrNoCookie) {
			t.Errorf("Cookie: %v", err)
		}
		mustBe(t, "the others", strings.Join(r.Header["Cookie"], "|"), "a=1; b=2|c=3")
	})
	mustBe(t, "the request that came in", w.m.HasCookie(in), true)
}

// Fails if the values of a store that is ProcessLocal, which are not checked
// any further, are read by another codec than wrote them: a snapshot may be
// restored under another configuration.
func TestLocalStoreOfAnotherCodec(t *testing.T) {
	mem := memorystore.New(memorystore.Config{})
	defer mem.Close()
	secret := core.GenerateSecret()
	for i, codec := range []core.Codec{core.CBOR, core.JSON} {
		m := core.MustNew(core.Config{Store: mem, Secrets: []core.Secret{secret}, Codec: codec})
		other := core.MustNew(core.Config{Store: mem, Secrets: []core.Secret{secret}, Codec: []core.Codec{core.JSON, core.CBOR}[i]})
		first := httptest.NewRecorder()
		m.Serve(first, httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) { core.Get(r.Context()).Set("k", 1) })
		cookie, _ := sessionCookie(first)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", cookie)
		var here, there any
		var reason core.Reason
		m.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) { here, _ = core.Get(r.Context()).Get("k") })
		other.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
			there, _ = core.Get(r.Context()).Get("k")
			reason = core.Get(r.Context()).Rejected()
		})
		mustBe(t, "value", fmt.Sprint(here), "1")
		mustBe(t, "value under another codec", there, nil)
		mustBe(t, "reason", reason, core.ReasonMalformed)
	}
}

// A cookie that was refused leaves nothing behind for the next. Fails if find
// does not begin each candidate anew: the event would name the session of
// another cookie.
func TestRefusedCookieLeavesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	d := &damaged{Store: w.store.Store, damage: func(r *core.Record, _ *error) { r.Values = []byte("\x09") }}
	w.store.Store = d
	w.evs = nil
	w.send(c.cookie+"; __Host-session=junk", func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "reason", s.Rejected(), core.ReasonSeal)
	})
	mustBe(t, "events", len(w.evs), 1)
	mustBe(t, "ID of what no seal opens", w.evs[0].ID, core.ID{})
}

// Two sessions of which neither is used are no one's: the event names none, nor
// what was refused before. Fails if find keeps what it would have told.
func TestDuplicateEventNamesNoSession(t *testing.T) {
	w := newWorld(t)
	login := func(user string) *client {
		c := w.client()
		c.use(func(s *core.Session) { s.Login(user) })
		return c
	}
	a, b := login("a"), login("b")
	rotated := a.cookie
	a.use(func(s *core.Session) { s.Regenerate() })
	w.evs = nil
	w.send(rotated+"; "+a.cookie+"; "+b.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.User() })
	mustBe(t, "events", len(w.evs), 1)
	mustBe(t, "event", w.evs[0], core.Event{Kind: core.EventRejected, Reason: core.ReasonDuplicate})
	w.evs = nil
	w.send(rotated, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.User() })
	mustBe(t, "ID of what was rotated out", w.evs[0].ID.IsZero(), false)
}

// Of two cookies of one session, it is sealed again only if the one in use, and
// every other of the same token, is under an old secret. Fails if find looks at
// the first or the last cookie alone.
func TestResealOfTwoCookies(t *testing.T) {
	old, next := core.GenerateSecret(), core.GenerateSecret()
	clock := newClock()
	mem := memorystore.New(memorystore.Config{Clock: clock.Now})
	defer mem.Close()
	manager := func(secrets ...core.Secret) *world {
		return newWorld(t, func(c *core.Config) {
			c.Store, c.Secrets, c.Clock, c.RotationGrace = mem, secrets, clock.Now, 10*time.Second
		})
	}
	before, during := manager(old), manager(next, old)
	c := before.client()
	c.use(func(s *core.Session) { s.Login("u") })
	replaced := c.cookie // may read for a while
	c.use(func(s *core.Session) { s.Regenerate() })
	underOld := c.cookie
	c.w = during
	c.use(func(s *core.Session) { s.User() })
	underNext := c.cookie
	for _, tc := range []struct {
		name    string
		cookies []string
		again   bool
	}{
		{"old", []string{underOld}, true},
		{"old twice", []string{underOld, underOld}, true},
		{"old and next", []string{underOld, underNext}, false},
		{"next and old", []string{underNext, underOld}, false},
		{"replaced and old", []string{replaced, underOld}, true},
		{"replaced and next", []string{replaced, underNext}, false},
		{"old and replaced", []string{underOld, replaced}, true},
		{"next and replaced", []string{underNext, replaced}, false},
	} {
		rec := during.send(strings.Join(tc.cookies, "; "), func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe(t, tc.name+": user", s.User(), "u")
		})
		if _, again := sessionCookie(rec); again != tc.again {
			t.Errorf("%s: sealed again is %v", tc.name, again)
		}
	}
}
