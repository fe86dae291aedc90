package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// present is what a client does with a cookie that it was handed.
func (c *client) present(cookie *http.Cookie) { c.cookie = cookie.Name + "=" + cookie.Value }

// Features P22 and F19: a session that begins outside HTTP, with a life of its
// own, is one like any other to the client that is handed its cookie.
func TestNewOutsideHTTP(t *testing.T) {
	ctx := t.Context()
	requests := false
	hook := func(*http.Request, *core.Session) error {
		if !requests {
			t.Error("a hook of requests ran")
		}
		return nil
	}
	w := newWorld(t, func(c *core.Config) {
		c.CountRequests = true
		c.Init = func(r *http.Request, s *core.Session) { hook(r, s) }
		c.OnStart, c.OnEnd = hook, hook
	})
	s := w.m.New(ctx)
	mustBe(t, "ID", s.ID(), core.ID{})
	mustBe(t, "IsNew", s.IsNew(), true)
	mustBe(t, "deadline", s.Deadline(), time.Time{})
	mustBe(t, "Save of nothing", s.Save(ctx), nil)
	if c := s.Cookie(); c != nil {
		t.Fatal("a cookie of nothing")
	}
	mustBe(t, "calls", w.store.took(), "")

	w.clock.Advance(time.Second) // a session begins when it is stored
	born := w.clock.Now()
	s.Set("k", "v")
	s.Login("alice")
	s.SetExpiry(born.Add(10 * time.Minute))
	if c := s.Cookie(); c != nil {
		t.Fatal("a cookie of what is not stored")
	}
	mustBe(t, "Save", s.Save(ctx), nil)
	mustBe(t, "calls", w.store.took(), "create")
	mustBe(t, "events", w.events(), "created, login")
	mustBe(t, "CreatedAt", s.CreatedAt(), born)
	mustBe(t, "LastAccess", s.LastAccess(), born)
	mustBe(t, "Deadline", s.Deadline(), born.Add(10*time.Minute))
	mustBe(t, "Requests", s.Requests(), uint64(0))
	mustBe(t, "IsNew", s.IsNew(), true)
	cookie := s.Cookie()
	if cookie == nil || cookie.Name != "__Host-session" || cookie.Path != "/" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 0 {
		t.Fatalf("the cookie has the attributes of another: %v", cookie != nil)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", s, s, s), cookie.Value) {
		t.Error("printing shows the token")
	}

	requests = true
	other, c := w.client(), w.client()
	c.present(cookie)
	w.m.New(ctx).Set("nobody", "saves this")
	rec := c.use(func(s *core.Session) {
		mustBe(t, "user", s.User(), "alice")
		mustBe(t, "Requests", s.Requests(), uint64(1))
		mustBe(t, "IsNew", s.IsNew(), false)
		s.Set("from", "http")
	})
	noCookie(t, rec)
	long := w.m.New(ctx)
	long.Set("k", "v")
	mustBe(t, "Save", long.Save(ctx), nil)
	other.present(long.Cookie())

	// It can be used on, beside its client.
	w.clock.Advance(time.Minute)
	w.store.took()
	s.Set("k", "w")
	mustBe(t, "second Save", s.Save(ctx), nil)
	mustBe(t, "calls", w.store.took(), "update load update")
	mustBe[any](t, "value of the client", must(s.Get("from")), "http")
	mustBe(t, "LastAccess", s.LastAccess(), w.clock.Now())
	mustBe[any](t, "value", c.get("k"), "w")

	w.clock.Advance(10 * time.Minute)
	mustBe(t, "user after its life", c.user(), "")
	mustBe[any](t, "value of another", other.get("k"), "v")
	s.Set("k", "x")
	mustBe(t, "Save after its life", errors.Is(s.Save(ctx), core.ErrGone), true)
}

func must(v any, _ bool) any { return v }

