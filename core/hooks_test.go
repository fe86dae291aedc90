package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// hooks of a manager that can be changed between requests.
type hooks struct {
	start, end func(r *http.Request, s *core.Session) error
}

func hooked(t *testing.T) (*world, *hooks) {
	h := &hooks{}
	w := newWorld(t, func(c *core.Config) {
		c.OnStart = func(r *http.Request, s *core.Session) error {
			if h.start == nil {
				return nil
			}
			return h.start(r, s)
		}
		c.OnEnd = func(r *http.Request, s *core.Session) error {
			if h.end == nil {
				return nil
			}
			return h.end(r, s)
		}
	})
	return w, h
}

// Features Q15, W8, W9 and F31: OnStart before the handler, OnEnd after what
// it did to the session and before the store hears of it.
func TestHooks(t *testing.T) {
	w, h := hooked(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	w.store.took()

	var order []string
	h.start = func(r *http.Request, s *core.Session) error {
		v, _ := s.Get("k")
		order = append(order, "start with "+v.(string))
		return nil
	}
	h.end = func(r *http.Request, s *core.Session) error {
		order = append(order, "end")
		s.Set("last", r.URL.Path)
		return nil
	}
	w.store.interfere(func(verb string) error { order = append(order, verb); return nil })
	for _, how := range []string{"returns", "writes"} {
		order = nil
		rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			order = append(order, "handler")
			s.Set("how", how)
			if how == "writes" {
				io.WriteString(rw, "a")
				order = append(order, "wrote")
				io.WriteString(rw, "b")
			}
		})
		mustStatus(t, rec, 200)
		want := []string{"load", "start with v", "handler", "end", "update"}
		if how == "writes" {
			want = append(want, "wrote")
		}
		if !slices.Equal(order, want) {
			t.Errorf("%s: %q, want %q", how, order, want)
		}
	}
	w.store.interfere(nil)
	h.start, h.end = nil, nil
	mustBe[any](t, "what OnEnd set", c.get("last"), "/")
}

// OnEnd is left out when there is nothing to save, and a hook that does not
// use the session does not load it.
func TestOnEndOnlyBeforeASave(t *testing.T) {
	w, h := hooked(t)
	ran := 0
	h.end = func(*http.Request, *core.Session) error { ran++; return nil }
	c := w.client()
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
	mustBe(t, "runs at a 500", ran, 0)
	func() {
		defer func() { recover() }()
		c.do(func(*core.Session, http.ResponseWriter, *http.Request) { panic("handler") })
	}()
	mustBe(t, "runs at a panic", ran, 0)
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(103)
		rw.WriteHeader(404)
		io.WriteString(rw, "x")
		rw.(http.Flusher).Flush()
	})
	mustBe(t, "runs at a 404", ran, 1)
	mustBe(t, "store calls", w.store.took(), "")
}

// An error of a hook is the session's: no success passes, nothing is stored.
func TestHookErrors(t *testing.T) {
	for _, which := range []string{"start", "end"} {
		w, h := hooked(t)
		no := errors.New("no")
		fail := func(*http.Request, *core.Session) error { return no }
		if which == "start" {
			h.start = fail
		} else {
			h.end = fail
		}
		var seen error
		rec := w.client().do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			seen = s.Err()
			s.Set("k", "v")
			io.WriteString(rw, "done")
		})
		mustStatus(t, rec, 500)
		noCookie(t, rec)
		if strings.Contains(rec.Body.String(), "done") {
			t.Errorf("%s: the handler's answer passed", which)
		}
		mustBe(t, "records", w.count(), 0)
		if which == "start" && !errors.Is(seen, no) {
			t.Errorf("the handler saw %v", seen)
		}
	}
}

// A hook that panics is a handler that panics: nothing is stored, and the
// session is given back.
func TestHookPanics(t *testing.T) {
	w, h := hooked(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	h.end = func(*http.Request, *core.Session) error { panic("hook") }
	func() {
		defer func() { mustBe[any](t, "panic", recover(), "hook") }()
		c.use(func(s *core.Session) { s.Set("k", "w") })
	}()
	// Not even if the panic is answered inside.
	ends := 0
	h.end = func(*http.Request, *core.Session) error { ends++; panic("hook") }
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Set("k", "w")
		defer func() {
			recover()
			io.WriteString(rw, "sorry")
		}()
		io.WriteString(rw, "x")
	})
	mustStatus(t, rec, 500)
	mustBe(t, "runs", ends, 1)
	h.end = nil
	mustBe[any](t, "value", c.get("k"), "v")
}

