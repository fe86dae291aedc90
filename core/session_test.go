package core_test

import (
	"bytes"
	"context"
	"encoding/json"
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
)

// Promise 1. Fails if refresh() writes without asking wantsTouch, or if the
// handler loads the session for every request.
func TestReadingNeverWrites(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		mustBe(t, "Dirty of an untouched session", s.Dirty(), false)
		io.WriteString(rw, "static")
	})
	noCookie(t, rec)
	mustBe(t, "headers of an untouched page", rec.Header().Get("Vary")+rec.Header().Get("Cache-Control"), "")
	mustBe(t, "calls", w.store.took(), "")

	rec = c.use(func(s *core.Session) {
		s.Get("k")
		s.User()
		s.ID()
		s.Keys()
		s.Dirty()
		s.Delete("k")
		s.Clear()
		s.Pop("k")
		mustBe(t, "Dirty when there was nothing to remove", s.Dirty(), false)
	})
	noCookie(t, rec)
	mustBe(t, "Vary of a page that looked", rec.Header().Get("Vary"), "Cookie")
	mustBe(t, "calls of an anonymous read", w.store.took(), "")

	c.use(func(s *core.Session) { s.Set("k", "v") })
	mustBe(t, "calls", w.store.took(), "create")
	for range 100 {
		rec = c.use(func(s *core.Session) {
			s.Get("k")
			s.Set("k", "v")
			s.Delete("absent")
			mustBe(t, "Dirty", s.Dirty(), false)
		})
		noCookie(t, rec)
		mustBe(t, "calls of a reading request", w.store.took(), "load")
	}
	rec = c.do(func(_ *core.Session, rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "static") })
	noCookie(t, rec)
	mustBe(t, "calls of an untouched page", w.store.took(), "")
}

// Promise 2. Fails if attempt() creates without asking keeps(), or if emptied
// sessions are updated like others.
func TestNothingUntilThereIsSomething(t *testing.T) {
	w := newWorld(t)
	for range 1000 {
		noCookie(t, w.client().use(func(s *core.Session) { s.Get("x"); s.SetIdleTimeout(time.Minute); s.Regenerate(); s.MarkDirty() }))
	}
	mustBe(t, "records", w.count(), 0)

	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	mustBe(t, "records", w.count(), 1)
	w.store.took()
	rec := c.use(func(s *core.Session) { s.Delete("k") })
	line, _ := sessionCookie(rec)
	if !strings.Contains(line, "Max-Age=0") {
		t.Errorf("Set-Cookie of the emptied session: %q", line)
	}
	mustBe(t, "calls", w.store.took(), "load delete-version")
	mustBe(t, "records", w.count(), 0)
	mustBe(t, "events", w.events(), "created, destroyed(emptied)")

	c.use(func(s *core.Session) { s.Set("k", 1); s.Login("u") })
	c.use(func(s *core.Session) { s.Clear() })
	mustBe(t, "user after clearing the values", c.user(), "u")
}

// Features Q16, QX3, PX6. Fails if a commit makes two calls of one, or makes
// one that nothing asked for.
func TestOneStoreCall(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.TouchInterval = time.Second })
	c := w.client()
	for _, step := range []struct {
		what, calls string
		pass        time.Duration
		h           func(s *core.Session)
	}{
		{"anonymous", "", 0, func(s *core.Session) { s.Get("k") }},
		{"first set", "create", 0, func(s *core.Session) { s.Set("k", []int{1}) }},
		{"read", "load", time.Second, func(s *core.Session) { s.Get("k") }},
		{"read later", "load touch", time.Millisecond, func(s *core.Session) { s.Get("k") }},
		{"changed in place", "load update", 0, func(s *core.Session) { v, _ := s.Get("k"); v.([]any)[0] = 2 }},
		{"emptied", "load delete-version", 0, func(s *core.Session) { s.Clear() }},
		{"fifty keys", "create", 0, func(s *core.Session) {
			for i := range 50 {
				s.Set(fmt.Sprint(i), i)
			}
		}},
		{"fifty changes and a login", "load update", 0, func(s *core.Session) {
			for i := range 50 {
				s.Set(fmt.Sprint(i), -i)
			}
			s.Login("u")
		}},
		{"destroyed", "load delete", 0, func(s *core.Session) { s.Destroy(); s.Get("k") }},
	} {
		w.clock.Advance(step.pass)
		mustStatus(t, c.use(step.h), 200)
		mustBe(t, "calls of "+step.what, w.store.took(), step.calls)
	}
}

// Feature Q27. Fails if a second Set-Cookie line is added to the first.
func TestDestroyInTheRequestThatBegan(t *testing.T) {
	w := newWorld(t)
	noCookie(t, w.client().use(func(s *core.Session) { s.Set("k", 1); s.Destroy() }))
	rec := w.client().use(func(s *core.Session) {
		s.Set("k", 1)
		if err := s.Save(context.Background()); err != nil {
			t.Error(err)
		}
		s.Destroy()
	})
	lines := rec.Result().Header["Set-Cookie"]
	if len(lines) != 1 || !strings.Contains(lines[0], "Max-Age=0") {
		t.Errorf("Set-Cookie: %q", lines)
	}
	mustBe(t, "records", w.count(), 0)
}

