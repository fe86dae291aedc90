package core_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Features QX1 and F30: what is not worth keeping is not stored, and a session
// that holds nothing else any more ends.
func TestKeep(t *testing.T) {
	var asked []string
	w := newWorld(t, func(c *core.Config) {
		c.Keep = func(user string, keys []string) bool {
			asked = append(asked, user+":"+strings.Join(keys, ","))
			for _, k := range keys {
				if k != "tmp" {
					return true
				}
			}
			return user != ""
		}
	})
	c := w.client()
	rec := c.use(func(s *core.Session) { s.Set("tmp", 1) })
	noCookie(t, rec)
	mustBe(t, "store calls", w.store.took(), "")

	c.use(func(s *core.Session) { s.Set("tmp", 1); s.Namespace("shop").Set("cart", 2); s.Set("a", 1) })
	mustBe(t, "asked last", asked[len(asked)-1], ":a,shop/cart,tmp")
	mustBe(t, "records", w.count(), 1)
	c.use(func(s *core.Session) { s.Delete("a"); s.Namespace("shop").Clear() })
	mustBe(t, "records after only tmp was left", w.count(), 0)
	mustBe(t, "cookie", c.cookie, "")

	c.use(func(s *core.Session) { s.Login("alice") })
	mustBe(t, "records", w.count(), 1)
	w.store.took()
	before := len(asked)
	c.use(func(s *core.Session) { s.User() })
	mustBe(t, "asked by a read", len(asked), before)
}

// Features Q19 and F28: first values can be read, and are no information.
func TestInit(t *testing.T) {
	type app struct{ Lang string }
	prefs := core.NewKey[app]("prefs")
	runs := 0
	w := newWorld(t, func(c *core.Config) {
		c.Init = func(r *http.Request, s *core.Session) {
			runs++
			prefs.Set(s, app{Lang: r.Header.Get("Accept-Language") + "nl"})
			s.Set("theme", "dark")
			s.Login("nobody") // has no effect
		}
	})
	c := w.client()
	rec := c.use(func(s *core.Session) {
		mustBe(t, "language", prefs.GetOr(s, app{}).Lang, "nl")
		mustBe(t, "keys", strings.Join(s.Keys(), ","), "prefs,theme")
		mustBe(t, "user", s.User(), "")
		mustBe(t, "dirty", s.Dirty(), false)
	})
	noCookie(t, rec)
	mustBe(t, "store calls", w.store.took(), "")
	mustBe(t, "runs", runs, 1)

	// To set what is there already is no change.
	rec = c.use(func(s *core.Session) { s.Set("theme", "dark") })
	noCookie(t, rec)

	c.use(func(s *core.Session) { s.Set("k", "v"); s.Delete("theme") })
	mustBe(t, "records", w.count(), 1)
	runs = 0
	c.use(func(s *core.Session) {
		mustBe(t, "stored keys", strings.Join(s.Keys(), ","), "k,prefs")
		mustBe(t, "runs for a stored session", runs, 0)
		s.Clear()
		mustBe(t, "keys after Clear", s.Len(), 0)
	})
	mustBe(t, "records after Clear", w.count(), 0)

	c.use(func(s *core.Session) { s.Set("k", "v") })
	runs = 0
	c.use(func(s *core.Session) {
		s.Delete("prefs")
		s.Destroy()
		mustBe(t, "language after Destroy", prefs.GetOr(s, app{}).Lang, "nl")
		s.Set("k", "v")
		s.Destroy()
	})
	mustBe(t, "runs of one request", runs, 1)
	mustBe(t, "records after Destroy", w.count(), 0)

	// Without a change of its own a session is not stored for a rotation.
	rec = c.use(func(s *core.Session) { s.Regenerate() })
	noCookie(t, rec)

	// What a value becomes when it is changed in place counts.
	many := core.NewKey[map[string]int]("many")
	w2 := newWorld(t, func(c *core.Config) {
		c.Init = func(_ *http.Request, s *core.Session) { many.Set(s, map[string]int{"a": 1}) }
	})
	c = w2.client()
	c.use(func(s *core.Session) { many.Get(s) })
	mustBe(t, "records after a read", w2.count(), 0)
	c.use(func(s *core.Session) { m, _ := many.Get(s); m["b"] = 2 })
	mustBe(t, "records after a change in place", w2.count(), 1)
	c.use(func(s *core.Session) { m, _ := many.Get(s); mustBe(t, "values", len(m), 2) })

	// A first value that cannot be encoded is the request's error.
	w3 := newWorld(t, func(c *core.Config) {
		c.Init = func(_ *http.Request, s *core.Session) { s.Set("k", make(chan int)) }
	})
	mustStatus(t, w3.client().use(func(s *core.Session) { s.Get("k") }), 500)
}