// Features W7 and F32: nested in itself, the middleware runs once.
func TestHooksRunOnceWhenNested(t *testing.T) {
	w, h := hooked(t)
	starts, ends := 0, 0
	h.start = func(*http.Request, *core.Session) error { starts++; return nil }
	h.end = func(*http.Request, *core.Session) error { ends++; return nil }
	inner := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { core.Get(r.Context()).Set("k", "v") })
	w.m.Handler(w.m.Handler(inner)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	mustBe(t, "starts", starts, 1)
	mustBe(t, "ends", ends, 1)
	mustBe(t, "store calls", w.store.took(), "create")
}

// Features W38 and F48: who presents a dead session may be told so; who
// presents none is served.
func TestOnRejected(t *testing.T) {
	handled := 0
	w := newWorld(t, func(c *core.Config) {
		c.OnRejected = func(rw http.ResponseWriter, r *http.Request, reason core.Reason) bool {
			if r.URL.Path == "/login" {
				return false
			}
			http.Error(rw, string(reason), http.StatusUnauthorized)
			return true
		}
	})
	do := func(c *client, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		if c.cookie != "" {
			r.Header.Set("Cookie", c.cookie)
		}
		return w.visit(r, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { handled++; s.User() })
	}
	c := w.client()
	mustStatus(t, do(c, "/"), 200)
	rec := w.visit(httptest.NewRequest("GET", "/", nil), func(*core.Session, http.ResponseWriter, *http.Request) {})
	mustBe(t, "Vary without a cookie", rec.Header().Get("Vary"), "")
	c.use(func(s *core.Session) { s.Login("alice") })
	mustStatus(t, do(c, "/"), 200)
	mustBe(t, "handled", handled, 2)

	w.clock.Advance(time.Hour)
	rec = do(c, "/")
	mustStatus(t, rec, 401)
	mustBe(t, "body", rec.Body.String(), "expired\n")
	noCookie(t, rec) // decision D3
	mustBe(t, "handled", handled, 2)
	mustStatus(t, do(c, "/login"), 200)
	mustBe(t, "handled", handled, 3)

	// A store that fails has not refused the cookie.
	c = w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	w.store.interfere(func(string) error { return errors.New("down") })
	mustStatus(t, do(c, "/"), 503)
}

// A hook that panics after the handler returned does not take a logout back:
// with cookie-only sessions the cleared cookie is all that there is of it.
func TestHookPanicsAfterDestroy(t *testing.T) {
	w, h := hooked(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	h.end = func(*http.Request, *core.Session) error { panic("hook") }
	r, rec := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	r.Header.Set("Cookie", c.cookie)
	func() {
		defer func() { mustBe[any](t, "panic", recover(), "hook") }()
		w.m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			s.Destroy()
			s.Set("k", "w")
		})
	}()
	http.Error(rec, "sorry", 500) // as a middleware outside would
	if line, ok := sessionCookie(rec); !ok || !strings.Contains(line, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", line)
	}
	mustBe(t, "records", w.count(), 0)
}

// OnEnd is for what is to be saved: not where an error has seen to it that
// nothing will be. Fails if begin does not ask for the session's error.
func TestOnEndNotAfterAnError(t *testing.T) {
	w, h := hooked(t)
	ran := 0
	h.end = func(*http.Request, *core.Session) error { ran++; return nil }
	c := w.client()
	mustStatus(t, c.use(func(s *core.Session) { s.Set("k", func() {}) }), 500)
	mustBe(t, "runs after a value that cannot be stored", ran, 0)
	h.start = func(*http.Request, *core.Session) error { return errors.New("no") }
	mustStatus(t, c.use(func(s *core.Session) { s.Set("k", "v") }), 500)
	mustBe(t, "runs after OnStart failed", ran, 0)
	h.start = nil
	mustStatus(t, c.use(func(s *core.Session) { s.Set("k", "v") }), 200)
	mustBe(t, "runs", ran, 1)
	w.store.interfere(func(string) error { return errors.New("down") })
	mustStatus(t, c.use(func(s *core.Session) { s.User() }), 503)
	mustBe(t, "runs after the store failed", ran, 1)
}

// A cookie that the store could not be asked about was not refused, whatever
// else was presented beside it. Fails if load keeps the reason of the other.
func TestOutageIsNoRejection(t *testing.T) {
	asked := 0
	w := newWorld(t, func(c *core.Config) {
		c.OnRejected = func(rw http.ResponseWriter, _ *http.Request, _ core.Reason) bool { asked++; return false }
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	w.store.interfere(func(string) error { return errors.New("down") })
	rec := w.send("__Host-session=junk; "+c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "reason", s.Rejected(), "")
	})
	mustStatus(t, rec, 503)
	mustBe(t, "times that OnRejected was asked", asked, 0)
}