// A life of its own is counted from when it is asked for, however long ago New
// or the last Save was.
func TestNewOutsideHTTPWaits(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	s := w.m.New(ctx)
	for range 2 {
		w.clock.Advance(25 * time.Minute)
		s.Login("alice")
		s.SetExpiry(w.clock.Now().Add(core.MaxLifetime))
		mustBe(t, "Save", s.Save(ctx), nil)
		mustBe(t, "Deadline", s.Deadline().Sub(w.clock.Now()), core.MaxLifetime)
		w.clock.Advance(25 * time.Minute)
		s.Persist(26 * time.Minute)
		mustBe(t, "Save", s.Save(ctx), nil)
		mustBe(t, "Deadline", s.Deadline().Sub(w.clock.Now()), 26*time.Minute)
		mustBe(t, "MaxAge", s.Cookie().MaxAge, 26*60)
	}

	// What would be over by then is not stored.
	s = w.m.New(ctx)
	s.Login("bob")
	s.SetExpiry(w.clock.Now().Add(time.Minute))
	w.clock.Advance(time.Minute)
	mustBe(t, "Save of what is over", s.Save(ctx), nil)
	if s.Cookie() != nil {
		t.Error("a cookie of what is over")
	}
	mustBe(t, "records", w.count(), 1)
}

// A login outside HTTP replaces the token, and Destroy ends the session and
// clears the cookie; what follows is a new session.
func TestNewOutsideHTTPGoesOn(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	s := w.m.New(ctx)
	s.Set("k", "v")
	mustBe(t, "Save", s.Save(ctx), nil)
	old, c := w.client(), w.client()
	old.present(s.Cookie())
	id := s.ID()
	s.Login("alice")
	mustBe(t, "Save", s.Save(ctx), nil)
	mustBe(t, "ID", s.ID(), id)
	c.present(s.Cookie())
	mustBe(t, "user with the old token", old.user(), "")
	mustBe(t, "user with the new one", c.user(), "alice")

	mustBe(t, "Destroy", s.Destroy(), nil)
	if cookie := s.Cookie(); cookie == nil || cookie.MaxAge >= 0 || cookie.Value != "" || cookie.Path != "/" {
		t.Errorf("after Destroy: %v", cookie)
	}
	mustBe(t, "user after Destroy", c.user(), "")
	s.Set("k", "w")
	mustBe(t, "Save", s.Save(ctx), nil)
	if s.ID() == id || s.ID().IsZero() {
		t.Errorf("the new session has the ID %v", s.ID())
	}
	c.present(s.Cookie())
	mustBe[any](t, "value", c.get("k"), "w")

	c.use(func(s *core.Session) { s.Destroy() })
	s.Set("k", "x")
	mustBe(t, "Save after a logout", errors.Is(s.Save(ctx), core.ErrGone), true)
	mustBe(t, "records", w.count(), 0)
}

// Fails if a store's failure is lost, or leaves a cookie.
func TestNewOutsideHTTPFails(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	s := w.m.New(ctx)
	s.Set("k", "v")
	w.store.interfere(func(string) error { return errors.New("down") })
	mustBe(t, "Save", errors.Is(s.Save(ctx), core.ErrUnavailable), true)
	if s.Cookie() != nil {
		t.Error("a cookie of what was not stored")
	}
	w.store.interfere(nil)
	mustBe(t, "Save again", s.Save(ctx), nil)
	c := w.client()
	c.present(s.Cookie())
	mustBe[any](t, "value", c.get("k"), "v")

	// An ID that is taken is not a failure, feature Q21.
	tries := 0
	w.store.interfere(func(string) error {
		if tries++; tries < 3 {
			return core.ErrExists
		}
		return nil
	})
	s = w.m.New(ctx)
	s.Set("k", "v")
	mustBe(t, "Save", s.Save(ctx), nil)
	mustBe(t, "tries", tries, 3)

	s = core.Disabled().New(ctx)
	s.Set("k", "v")
	mustBe(t, "Save with sessions turned off", s.Save(ctx), nil)
	if s.Cookie() != nil {
		t.Error("a cookie with sessions turned off")
	}
}