// Features QX4, QX5, F52. Fails if the user does not reach the context, or an
// event goes without.
func TestUserDownstream(t *testing.T) {
	type other struct{}
	var seen []string
	w := newWorld(t, func(c *core.Config) {
		c.OnEvent = func(_ context.Context, e core.Event) { seen = append(seen, string(e.Kind)+" "+e.User) }
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u1") })
	seen = nil
	c.do(func(_ *core.Session, _ http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), other{}, 1)
		s, ok := core.Lookup(ctx)
		mustBe(t, "Lookup", ok, true)
		mustBe(t, "user", s.User(), "u1")
		s.Destroy()
	})
	mustBe(t, "events", strings.Join(seen, ", "), "loaded u1, destroyed u1")
}

func TestLifeOfASession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	var id core.ID
	rec := c.use(func(s *core.Session) {
		mustBe(t, "ID before", s.ID(), core.ID{})
		s.Set("k", "v")
		mustBe(t, "ID before the commit", s.ID(), core.ID{})
		mustBe(t, "IsNew", s.IsNew(), true)
		mustBe(t, "Dirty", s.Dirty(), true)
	})
	line, _ := sessionCookie(rec)
	for _, attr := range []string{"__Host-session=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(line, attr) {
			t.Errorf("%q lacks %q", line, attr)
		}
	}
	if strings.Contains(line, "Domain") || strings.Contains(line, "Max-Age") || strings.Contains(line, "Expires") {
		t.Errorf("%q", line)
	}
	mustBe(t, "Cache-Control", rec.Header().Get("Cache-Control"), "no-store")
	if n := len(line[:strings.Index(line, ";")]); n > 160 {
		t.Errorf("the cookie has %d bytes", n)
	}
	created := w.clock.Now()
	w.clock.Advance(10 * time.Second)
	c.use(func(s *core.Session) {
		id = s.ID()
		if id.IsZero() {
			t.Error("no ID after the commit")
		}
		mustBe(t, "IsNew", s.IsNew(), false)
		mustBe(t, "Dirty", s.Dirty(), false)
		mustBe(t, "CreatedAt", s.CreatedAt(), created)
		mustBe(t, "LastAccess", s.LastAccess(), created)
		mustBe(t, "ExpiresAt", s.ExpiresAt(), w.clock.Now().Add(30*time.Minute))
		mustBe(t, "Deadline", s.Deadline(), created.Add(24*time.Hour))
		mustBe(t, "Requests", s.Requests(), 0)
		v, ok := s.Get("k")
		mustBe(t, "value", fmt.Sprintln(v, ok), "v true\n")
	})
	anonymous := c.cookie
	c.use(func(s *core.Session) { s.Login("alice"); mustBe(t, "User", s.User(), "alice") })
	if c.cookie == anonymous {
		t.Error("the login kept the token")
	}
	c.use(func(s *core.Session) {
		mustBe(t, "ID after the login", s.ID(), id)
		mustBe(t, "CreatedAt after the login", s.CreatedAt(), created)
		mustBe(t, "LoginAt", s.LoginAt(), w.clock.Now())
		mustBe(t, "Keys", fmt.Sprint(s.Keys()), "[k]")
	})
	w.send(anonymous, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "user behind the token from before the login", s.User(), "")
		mustBe(t, "reason", s.Rejected(), core.ReasonRotated)
	})
	mustBe(t, "events", w.events(), "created, saved, login, rejected(rotated)")

	before := c.cookie
	rec = c.use(func(s *core.Session) {
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		mustBe(t, "user after Destroy", s.User(), "")
		mustBe(t, "values after Destroy", s.Len(), 0)
		mustBe(t, "ID after Destroy", s.ID(), core.ID{})
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
	})
	line, _ = sessionCookie(rec)
	if !strings.HasPrefix(line, "__Host-session=;") || !strings.Contains(line, "Max-Age=0") {
		t.Errorf("clearing line %q", line)
	}
	w.send(before, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "user after logout", s.User(), "")
		mustBe(t, "reason", s.Rejected(), core.ReasonUnknown)
	})
	mustBe(t, "events", w.events(), "destroyed(logout), rejected(unknown)")
}

// Feature P17. Fails if IsNew asks whether the session is stored, and not
// whether its client has come back.
func TestIsNew(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		mustBe(t, "IsNew of nothing", s.IsNew(), true)
		s.Set("k", 1)
		if err := s.Save(t.Context()); err != nil {
			t.Error(err)
		}
		mustBe(t, "IsNew when stored", s.IsNew(), true)
	})
	c.use(func(s *core.Session) {
		mustBe(t, "IsNew when back", s.IsNew(), false)
		s.Login("u")
		mustBe(t, "IsNew at the login", s.IsNew(), false)
		s.Destroy()
		mustBe(t, "IsNew after Destroy", s.IsNew(), true)
	})
	c.use(func(s *core.Session) { mustBe(t, "IsNew after the logout", s.IsNew(), true) })
}

