package core_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Promise 10. Fails if expired() leaves out the idle limit.
func TestIdleTimeout(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.IdleTimeout = 20 * time.Minute })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	w.clock.Advance(20*time.Minute - time.Millisecond)
	mustBe(t, "user just before the limit", c.user(), "u")
	w.clock.Advance(20*time.Minute - time.Millisecond)
	mustBe(t, "user, extended by use", c.user(), "u")
	w.store.took()
	w.clock.Advance(20 * time.Minute)
	c.use(func(s *core.Session) {
		mustBe(t, "user at the limit", s.User(), "")
		mustBe(t, "reason", s.Rejected(), core.ReasonExpired)
	})
	mustBe(t, "calls", w.store.took(), "load")
}

// Promise 10. Fails if expired() leaves out the deadline.
func TestAbsoluteTimeout(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.IdleTimeout = time.Minute; c.AbsoluteTimeout = 10 * time.Minute })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	for range 19 { // busy, and rotating, all the time
		w.clock.Advance(30 * time.Second)
		c.use(func(s *core.Session) { s.Regenerate() })
	}
	mustBe(t, "value before the limit", c.get("k"), any(int64(1)))
	w.clock.Advance(30 * time.Second)
	mustBe(t, "value at the limit", c.get("k"), nil)

	// A login is a new authentication, so it begins a new lifetime.
	c.use(func(s *core.Session) { s.Login("u") })
	w.clock.Advance(50 * time.Second)
	c.use(func(s *core.Session) { s.Login("u") })
	for range 11 {
		w.clock.Advance(50 * time.Second)
		mustBe(t, "user", c.user(), "u")
	}
	w.clock.Advance(50 * time.Second)
	mustBe(t, "user at the second limit", c.user(), "")
}

// Features W31 and F23: the manager looks at the limits itself. Fails if judge()
// leaves them to the store, whose clock stands still here, or may be another's.
func TestExpiryDoesNotDependOnTheStore(t *testing.T) {
	w := newWorld(t, func(c *core.Config) {
		stopped := newClock()
		mem := memorystore.New(memorystore.Config{Clock: stopped.Now})
		t.Cleanup(func() { mem.Close() })
		c.Store = mem
	})
	c := w.client()
	id := c.begin()
	w.clock.Advance(30 * time.Minute)
	c.use(func(s *core.Session) {
		mustBe(t, "value", s.Has("k"), false)
		mustBe(t, "reason", s.Rejected(), core.ReasonExpired)
	})
	ok, err := w.m.Exists(t.Context(), id)
	mustBe(t, "Exists", fmt.Sprint(ok, err), "false <nil>")
	if _, err := w.m.Load(t.Context(), id); !errors.Is(err, core.ErrExpired) {
		t.Errorf("Load: %v", err)
	}
	n := 0
	for range w.m.Sessions(t.Context()) {
		n++
	}
	mustBe(t, "sessions in the list", n, 0)
}

// Feature Q3. Fails if wantsTouch compares with >= or ignores the interval.
func TestTouchIsThrottled(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.TouchInterval = time.Second })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	start := w.clock.Now()
	last := func() (at time.Time) {
		c.use(func(s *core.Session) { at = s.LastAccess() })
		return at
	}
	w.store.took()
	w.clock.Advance(time.Second)
	mustBe(t, "last access", last(), start)
	mustBe(t, "calls", w.store.took(), "load")
	w.clock.Advance(time.Millisecond)
	mustBe(t, "last access seen by the handler", last(), start)
	mustBe(t, "calls", w.store.took(), "load touch")
	mustBe(t, "last access", last(), start.Add(1001*time.Millisecond))
	mustBe(t, "calls", w.store.took(), "load")
}

// Features W36 and B17: who only reads stays logged in, for the price of a touch.
// Fails if refresh() does not touch, or saves instead.
func TestReadersStayLoggedIn(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.IdleTimeout = 20 * time.Minute })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	w.store.took()
	for range 8 {
		w.clock.Advance(15 * time.Minute)
		mustBe(t, "user", c.user(), "u")
		mustBe(t, "calls", w.store.took(), "load touch")
	}
}