// It counts as one of the user's.
func TestNewOutsideHTTPHasItsTurn(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, func(c *core.Config) { c.MaxPerUser, c.RefuseLogin = 1, true })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	s := w.m.New(ctx)
	s.Login("alice")
	mustBe(t, "Save", errors.Is(s.Save(ctx), core.ErrTooManySessions), true)
	mustBe(t, "records", w.count(), 1)
}

// Whatever carries the token, Cookie has it, and in the cookie-only store the
// session.
func TestNewOutsideHTTPCarried(t *testing.T) {
	ctx := t.Context()
	t.Run("cookie-only", func(t *testing.T) {
		w := newWorld(t, func(c *core.Config) {
			c.Store, c.Secrets = cookiestore.New(cookiestore.Config{}), []core.Secret{core.GenerateSecret()}
		})
		s, c := w.m.New(ctx), w.client()
		for _, want := range []string{"v", "w"} {
			s.Set("k", want)
			mustBe(t, "Save", s.Save(ctx), nil)
			c.present(s.Cookie())
			mustBe[any](t, "value", c.get("k"), want)
		}
	})
	t.Run("cookie-only, over", func(t *testing.T) {
		for _, list := range []cookiestore.Revocations{nil, cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})} {
			for name, limit := range map[string]func(s *core.Session, now time.Time){
				"idle":     func(*core.Session, time.Time) {},
				"absolute": func(s *core.Session, now time.Time) { s.SetExpiry(now.Add(30 * time.Minute)) },
			} {
				w := newWorld(t, func(c *core.Config) {
					c.Store, c.Secrets = cookiestore.New(cookiestore.Config{Revocations: list}), []core.Secret{core.GenerateSecret()}
				})
				s, c := w.m.New(ctx), w.client()
				s.Set("k", "v")
				limit(s, w.clock.Now())
				mustBe(t, "Save", s.Save(ctx), nil)
				before := s.Cookie().Value
				w.clock.Advance(30 * time.Minute)
				mustBe(t, name+": Save of nothing", s.Save(ctx), nil)
				mustBe(t, name+": the same cookie", s.Cookie().Value == before, true)
				s.Set("k", "w")
				mustBe(t, name+": Save", errors.Is(s.Save(ctx), core.ErrGone), true)
				mustBe(t, name+": the same cookie", s.Cookie().Value == before, true)
				s.Login("alice") // which owes nothing to what was there
				mustBe(t, name+": Save of a login", s.Save(ctx), nil)
				c.present(s.Cookie())
				mustBe(t, "user", c.user(), "alice")

				// Nor does a request that lasts so long.
				c.use(func(s *core.Session) { limit(s, w.clock.Now()) })
				rec := c.use(func(s *core.Session) {
					s.User()
					w.clock.Advance(30 * time.Minute)
					s.Set("k", "v")
				})
				mustStatus(t, rec, 409)
				noCookie(t, rec)
			}
		}
	})
	t.Run("header", func(t *testing.T) {
		w := newWorld(t, func(c *core.Config) { c.Transport = core.HeaderTransport("X-Session") })
		s := w.m.New(ctx)
		s.Set("k", "v")
		s.Persist(time.Hour)
		w.clock.Advance(time.Millisecond) // to the nearest second, as in a line
		if s.Cookie() != nil {
			t.Error("a value of what is not stored")
		}
		mustBe(t, "Save", s.Save(ctx), nil)
		mustBe(t, "MaxAge", s.Cookie().MaxAge, 3600)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Session", s.Cookie().Value)
		w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe[any](t, "value", must(s.Get("k")), "v")
		})
		s.Destroy()
		mustBe(t, "Value after Destroy", s.Cookie().Value, "")
	})
	t.Run("path", func(t *testing.T) {
		w := newWorld(t, func(c *core.Config) { c.Cookie = core.CookieConfig{Path: "/app", Persistent: true} })
		s := w.m.New(ctx)
		s.Set("k", "v")
		mustBe(t, "Save", s.Save(ctx), nil)
		mustBe(t, "Path", s.Cookie().Path, "/app/")
		mustBe(t, "MaxAge", s.Cookie().MaxAge, 24*60*60)
	})
	t.Run("mounted", func(t *testing.T) {
		w := newWorld(t, func(c *core.Config) { c.Cookie.Insecure = true })
		s := w.m.New(ctx)
		s.Set("k", "v")
		mustBe(t, "Save", s.Save(ctx), nil)
		mustBe(t, "Path", s.Cookie().Path, "/")
	})
}