func TestDestroyThenSetBeginsANewSession(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u"); s.Set("old", 1) })
	old := c.cookie
	c.use(func(s *core.Session) { s.Destroy(); s.Set("message", "goodbye") })
	mustBe(t, "message", c.get("message"), any("goodbye"))
	mustBe(t, "old value", c.get("old"), nil)
	mustBe(t, "user", c.user(), "")
	mustBe(t, "same cookie", c.cookie == old, false)
}

func TestDestroyWithoutSession(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		rec := w.client().use(func(s *core.Session) {
			for range 2 {
				if err := s.Destroy(); err != nil {
					t.Error(err)
				}
			}
		})
		mustStatus(t, rec, 200)
		noCookie(t, rec)
	}
	mustBe(t, "calls", w.store.took(), "")
}

// Feature W10. Fails if next() stamps a record that exists.
func TestCreatedAtStays(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	created := w.clock.Now()
	for what, change := range map[string]func(s *core.Session){
		"a change": func(s *core.Session) { s.Set("k", w.clock.Now()) },
		"renewal":  func(s *core.Session) { s.Regenerate() },
		"a login":  func(s *core.Session) { s.Login("alice") },
		"another":  func(s *core.Session) { s.Login("bob") },
		"limits":   func(s *core.Session) { s.Persist(time.Hour) },
	} {
		c.use(func(s *core.Session) { s.Set("begun", true); change(s) })
		w.clock.Advance(time.Minute)
		c.use(func(s *core.Session) { mustBe(t, "CreatedAt after "+what, s.CreatedAt(), created) })
	}
}

// Features W59 and F29. Fails if dirty() forgets it was told.
func TestMarkDirty(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.begin()
	w.clock.Advance(time.Second) // too soon for a touch
	c.use(func(s *core.Session) {
		mustBe(t, "Dirty", s.Dirty(), false)
		s.MarkDirty()
		mustBe(t, "Dirty", s.Dirty(), true)
	})
	mustBe(t, "calls", w.store.took(), "load update")
	c.use(func(s *core.Session) {
		mustBe(t, "Dirty in the next request", s.Dirty(), false)
		mustBe(t, "LastAccess", s.LastAccess(), w.clock.Now())
	})
	mustBe(t, "calls", w.store.took(), "load")
}

// Promise 5. Fails if begin() commits whatever the status is.
func TestFailedRequestChangesNothing(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"500":   func(rw http.ResponseWriter) { rw.WriteHeader(500) },
		"503":   func(rw http.ResponseWriter) { http.Error(rw, "x", http.StatusServiceUnavailable) },
		"panic": func(http.ResponseWriter) { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.use(func(s *core.Session) { s.Set("k", "old") })
			run := func(change func(s *core.Session)) (line string) {
				r, rec := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
				r.Header.Set("Cookie", c.cookie)
				defer func() {
					p := recover()
					if p != nil {
						http.Error(rec, "sorry", 500) // as a middleware outside would
					}
					mustBe(t, "the panic travels on", p != nil, name == "panic")
					mustBe(t, "status is that of a failure", rec.Code >= 500, true)
					line, _ = sessionCookie(rec)
				}()
				w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					change(core.Get(r.Context()))
					fail(rw)
				})).ServeHTTP(rec, r)
				return ""
			}
			mustBe(t, "cookie", run(func(s *core.Session) { s.Set("k", "new"); s.Login("u") }), "")
			mustBe(t, "value", c.get("k"), any("old"))
			mustBe(t, "user", c.user(), "")
			mustBe(t, "cookie", run(func(s *core.Session) { s.Regenerate() }), "")
			mustBe(t, "value", c.get("k"), any("old"))
			line := run(func(s *core.Session) { s.Destroy(); s.Set("k", "new") })
			mustBe(t, "cleared by a logout", strings.Contains(line, "Max-Age=0"), true)
			mustBe(t, "records", w.count(), 0)
		})
	}
	w := newWorld(t, func(c *core.Config) { c.Failed = func(int) bool { return false } })
	c := w.client()
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { s.Set("k", 1); rw.WriteHeader(500) })
	mustBe(t, "value with Failed overridden", c.get("k"), any(int64(1)))
}

// Feature Q17. Fails if Config.Failed takes less than 500 for a failure.
func TestStatus4xxCommits(t *testing.T) {
	w := newWorld(t)
	for _, code := range []int{204, 302, 304, 403, 404} {
		c := w.client()
		c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { s.Set("k", code); rw.WriteHeader(code) })
		mustBe(t, "value", c.get("k"), any(int64(code)))
	}
}