// A login whose session is gone begins with the first values too.
func TestInitAfterGone(t *testing.T) {
	w := newWorld(t, func(c *core.Config) {
		c.Init = func(_ *http.Request, s *core.Session) { s.Set("lang", "nl") }
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v"); s.Set("lang", "en") })
	other := *c
	c.use(func(s *core.Session) {
		s.Login("alice")
		s.Get("k")
		other.use(func(s *core.Session) { s.Destroy() })
	})
	mustBe[any](t, "language", c.get("lang"), "nl")
	mustBe[any](t, "value of the old session", c.get("k"), nil)
	mustBe(t, "user", c.user(), "alice")
}

// Init may look for its session where a handler does: in the context.
func TestInitFindsItsSession(t *testing.T) {
	var m *core.Manager
	w := newWorld(t, func(c *core.Config) {
		c.Init = func(r *http.Request, s *core.Session) {
			core.Get(r.Context()).Set("lang", "nl")
			own, _ := m.Lookup(r.Context())
			own.Set("theme", r.PostFormValue("theme"))
		}
	})
	m = w.m
	r := httptest.NewRequest("POST", "/", strings.NewReader("theme=dark"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r = r.WithContext(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.visit(r, func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
			lang, _ := s.Get("lang")
			theme, _ := s.Get("theme")
			if lang != "nl" || theme != "dark" || s.Dirty() {
				t.Errorf("lang %v, theme %v, dirty %v", lang, theme, s.Dirty())
			}
			if r.PostFormValue("theme") != "dark" {
				t.Error("the form that Init parsed is lost")
			}
		})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Init waits for its own session")
	}
}

// Init sets values and does nothing else, then or later.
func TestInitStoresNothing(t *testing.T) {
	var draft *core.Session
	w := newWorld(t, func(c *core.Config) {
		c.Init = func(r *http.Request, s *core.Session) {
			s.Set("lang", "nl")
			s.Login("nobody")
			s.Save(r.Context())
			draft = s
		}
	})
	noCookie(t, w.client().use(func(s *core.Session) {
		v, _ := s.Get("lang")
		mustBe[any](t, "lang", v, "nl")
		draft.Set("lang", "en")
		draft.Save(t.Context())
		v, _ = s.Get("lang")
		mustBe[any](t, "lang after Init", v, "nl")
	}))
	mustBe(t, "store calls", w.store.took(), "")
	if !errors.Is(draft.Err(), core.ErrEnded) {
		t.Errorf("later use of Init's session: %v", draft.Err())
	}
}

// An Init that panics has set nothing, and a session without its first values
// is not stored; nor does it keep a logout from taking effect.
func TestInitPanics(t *testing.T) {
	broken := true
	w := newWorld(t, func(c *core.Config) {
		c.Init = func(_ *http.Request, s *core.Session) {
			if s.Set("lang", "nl"); broken {
				panic("init")
			}
		}
	})
	c := w.client()
	try := func(f func()) (p any) {
		defer func() { p = recover() }()
		f()
		return nil
	}
	rec := c.use(func(s *core.Session) {
		for range 2 {
			mustBe[any](t, "panic", try(func() { s.Set("k", "v") }), "init")
		}
	})
	noCookie(t, rec)
	mustBe(t, "records", w.count(), 0)

	broken = false
	c.use(func(s *core.Session) { s.Set("k", "v") })
	other := w.client()
	other.use(func(s *core.Session) { s.Set("k", "v") })
	broken = true
	w.events()
	c.use(func(s *core.Session) {
		mustBe[any](t, "panic", try(func() { s.Destroy() }), "init")
	})
	mustBe(t, "cookie", c.cookie, "")
	mustBe[any](t, "panic", try(func() { other.use(func(s *core.Session) { s.Clear() }) }), "init")
	mustBe(t, "events", w.events(), "destroyed(logout), destroyed(emptied)")
	mustBe(t, "records", w.count(), 0)
}