// Feature P37: Cookie is the cookie that the response carries, or nil where
// there is none.
func TestCookie(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	same := func(rec *httptest.ResponseRecorder, got *http.Cookie) {
		t.Helper()
		line, ok := sessionCookie(rec)
		if !ok {
			t.Fatal("the response sets no cookie")
		}
		want, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Cookie differs from the line of the response: %v", got != nil)
		}
	}
	var got, early *http.Cookie
	var kept *core.Session
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
		early = s.Cookie()
		mustBe(t, "calls", w.store.took(), "")
		s.Set("k", "v")
		s.Persist(time.Hour)
		if s.Cookie() != nil {
			t.Error("a cookie of what is not stored")
		}
		mustBe(t, "Save", s.Save(r.Context()), nil)
		got, kept = s.Cookie(), s
	})
	if early != nil {
		t.Error("a cookie of nothing")
	}
	same(rec, got)
	mustBe(t, "MaxAge", got.MaxAge, 3600)
	if kept.Cookie() != nil || !errors.Is(kept.Err(), core.ErrEnded) {
		t.Errorf("after the request: %v", kept.Err())
	}

	// With the first byte the cookie is decided, and known.
	rec = c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
		s.Login("alice")
		io.WriteString(rw, "x")
		got = s.Cookie()
	})
	same(rec, got)

	c.use(func(s *core.Session) { s.Get("k"); early = s.Cookie() })
	if early != nil {
		t.Error("a cookie that is no news")
	}
	id := core.ID{}
	c.use(func(s *core.Session) { id = s.ID() })
	s, err := w.m.Load(t.Context(), id)
	mustBe(t, "Load", err, nil)
	s.Set("k", "w")
	mustBe(t, "Save", s.Save(t.Context()), nil)
	if s.Cookie() != nil {
		t.Error("a cookie of a session that was loaded by its ID")
	}
	rec = c.do(func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.Destroy()
		got = s.Cookie()
	})
	same(rec, got)
	mustBe(t, "cleared", got.MaxAge < 0, true)
}