// Promise 6. Fails if begin() ignores the error of commit(), or if fail() does
// not replace the answer.
func TestNoFalseSuccess(t *testing.T) {
	down := errors.New("connection refused")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "old"); s.Login("u") })
	for _, verb := range []string{"load", "create", "update", "delete", "touch"} {
		w.store.interfere(func(v string) error {
			if v == verb {
				return down
			}
			return nil
		})
		before := c.cookie
		ops := map[string]func(s *core.Session){
			"load":   func(s *core.Session) { s.User() },
			"create": func(s *core.Session) { s.Destroy(); s.Set("n", 1) },
			"update": func(s *core.Session) { s.Set("k", "new"); s.Regenerate() },
			"delete": func(s *core.Session) { s.Destroy() },
		}
		op, ok := ops[verb]
		if !ok {
			continue
		}
		if verb == "create" {
			c = w.client()
			op = func(s *core.Session) { s.Set("n", 1) }
		}
		rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			op(s)
			rw.Header().Set("Content-Length", "7")
			rw.Header().Set("Location", "/welcome")
			if n, err := io.WriteString(rw, "success"); n != 0 || !errors.Is(err, core.ErrUnavailable) {
				t.Errorf("%s: Write returned %d, %v", verb, n, err)
			}
		})
		mustStatus(t, rec, 503)
		noCookie(t, rec)
		if strings.Contains(rec.Body.String(), "success") || rec.Header().Get("Location") != "" {
			t.Errorf("%s: the handler's answer got through: %q %v", verb, rec.Body, rec.Header())
		}
		w.store.interfere(nil)
		if verb == "create" {
			mustBe(t, "records", w.count(), 1)
			c = &client{w, before}
			continue
		}
		mustBe(t, "cookie after "+verb, c.cookie, before)
		mustBe(t, "value after "+verb, c.get("k"), any("old"))
		mustBe(t, "user after "+verb, c.user(), "u")
	}
}

// Promise 7. Fails if use() lets changes through after the header was sent.
func TestLateChanges(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		io.WriteString(rw, "hello ")
		s.Set("k", 1)
		if !errors.Is(s.Err(), core.ErrLate) {
			t.Errorf("Err after a late change: %v", s.Err())
		}
		io.WriteString(rw, "world")
	})
	mustBe(t, "body", rec.Body.String(), "hello world")
	mustBe(t, "records", w.count(), 0)
	mustBe(t, "events", w.events(), "late change")

	c.use(func(s *core.Session) { s.Set("k", "old") })
	w.store.took()
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Get("k")
		rw.(http.Flusher).Flush()
		s.Set("k", "late")
		mustBe(t, "Err of a late change whose client has the cookie", s.Err(), nil)
	})
	mustBe(t, "calls", w.store.took(), "load update")
	mustBe(t, "value", c.get("k"), any("late"))
	for name, change := range map[string]func(s *core.Session){
		"login": func(s *core.Session) { s.Login("u") }, "regenerate": func(s *core.Session) { s.Regenerate() }, "persist": func(s *core.Session) { s.Persist(time.Hour) },
	} {
		c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, "x")
			change(s)
			if !errors.Is(s.Err(), core.ErrLate) {
				t.Errorf("%s: Err %v", name, s.Err())
			}
		})
	}
	mustBe(t, "user", c.user(), "")

	var leaked *core.Session
	c.use(func(s *core.Session) { leaked = s; s.Get("k") })
	w.events()
	leaked.Set("k", "leaked")
	leaked.Login("mallory")
	if _, ok := leaked.Get("k"); ok || !errors.Is(leaked.Err(), core.ErrEnded) || !errors.Is(leaked.Destroy(), core.ErrEnded) || !errors.Is(leaked.Save(context.Background()), core.ErrEnded) {
		t.Errorf("a session is of use after its request: %v", leaked.Err())
	}
	mustBe(t, "events", w.events(), "late change")
	mustBe(t, "value", c.get("k"), any("late"))
}