func TestFailedTouchIsNoFailure(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	w.events()
	w.clock.Advance(10 * time.Minute)
	w.store.interfere(func(verb string) error {
		if verb == "touch" {
			return errors.New("down")
		}
		return nil
	})
	mustBe(t, "value", c.get("k"), any(int64(1)))
	mustBe(t, "events", w.events(), "touch failed")
	w.store.interfere(nil)
	w.store.took()
	mustBe(t, "value", c.get("k"), any(int64(1)))
	mustBe(t, "calls of the next request", w.store.took(), "load touch")
}

// Features P22, W22 and F21. Fails if next() leaves out a limit that the
// session was given, at its beginning or later.
func TestLimitsOfOneSession(t *testing.T) {
	w := newWorld(t)
	short, usual := w.client(), w.client()
	short.use(func(s *core.Session) { s.Login("u"); s.SetExpiry(w.clock.Now().Add(10 * time.Minute)) })
	usual.use(func(s *core.Session) { s.Login("u") })
	for range 10 { // busy all the time
		mustBe(t, "user", short.user(), "u")
		w.clock.Advance(time.Minute)
	}
	mustBe(t, "user after the lifetime it was begun with", short.user(), "")
	mustBe(t, "user of the other session", usual.user(), "u")

	c, d := w.client(), w.client()
	c.use(func(s *core.Session) { s.Login("u"); s.SetIdleTimeout(time.Minute) })
	d.use(func(s *core.Session) { s.Login("u") })
	w.clock.Advance(59 * time.Second)
	mustBe(t, "user", c.user(), "u")
	w.clock.Advance(59 * time.Second)
	mustBe(t, "user, touched more often for its shorter limit", c.user(), "u")
	w.clock.Advance(time.Minute)
	mustBe(t, "user after its own limit", c.user(), "")
	mustBe(t, "user of the other session", d.user(), "u")

	at := w.clock.Now().Add(2 * time.Hour)
	d.use(func(s *core.Session) {
		s.SetExpiry(at)
		s.SetIdleTimeout(3 * time.Hour)
		mustBe(t, "ExpiresAt", s.ExpiresAt(), at)
		mustBe(t, "IdleTimeout", s.IdleTimeout(), 3*time.Hour)
	})
	w.clock.Advance(2*time.Hour - time.Millisecond)
	mustBe(t, "user", d.user(), "u")
	w.clock.Advance(time.Millisecond)
	mustBe(t, "user at the expiry that was set", d.user(), "")
}

// Feature P29. Fails if a record whose limit was moved into the past is kept.
func TestSoftExpiry(t *testing.T) {
	for name, end := range map[string]func(s *core.Session, now time.Time){
		"now":      func(s *core.Session, now time.Time) { s.SetExpiry(now) },
		"the past": func(s *core.Session, now time.Time) { s.SetExpiry(now.Add(-time.Hour)) },
		"idle 0":   func(s *core.Session, now time.Time) { s.SetIdleTimeout(0) },
		"persist":  func(s *core.Session, now time.Time) { s.Persist(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.use(func(s *core.Session) { s.Set("k", "v") })
			other := w.slow(c.cookie, func(s *core.Session) { s.Set("other", 1) })
			c.use(func(s *core.Session) {
				end(s, w.clock.Now())
				v, _ := s.Get("k")
				mustBe(t, "value in the same request", v, any("v"))
			})
			mustBe(t, "value in the next request", c.get("k"), nil)
			mustStatus(t, other(), 409) // no revival
			mustBe(t, "value after a slow request", c.get("k"), nil)
			noCookie(t, w.client().use(func(s *core.Session) { s.Set("k", 1); end(s, w.clock.Now()) }))
		})
	}
}

