package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// Promise 5. Fails if what comes after the header of a failed answer is saved.
func TestNothingIsSavedBehindAFailedAnswer(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "old") })
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Get("k")
		rw.WriteHeader(500)
		s.Set("k", "new")
	})
	mustStatus(t, rec, 500)
	mustBe(t, "value", c.get("k"), any("old"))
}

// Fails if an update is stamped with the time of the load: it would move the
// session's access time back, behind that of the requests meanwhile.
func TestSlowRequestDoesNotShortenTheSession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	w.send(c.cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.User()
		for range 3 {
			w.clock.Advance(20 * time.Minute)
			mustBe(t, "user meanwhile", c.user(), "u")
		}
		s.Set("k", "slow")
	})
	mustBe(t, "user", c.user(), "u")
	mustBe(t, "value", c.get("k"), any("slow"))
}

// Promise 6. Fails if a replay that was broken off leaves half of its changes.
func TestSaveAfterARefusedReplay(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("flash", "hi"); s.Set("x", 1) })
	rec := w.send(c.cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Set("a", 1)
		if _, ok := s.Pop("flash"); !ok {
			t.Error("no flash")
		}
		s.Set("b", 1)
		c.use(func(s *core.Session) { s.Pop("flash") })
		if err := s.Save(context.Background()); !errors.Is(err, core.ErrGone) {
			t.Errorf("Save: %v", err)
		}
		io.WriteString(rw, "success")
	})
	mustStatus(t, rec, 409)
	mustBe(t, "a", c.get("a"), nil)
	mustBe(t, "b", c.get("b"), nil)
}

// Fails if counting a request is taken for a change by its handler.
func TestCountingRefusesNoReader(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.CountRequests, c.RotationGrace = true, 10*time.Second })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	old := c.cookie
	c.use(func(s *core.Session) { s.Regenerate() })
	rec := w.send(old, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Get("k")
		io.WriteString(rw, "read")
	})
	mustStatus(t, rec, 200)
	rec = w.send(c.cookie, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Get("k")
		c.use(func(s *core.Session) { s.Destroy() })
		io.WriteString(rw, "read")
	})
	mustStatus(t, rec, 200)
	noCookie(t, rec)
	if evs := w.events(); strings.Contains(evs, "gone") {
		t.Errorf("events: %s", evs)
	}
}

// Promise 14. Fails if the request's context prints its fields.
func TestContextPrintsNothing(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "geheim") })
	_, value, _ := strings.Cut(c.cookie, "=")
	c.do(func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.Set("l", "geheim")
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if out := fmt.Sprintf(verb, r.Context()); strings.Contains(out, value) || strings.Contains(out, "geheim") {
				t.Errorf("%s shows the cookie: %.300s", verb, out)
			}
			if out := fmt.Sprintf(verb, context.WithoutCancel(r.Context())); strings.Contains(out, value) {
				t.Errorf("%s shows the cookie: %.300s", verb, out)
			}
		}
	})
}

// Promise 6. Fails if a commit that panicked counts as done.
func TestRecoveredCommitIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	w.store.interfere(func(v string) error {
		if v == "create" {
			w.store.interfere(nil)
			panic("store")
		}
		return nil
	})
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		defer func() {
			recover()
			io.WriteString(rw, "success")
		}()
		s.Set("k", "new")
		io.WriteString(rw, "success")
	})
	if got := c.get("k"); rec.Code < 500 && got != "new" {
		t.Errorf("status %d, but the value is %v", rec.Code, got)
	}
}

// Promise 7. Fails if finish() reports only what no one else has seen.
func TestLateFailureIsReported(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "old") })
	w.events()
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Get("k")
		io.WriteString(rw, "x")
		s.Set("k", "lost")
		s.Set("bad", func() {})
	})
	mustBe(t, "events", w.events(), "commit failed")
}

// Promise 7. Fails if a hijack drops the cookie that Save decided on.
func TestHijackAfterSave(t *testing.T) {
	w := newWorld(t)
	var err error
	srv := httptest.NewServer(w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Set("k", "v")
		s.Save(r.Context())
		conn, _, e := rw.(http.Hijacker).Hijack()
		if err = e; e == nil {
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n")
			conn.Close()
		}
	})))
	defer srv.Close()
	res, e := http.Get(srv.URL)
	if e != nil {
		t.Fatal(e)
	}
	defer res.Body.Close()
	if res.StatusCode < 500 || !errors.Is(err, core.ErrLate) || len(res.Header["Set-Cookie"]) != 1 {
		t.Errorf("status %d, err %v, cookies %d", res.StatusCode, err, len(res.Header["Set-Cookie"]))
	}
}

// Fails if startOver keeps handing out the values of the session that is gone.
func TestLoginThatStartsOverForgetsTheOldValues(t *testing.T) {
	k := core.NewKey[map[string]string]("cart")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { k.Set(s, map[string]string{"a": "1"}) })
	w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		k.Get(s)
		c.use(func(s *core.Session) { s.Destroy() })
		s.Login("u")
		if err := s.Save(context.Background()); err != nil {
			t.Error(err)
		}
		if v, ok := k.Get(s); ok {
			t.Errorf("still there: %v", v)
		}
	})
}

// asking is a log handler that adds the session's ID to every line.
type asking struct{ slog.Handler }

func (asking) Enabled(context.Context, slog.Level) bool { return true }

func (asking) Handle(ctx context.Context, r slog.Record) error {
	if s, ok := core.Lookup(ctx); ok {
		r.AddAttrs(slog.String("session", s.ID().String()))
	}
	return nil
}

// Hangs if Save shows its locked session to those it calls.
func TestSaveWithALoggerThatAsksTheContext(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Logger = slog.New(asking{slog.DiscardHandler}) })
	w.client().do(func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.Set("k", 1)
		if err := s.Save(r.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Promise 7. Fails if a Save that finds nothing to store drops the limits.
func TestSaveOfAnEmptySessionKeepsItsLimits(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		s.Persist(48 * time.Hour)
		if err := s.Save(context.Background()); err != nil {
			t.Error(err)
		}
		s.Login("u")
	})
	c.use(func(s *core.Session) { mustBe(t, "idle limit", s.IdleTimeout(), 48*time.Hour) })
}

// Fails if a reader is refused because it is too late to count it.
func TestLateReaderOfACookieOnlySession(t *testing.T) {
	w := newWorld(t, func(c *core.Config) {
		c.Store, c.CountRequests = cookiestore.New(cookiestore.Config{}), true
		c.Secrets = []core.Secret{core.GenerateSecret()}
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("m", map[string]string{"a": "1"}) })
	w.events()
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		io.WriteString(rw, "x")
		s.Get("m")
		mustBe(t, "Save", s.Save(context.Background()), nil)
	})
	mustBe(t, "events", w.events(), "")
}

// Fails if a request waits for the lock that it holds itself.
func TestExclusiveAfterARecoveredLoad(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Exclusive, c.LockTimeout = true, time.Minute })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	loads := 0
	w.store.interfere(func(verb string) error {
		if loads++; loads == 2 { // the one under the lock
			panic("store")
		}
		return nil
	})
	mustStatus(t, c.use(func(s *core.Session) {
		func() {
			defer func() { recover() }()
			s.Get("k")
		}()
		v, _ := s.Get("k")
		mustBe(t, "value", v, any("v"))
	}), 200)
}