// Promise 8. Fails if flush() is not called at commit.
func TestEveryChangeIsFound(t *testing.T) {
	type cart struct {
		Items []string
		Count map[string]int
		Note  *string
	}
	carts := core.NewKey[cart]("cart")
	w := newWorld(t)
	c := w.client()
	note := "n"
	c.use(func(s *core.Session) {
		m := map[string]string{"a": "1"}
		s.Set("map", m)
		m["b"] = "2" // after Set
		carts.Set(s, cart{Items: []string{"x"}, Count: map[string]int{"x": 1}, Note: &note})
	})
	c.use(func(s *core.Session) { v, _ := s.Get("map"); mustBe(t, "map", fmt.Sprint(v), "map[a:1 b:2]") })
	w.store.took()
	for i, mutate := range []func(s *core.Session){
		func(s *core.Session) { v, _ := s.Get("map"); v.(map[string]any)["a"] = "9" },
		func(s *core.Session) { v, _ := carts.Get(s); v.Items[0] = "y" },
		func(s *core.Session) { v, _ := carts.Get(s); v.Count["x"]++ },
		func(s *core.Session) { v, _ := carts.Get(s); *v.Note = "changed" },
		func(s *core.Session) {
			v, _ := carts.Get(s)
			again, _ := carts.Get(s)
			v.Count["first"] = 1
			again.Count["second"] = 2
		},
	} {
		c.use(func(s *core.Session) {
			mutate(s)
			mustBe(t, "Dirty", s.Dirty(), true)
		})
		mustBe(t, fmt.Sprint("calls of mutation ", i), w.store.took(), "load update")
	}
	c.use(func(s *core.Session) {
		v, _ := carts.Get(s)
		mustBe(t, "cart", fmt.Sprintln(v.Items, v.Count, *v.Note), "[y] map[first:1 second:2 x:2] changed\n")
		m, _ := s.Get("map")
		mustBe(t, "map", fmt.Sprint(m), "map[a:9 b:2]")
		mustBe(t, "Dirty after reading only", s.Dirty(), false)
	})
	// Taken from the session, a value is the handler's own.
	w.store.took()
	c.use(func(s *core.Session) {
		v, _ := carts.Get(s)
		carts.Delete(s)
		v.Count["x"] = 99
		m, _ := s.Get("map")
		if popped, _ := s.Pop("map"); fmt.Sprint(popped) != fmt.Sprint(m) {
			t.Errorf("popped %v, had %v", popped, m)
		}
		m.(map[string]any)["a"] = "lost"
		s.Set("other", 1)
	})
	c.use(func(s *core.Session) { mustBe(t, "keys", fmt.Sprint(s.Keys()), "[other]") })
}

// Fails if Update does not take up what was changed in place before it, or if
// Clear forgets the changes of its own request.
func TestChangesInOrder(t *testing.T) {
	list := core.NewKey[[]int]("list")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { list.Set(s, []int{1, 2}) })
	c.use(func(s *core.Session) {
		v, _ := list.Get(s)
		v[0] = 9
		list.Update(s, func(v []int) []int { return append(v, 3) })
		v[1] = 8 // no longer the session's
		list.Update(s, func(v []int) []int { return append(v, 4) })[0] = 7
		s.Set("dropped", 1)
		s.Namespace("app").Set("dropped", 1)
	})
	c.use(func(s *core.Session) {
		v, _ := list.Get(s)
		mustBe(t, "list", fmt.Sprint(v), "[7 2 3 4]")
		s.Set("a", 1)
		s.Clear()
		mustBe(t, "keys after Clear", fmt.Sprint(s.Keys(), s.Namespaces()), "[] []")
		s.Set("b", 1)
	})
	c.use(func(s *core.Session) { mustBe(t, "keys", fmt.Sprint(s.Keys(), s.Namespaces()), "[b] []") })
}

func TestUnencodableValues(t *testing.T) {
	type node struct{ Next *node }
	loop := &node{}
	loop.Next = loop
	self := map[string]any{}
	self["self"] = self
	for name, v := range map[string]any{
		"channel": make(chan int), "function": func() {}, "nested": map[string]any{"f": func() {}}, "struct": struct{ F func() }{}, "cycle": loop,
		"map in itself": self, "hidden": struct{ hidden int }{1}, "complex": 1i,
	} {
		w := newWorld(t)
		rec := w.client().use(func(s *core.Session) {
			s.Set("k", v)
			var bad *core.ValueError
			if !errors.As(s.Err(), &bad) || bad.Op != "encode" || bad.Key != "k" {
				t.Errorf("%s: Err at once: %v", name, s.Err())
			}
		})
		mustStatus(t, rec, 500)
		mustBe(t, "records", w.count(), 0)
	}
}

func TestWrongType(t *testing.T) {
	number, text := core.NewKey[int]("k"), core.NewKey[string]("k")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { number.Set(s, 7) })
	rec := c.use(func(s *core.Session) {
		v, err := text.Lookup(s)
		var bad *core.ValueError
		if v != "" || !errors.As(err, &bad) || bad.Op != "decode" || s.Err() != nil {
			t.Errorf("Lookup: %q, %v, sticky %v", v, err, s.Err())
		}
		if _, err := core.NewKey[int]("absent").Lookup(s); !errors.Is(err, core.ErrNoValue) {
			t.Errorf("Lookup of nothing: %v", err)
		}
	})
	mustStatus(t, rec, 200)
	rec = c.use(func(s *core.Session) {
		if v, ok := text.Get(s); ok || v != "" || s.Err() == nil {
			t.Errorf("Get: %q, %v, %v", v, ok, s.Err())
		}
		text.Set(s, "overwritten")
	})
	mustStatus(t, rec, 500)
	rec = c.use(func(s *core.Session) { text.Update(s, func(string) string { return "overwritten" }) })
	mustStatus(t, rec, 500)
	mustBe(t, "value", c.get("k"), any(int64(7)))
}