func TestPersist(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	rec := c.use(func(s *core.Session) { s.Login("u"); s.Persist(30 * 24 * time.Hour) })
	line, _ := sessionCookie(rec)
	if !strings.Contains(line, "; Max-Age=2592000;") || !strings.Contains(line, "; Secure") {
		t.Errorf("line %q", line)
	}
	w.clock.Advance(29 * 24 * time.Hour)
	mustBe(t, "user after 29 days", c.user(), "u")
	rec = c.use(func(s *core.Session) { s.SetExpiry(w.clock.Now().Add(time.Hour)) })
	line, _ = sessionCookie(rec)
	if !strings.Contains(line, "; Max-Age=3600;") {
		t.Errorf("the cookie does not follow the expiry: %q", line)
	}
	rec = c.use(func(s *core.Session) { s.Persist(1000 * 24 * time.Hour) })
	line, _ = sessionCookie(rec)
	if !strings.Contains(line, "; Max-Age=34560000;") {
		t.Errorf("beyond 400 days: %q", line)
	}
	w.clock.Advance(time.Hour)
	noCookie(t, c.use(func(s *core.Session) { s.Set("k", 1) }))

	w = newWorld(t, func(c *core.Config) { c.Cookie.Persistent = true })
	line, _ = sessionCookie(w.client().use(func(s *core.Session) { s.Set("k", 1) }))
	if !strings.Contains(line, "; Max-Age=86400;") {
		t.Errorf("a persistent cookie by configuration: %q", line)
	}
}

// A reader that touches must not lengthen what another request shortened.
// Fails if expired() trusts ExpiresAt alone.
func TestTouchDoesNotUndoAShorterLimit(t *testing.T) {
	for name, shorten := range map[string]func(s *core.Session, now time.Time){
		"idle":     func(s *core.Session, _ time.Time) { s.SetIdleTimeout(time.Minute) },
		"absolute": func(s *core.Session, now time.Time) { s.SetExpiry(now.Add(time.Minute)) },
	} {
		w := newWorld(t)
		c := w.client()
		c.use(func(s *core.Session) { s.Login("u") })
		w.clock.Advance(10 * time.Minute)
		reader := w.slow(c.cookie, func(*core.Session) {})
		c.use(func(s *core.Session) { shorten(s, w.clock.Now()) })
		mustStatus(t, reader(), 200)
		w.clock.Advance(time.Minute)
		mustBe(t, name+": user", c.user(), "")
	}
}

func TestCountRequests(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.CountRequests = true })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1); mustBe(t, "first", s.Requests(), 1) })
	c.use(func(s *core.Session) {
		mustBe(t, "second", s.Requests(), 2)
		s.Set("k", 2)
		s.Save(context.Background())
		s.Set("k", 3)
	})
	c.use(func(s *core.Session) { mustBe(t, "third", s.Requests(), 3) })
	c.do(func(_ *core.Session, _ http.ResponseWriter, _ *http.Request) {})
	c.use(func(s *core.Session) { mustBe(t, "fourth to use it", s.Requests(), 4) })
	w.store.took()
	c.use(func(s *core.Session) { s.Set("k", 4); s.Save(context.Background()) })
	mustBe(t, "calls of one that saved", w.store.took(), "load update")
}

func TestRotationGrace(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.RotationGrace = 2 * time.Second })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u"); s.Set("k", 1) })
	old := *c
	c.use(func(s *core.Session) { s.Regenerate() })
	w.clock.Advance(time.Second)
	mustBe(t, "user with the old token", old.user(), "u")
	for name, change := range map[string]func(s *core.Session){
		"write": func(s *core.Session) { s.Set("k", 2) }, "renew": func(s *core.Session) { s.Regenerate() }, "persist": func(s *core.Session) { s.Persist(time.Hour) },
	} {
		rec := w.send(old.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { change(s) })
		if rec.Code != 409 {
			t.Errorf("%s with the old token: %d", name, rec.Code)
		}
		noCookie(t, rec)
	}
	w.clock.Advance(time.Second)
	mustBe(t, "user with the old token, later", old.user(), "")
	mustBe(t, "user", c.user(), "u")
	before := *c
	c.use(func(s *core.Session) { s.Login("u") })
	mustBe(t, "user with the token before a login", before.user(), "")
}