// Features P16 and F31: OnCookie is told once of each cookie that goes out, as
// it goes out, and of nothing else.
func TestOnCookie(t *testing.T) {
	var told []*http.Cookie
	boom := false
	hook := func(r *http.Request, c *http.Cookie) {
		if _, ok := core.Lookup(r.Context()); ok {
			t.Error("the hook finds the session, which it must not use")
		}
		told = append(told, c)
		if boom {
			panic("hook")
		}
	}
	w := newWorld(t, func(c *core.Config) { c.OnCookie = hook })
	check := func(what string, rec *httptest.ResponseRecorder, want bool) {
		t.Helper()
		line, ok := sessionCookie(rec)
		if ok != want || len(told) > 1 || (len(told) == 1) != want {
			t.Fatalf("%s: Set-Cookie %t, told %d times", what, ok, len(told))
		}
		if c, _ := http.ParseSetCookie(line); want && !reflect.DeepEqual(told[0], c) {
			t.Errorf("%s: told of another cookie than was sent", what)
		}
		told = nil
	}
	c := w.client()
	check("nothing", c.use(func(s *core.Session) { s.Get("k") }), false)
	check("begun", c.use(func(s *core.Session) { s.Set("k", "v") }), true)
	check("read", c.use(func(s *core.Session) { s.Get("k") }), false)
	check("changed", c.use(func(s *core.Session) { s.Set("k", "w") }), false)
	check("saved and renewed", c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
		s.Regenerate()
		s.Save(r.Context())
		s.Login("alice")
		io.WriteString(rw, "x")
		http.NewResponseController(rw).Flush()
	}), true)
	check("nested", c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
		w.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			core.Get(r.Context()).Regenerate()
		})).ServeHTTP(rw, r)
	}), true)
	check("failed", c.do(func(s *core.Session, rw http.ResponseWriter, r *http.Request) {
		s.Login("bob")
		rw.WriteHeader(500)
	}), false)
	w.store.interfere(func(string) error { return errors.New("down") })
	check("not stored", w.client().use(func(s *core.Session) { s.Set("k", "v") }), false)
	w.store.interfere(nil)

	// A hook that panics is not asked again, and what it was told of goes out.
	boom = true
	rec := httptest.NewRecorder()
	func() {
		defer func() { mustBe[any](t, "panic", recover(), "hook") }()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", c.cookie)
		w.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			core.Get(r.Context()).Regenerate()
		})).ServeHTTP(rec, r)
	}()
	line, _ := sessionCookie(rec)
	c.cookie, _, _ = strings.Cut(line, ";")
	check("panicked", rec, true)
	boom = false
	mustBe(t, "user", c.user(), "alice")
	told = nil

	rec = httptest.NewRecorder()
	func() {
		defer func() { mustBe[any](t, "panic", recover(), "handler") }()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", c.cookie)
		w.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			core.Get(r.Context()).Destroy()
			panic("handler")
		})).ServeHTTP(rec, r)
	}()
	check("ended, and then a panic", rec, true)

	w = newWorld(t, func(c *core.Config) { c.OnCookie, c.Transport = hook, core.HeaderTransport("X-Session") })
	check("no cookie but a header", w.client().use(func(s *core.Session) { s.Set("k", "v") }), false)

	// No response, no cookie of one.
	w = newWorld(t, func(c *core.Config) { c.OnCookie = hook })
	s := w.m.New(context.Background())
	s.Set("k", "v")
	mustBe(t, "Save", s.Save(t.Context()), nil)
	mustBe(t, "told of", len(told), 0)
}

// Goroutines that share a session of Manager.New, beside its clients, lose no
// update, and its cookie is at any time one that brings the session back.
func TestNewOutsideHTTPTogether(t *testing.T) {
	w := newWorld(t)
	s := w.m.New(t.Context())
	s.Login("alice")
	mustBe(t, "Save", s.Save(t.Context()), nil)
	id := s.ID()
	increment := func(s *core.Session) { counter.Update(s, func(n int64) int64 { return n + 1 }) }
	var clients atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				increment(s)
				s.Namespace(fmt.Sprint("of", i)).Set("j", j)
				if j%5 == 0 {
					s.Regenerate()
				}
				if err := s.Save(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				c := w.client()
				c.present(s.Cookie())
				known := false
				rec := w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
					if known = s.ID() == id; known {
						increment(s)
					}
				})
				switch {
				case known && rec.Code == http.StatusOK:
					clients.Add(1)
				case rec.Code != http.StatusOK && rec.Code != http.StatusConflict: // the token was replaced meanwhile
					t.Errorf("status %d", rec.Code)
				}
			}
		})
	}
	wg.Wait()
	c := w.client()
	c.present(s.Cookie())
	mustBe(t, "user", c.user(), "alice")
	mustBe[any](t, "count", c.get("n"), 80+clients.Load())
	for i := range 4 {
		c.use(func(s *core.Session) {
			mustBe[any](t, "value", must(s.Namespace(fmt.Sprint("of", i)).Get("j")), int64(19))
		})
	}
	mustBe(t, "records", w.count(), 1)
}