func TestNewKeyRefuses(t *testing.T) {
	for name, f := range map[string]func(){
		"empty name":   func() { core.NewKey[int]("") },
		"long name":    func() { core.NewKey[int](strings.Repeat("x", 513)) },
		"not UTF-8":    func() { core.NewKey[int]("\xff") },
		"channel":      func() { core.NewKey[chan int]("k") },
		"func field":   func() { core.NewKey[struct{ A []func() }]("k") },
		"interface":    func() { core.NewKey[error]("k") },
		"unexported":   func() { core.NewKey[struct{ a int }]("k") },
		"complex map":  func() { core.NewKey[map[string]complex128]("k") },
		"hidden inner": func() { core.NewKey[[]struct{ A struct{ b int } }]("k") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if err, ok := recover().(error); !ok || !strings.HasPrefix(err.Error(), "sessions: ") {
					t.Errorf("recovered %v", err)
				}
			}()
			f()
		})
	}
	core.NewKey[any]("k")
	core.NewKey[time.Time]("k")
	core.NewKey[map[string][]*time.Time]("k")
	core.NewKey[struct{}]("k")
}

func TestNamespaces(t *testing.T) {
	number := core.NewKey[int]("k")
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		number.Set(s.Namespace("a"), 1)
		number.Set(s.Namespace("b"), 2)
		number.Set(s, 3)
		s.Namespace("a").Set("only", "a")
	})
	c.use(func(s *core.Session) {
		a, b := s.Namespace("a"), s.Namespace("b")
		mustBe(t, "a", number.GetOr(a, 0), 1)
		mustBe(t, "b", number.GetOr(b, 0), 2)
		mustBe(t, "root", number.GetOr(s, 0), 3)
		mustBe(t, "keys", fmt.Sprint(s.Keys(), a.Keys(), b.Keys(), s.Len(), a.Len(), b.Len()), "[k] [k only] [k] 1 2 1")
		mustBe(t, "namespaces", fmt.Sprint(s.Namespaces()), "[a b]")
		a.Clear()
		mustBe(t, "after clearing a", fmt.Sprint(a.Keys(), b.Keys(), s.Keys()), "[] [k] [k]")
	})
	for _, bad := range []string{"", strings.Repeat("x", 256), "a/b", "ü", "a b", "\xff"} {
		rec := w.client().use(func(s *core.Session) { s.Namespace(bad).Set("k", 1) })
		mustStatus(t, rec, 500)
	}
	for _, good := range []string{"a.b-c_1", strings.Repeat("x", 255)} {
		mustStatus(t, w.client().use(func(s *core.Session) { s.Namespace(good).Set("k", 1) }), 200)
	}
	c.use(func(s *core.Session) { s.Clear(); s.Set("x", 1) })
	c.use(func(s *core.Session) { mustBe(t, "namespaces after Clear", len(s.Namespaces()), 0) })
}

func TestValues(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	when := time.Date(2030, 1, 2, 3, 4, 5, 678, time.UTC)
	c.use(func(s *core.Session) {
		for k, v := range map[string]any{"nil": nil, "bool": true, "int": -5, "float": 1.5, "string": "naïve/ключ", "bytes": []byte{0, 1}, "time": when, "list": []int{1, 2}, "map": map[string]int{"a": 1},
			"id": "data", "user": "data", "naïve/ключ": 1, "\x00": 2} {
			s.Set(k, v)
		}
	})
	var id core.ID
	for info := range w.m.Sessions(t.Context()) {
		id = info.ID
	}
	c.use(func(s *core.Session) {
		mustBe(t, "id is no key", s.ID(), id)
		for k, want := range map[string]string{"nil": "<nil> true", "bool": "true true", "int": "-5 true", "float": "1.5 true", "string": "naïve/ключ true", "bytes": "[0 1] true",
			"time": when.String() + " true", "list": "[1 2] true", "map": "map[a:1] true", "id": "data true", "user": "data true", "naïve/ключ": "1 true", "\x00": "2 true", "absent": "<nil> false"} {
			v, ok := s.Get(k)
			mustBe(t, k, fmt.Sprintln(v, ok), want+"\n")
			mustBe(t, "Has "+k, s.Has(k), ok)
		}
		mustBe(t, "user is no key", s.User(), "")
		mustBe(t, "GetOr of a stored nil", core.NewKey[any]("nil").GetOr(s, 1), nil)
		n := 0
		for k, v := range s.All() {
			n++
			if m, ok := v.(map[string]any); ok {
				m["a"] = "not stored"
			}
			if k == "int" {
				s.Delete("int") // while iterating
			}
		}
		mustBe(t, "All", n, 13)
	})
	c.use(func(s *core.Session) {
		v, _ := s.Get("map")
		mustBe(t, "map", fmt.Sprint(v), "map[a:1]")
		mustBe(t, "Len", s.Len(), 12)
	})
	for _, bad := range []string{"", "\xff", strings.Repeat("k", 513)} {
		mustStatus(t, c.use(func(s *core.Session) { s.Set(bad, 1) }), 500)
		mustStatus(t, c.use(func(s *core.Session) { s.Get(bad) }), 500)
	}
}