// What OnEvent is told of has happened: if it panics then, the client learns of
// it all the same. Fails if a method tells before it has noted what to send: who
// logs in would lose the session, and a logout from a cookie-only store would be
// lost.
func TestOnEventPanics(t *testing.T) {
	for _, tc := range []struct {
		kind    core.EventKind
		do      func(s *core.Session)
		user    string
		cookie  bool
		empties bool
	}{
		{core.EventCreated, func(s *core.Session) { s.Set("k", 1) }, "", true, false}, // by who has no session
		{core.EventSaved, func(s *core.Session) { s.Set("k", 2) }, "alice", true, false},
		{core.EventLogin, func(s *core.Session) { s.Login("bob") }, "bob", true, false},
		{core.EventRegenerated, func(s *core.Session) { s.Regenerate() }, "alice", true, false},
		{core.EventDestroyed, func(s *core.Session) { s.Delete("k") }, "", false, true},
		{core.EventDestroyed, func(s *core.Session) { s.Destroy() }, "", false, false},
		{core.EventDestroyed, func(s *core.Session) { s.Login("bob"); s.Save(context.Background()); s.Destroy() }, "", false, false},
		{core.EventDestroyed, func(s *core.Session) {
			defer func() { recover(); s.MarkDirty() }() // as if it was still there
			s.Destroy()
		}, "", false, false},
	} {
		for name, store := range map[string]core.Store{"memory": nil, "cookie": cookiestore.New(cookiestore.Config{})} {
			for _, inside := range []bool{false, true} {
				var panicAt core.EventKind
				w := newWorld(t, func(c *core.Config) {
					if store != nil {
						c.Store, c.Secrets = store, []core.Secret{core.GenerateSecret()}
					}
					c.OnEvent = func(_ context.Context, e core.Event) {
						if e.Kind == panicAt {
							panicAt = ""
							panic("OnEvent")
						}
					}
				})
				c := w.client()
				switch {
				case tc.kind == core.EventCreated:
				case tc.empties:
					c.use(func(s *core.Session) { s.Set("k", 1) })
				default:
					c.use(func(s *core.Session) { s.Login("alice") })
				}
				panicAt = tc.kind
				r, rec := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
				r.Header.Set("Cookie", c.cookie)
				outside := func() (rescued any) {
					defer func() { rescued = recover() }()
					w.m.Serve(rec, r, func(rw http.ResponseWriter, r *http.Request) {
						if inside {
							defer func() { recover(); rw.WriteHeader(200) }()
						}
						tc.do(core.Get(r.Context()))
						io.WriteString(rw, "x")
					})
					return nil
				}
				if rescued := outside(); rescued != nil {
					mustBe[any](t, "panic", rescued, "OnEvent")
					http.Error(rec, "sorry", 500)
				}
				if line, ok := sessionCookie(rec); ok {
					c.cookie, _, _ = strings.Cut(line, ";")
				}
				mustBe(t, "OnEvent still to panic at", panicAt, "")
				where := fmt.Sprintf("%s, %s, answered inside %v", tc.kind, name, inside)
				mustBe(t, where+": user", c.user(), tc.user)
				mustBe(t, where+": cookie", len(c.cookie) > len("__Host-session="), tc.cookie)
				if store == nil {
					mustBe(t, where+": records", w.count(), btoi(tc.cookie))
				}
			}
		}
	}
}

// Promise 6: if nothing was saved and the error page could not be written either,
// the client sees no success. Fails if a handler that answers the panic is left
// with a 200, because the session's failure keeps its own answer back.
func TestOnErrorPanics(t *testing.T) {
	for _, who := range []string{"OnError", "OnEvent"} {
		w := newWorld(t, func(c *core.Config) {
			if who == "OnError" {
				c.OnError = func(http.ResponseWriter, *http.Request, error) { panic(who) }
				return
			}
			c.OnEvent = func(_ context.Context, e core.Event) {
				if e.Kind == core.EventCommitFailed {
					panic(who)
				}
			}
		})
		w.store.interfere(func(string) error { return errors.New("down") })
		rec := w.client().do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			s.Set("k", "v")
			defer func() {
				mustBe[any](t, "panic", recover(), who)
				http.Error(rw, "sorry", 500)
			}()
			io.WriteString(rw, "saved")
		})
		mustStatus(t, rec, 500)
		noCookie(t, rec)
	}
}