// Feature PX3. Fails if Keys returns what the session goes on using.
func TestKeysAreCopies(t *testing.T) {
	w := newWorld(t)
	w.client().use(func(s *core.Session) {
		s.Set("b", 1)
		s.Set("a", 1)
		keys := s.Keys()
		mustBe(t, "keys in order", fmt.Sprint(keys), "[a b]")
		keys[0] = "x"
		mustBe(t, "keys", fmt.Sprint(s.Keys()), "[a b]")
		s.Namespace("n").Set("c", 1)
		names := s.Namespaces()
		names[0] = "x"
		mustBe(t, "namespaces", fmt.Sprint(s.Namespaces()), "[n]")
	})
}

// Promise 13. Fails if attempt() does not compare with maxBytes.
func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.MaxBytes = 1000 })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("a", strings.Repeat("x", 900)) })
	check := func(what string, h func(s *core.Session)) {
		t.Helper()
		rec := c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			h(s)
			_, err := io.WriteString(rw, "success")
			var large *core.TooLargeError
			if !errors.As(err, &large) || large.What != what || large.Size <= large.Limit {
				t.Errorf("err = %v, want a TooLargeError about %s", err, what)
			}
		})
		mustStatus(t, rec, 500)
		noCookie(t, rec)
		mustBe(t, "keys", len(c.get("a").(string)), 900)
	}
	check("value", func(s *core.Session) { s.Set("b", strings.Repeat("x", 1001)) })
	check("session", func(s *core.Session) { s.Set("b", strings.Repeat("x", 100)) })
	check("session", func(s *core.Session) { s.Set("b", strings.Repeat("x", 600)); s.Set("c", strings.Repeat("x", 600)) })
	c.use(func(s *core.Session) {
		s.Set("b", strings.Repeat("x", 600))
		mustBe(t, "Err", s.Err(), nil)
		s.Set("c", strings.Repeat("x", 600))
		var large *core.TooLargeError
		if !errors.As(s.Err(), &large) {
			t.Errorf("Err at once: %v", s.Err())
		}
	})
	mustStatus(t, c.use(func(s *core.Session) {
		s.Login("")
		if s.Err() == nil || s.User() != "" {
			t.Errorf("an empty user: %v", s.Err())
		}
	}), 500)
	check("user", func(s *core.Session) { s.Login(strings.Repeat("u", 256)) })

	w = newWorld(t)
	c = w.client()
	c.use(func(s *core.Session) { s.Set("a", strings.Repeat("x", 900)) })
	check("keys", func(s *core.Session) {
		for i := range 4097 {
			s.Set(fmt.Sprint(i), 1)
		}
	})
}

// What one user left must not reach the next. Fails if Login keeps the values
// or the limits of another user.
func TestLoginAsAnotherUser(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("cart", 1) })
	c.use(func(s *core.Session) { s.Login("alice"); s.Persist(30 * 24 * time.Hour) })
	c.use(func(s *core.Session) { s.Set("role", "admin"); s.Namespace("app").Set("k", 1); s.Login("alice") })
	c.use(func(s *core.Session) {
		mustBe(t, "keys of the same user", fmt.Sprint(s.Keys()), "[cart role]")
		mustBe(t, "remembered", s.ExpiresAt().After(w.clock.Now().Add(29*24*time.Hour)), true)
		s.Login("bob")
		s.Set("new", 1)
	})
	c.use(func(s *core.Session) {
		mustBe(t, "user", s.User(), "bob")
		mustBe(t, "keys", fmt.Sprint(s.Keys(), s.Namespaces()), "[new] []")
		mustBe(t, "IdleTimeout", s.IdleTimeout(), 30*time.Minute)
		mustBe(t, "ExpiresAt", s.ExpiresAt(), w.clock.Now().Add(30*time.Minute))
	})
}

// A store without VersionDeleter is served by an update that marks the end.
func TestEmptyingWithoutVersionDeleter(t *testing.T) {
	var mem *spy
	w := newWorld(t, func(c *core.Config) {
		mem = c.Store.(*spy)
		c.Store = plainStore{mem}
		c.Secrets = []core.Secret{core.GenerateSecret()}
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", 1) })
	late := w.slow(c.cookie, func(s *core.Session) { s.Delete("k") })
	c.use(func(s *core.Session) { s.Set("other", 1) })
	mustStatus(t, late(), 200)
	mustBe(t, "value of another request", c.get("other"), any(int64(1)))
	mem.took()
	rec := c.use(func(s *core.Session) { s.Delete("other") })
	if line, _ := sessionCookie(rec); !strings.Contains(line, "Max-Age=0") {
		t.Errorf("Set-Cookie %q", line)
	}
	mustBe(t, "calls", mem.took(), "load update delete")
	mustBe(t, "value", c.get("other"), nil)
}

// plainStore hides every optional power.
type plainStore struct{ s core.Store }

func (p plainStore) Load(ctx context.Context, id core.ID) (core.Record, error) {
	return p.s.Load(ctx, id)
}
func (p plainStore) Create(ctx context.Context, r core.Record) error      { return p.s.Create(ctx, r) }
func (p plainStore) Update(ctx context.Context, r core.Record) error      { return p.s.Update(ctx, r) }
func (p plainStore) Delete(ctx context.Context, id core.ID) (bool, error) { return p.s.Delete(ctx, id) }
func (p plainStore) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return p.s.Touch(ctx, id, access, expires)
}

// Promise 14. Fails if String() prints the record or the token.
func TestPrintsNothing(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "canary"); s.Login("u") })
	value := c.cookie[strings.Index(c.cookie, "=")+1:]
	c.use(func(s *core.Session) {
		s.Get("k")
		j, _ := json.Marshal(s)
		var log strings.Builder
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("x", "session", s, "manager", w.m, "both", []any{s, w.m})
		}
		text := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", s, s, s, s, w.m, w.m, w.m) + string(j) + s.LogValue().String() + log.String()
		if strings.Contains(text, "canary") || strings.Contains(text, value) || !strings.Contains(text, s.ID().String()) {
			t.Errorf("a session prints as %q", text)
		}
	})
}

// Feature W27: what net/http and the manager log of a panic shows no token and
// no value. Fails if the session or the context prints what it holds.
func TestPanicLogIsQuiet(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *core.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "canary") })
	srv := httptest.NewUnstartedServer(w.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Get("k")
		panic(fmt.Sprintf("%v %+v %#v %#v", s, s, s, r.Context()))
	})))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&log, nil), slog.LevelError)
	srv.Start()
	r, _ := http.NewRequest("GET", srv.URL, nil)
	r.Header.Set("Cookie", c.cookie)
	if _, err := http.DefaultClient.Do(r); err == nil {
		t.Error("the panic was answered")
	}
	srv.Close()
	text := log.String()
	if !strings.Contains(text, "panic serving") || !strings.Contains(text, "sessions.Session(") {
		t.Fatalf("log %q", text)
	}
	_, value, _ := strings.Cut(c.cookie, "=")
	if strings.Contains(text, "canary") || strings.Contains(text, value) {
		t.Errorf("log %q", text)
	}
}

// A string of Go may hold any bytes, and what a client sends often does: it is
// read back as it was set, and does not poison the session.
func TestStringsOfAnyBytes(t *testing.T) {
	type form struct{ Name string }
	typed, nested := core.NewKey[string]("typed"), core.NewKey[form]("nested")
	for name, codec := range map[string]core.Codec{"CBOR": core.CBOR, "JSON": core.JSON} {
		w := newWorld(t, func(c *core.Config) { c.Codec = codec })
		c := w.client()
		const text = "a\xff\xfe"
		mustStatus(t, c.use(func(s *core.Session) {
			s.Set("untyped", text)
			typed.Set(s, text)
			nested.Set(s, form{text})
			s.Set("map", map[string]any{text: text})
		}), 200)
		want := map[string]string{"CBOR": text, "JSON": "a\ufffd\ufffd"}[name]
		mustStatus(t, c.use(func(s *core.Session) {
			v, _ := s.Get("untyped")
			mustBe[any](t, name+" untyped", v, want)
			mustBe(t, name+" typed", typed.GetOr(s, ""), want)
			mustBe(t, name+" nested", nested.GetOr(s, form{}).Name, want)
			v, _ = s.Get("map")
			m, _ := v.(map[string]any)
			mustBe[any](t, name+" in a map", m[want], want)
			mustBe(t, name+" dirty", s.Dirty(), false)
		}), 200)
	}
}

// Another user's login finds nothing of the one before, not even what a handler
// had in hands and changed in place. Fails if Login forgets the keys alone.
func TestLoginOfAnotherReleasesValues(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) {
		s.Login("alice")
		s.Set("cart", map[string]any{"book": "alice's"})
	})
	for _, when := range []string{"before the login", "after the login"} {
		c.use(func(s *core.Session) {
			v, _ := s.Get("cart")
			cart, _ := v.(map[string]any)
			if cart == nil {
				t.Fatal("alice has no cart")
			}
			if when == "before the login" {
				cart["more"] = true
			}
			s.Login("bob")
			if _, ok := s.Get("cart"); ok {
				t.Errorf("%s: bob is handed alice's cart", when)
			}
			cart["more"] = "still"
		})
		mustBe(t, when+": user", c.user(), "bob")
		mustBe(t, when+": bob's cart", c.get("cart"), nil)
		c.use(func(s *core.Session) {
			s.Login("alice")
			s.Set("cart", map[string]any{"book": "alice's"})
		})
	}
}
