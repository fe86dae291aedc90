package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

var sentinels = map[string]error{
	"ErrNotFound": core.ErrNotFound, "ErrExpired": core.ErrExpired, "ErrExists": core.ErrExists, "ErrConflict": core.ErrConflict,
	"ErrCorrupt": core.ErrCorrupt, "ErrFull": core.ErrFull, "ErrGone": core.ErrGone, "ErrLate": core.ErrLate, "ErrEnded": core.ErrEnded,
	"ErrNotRevocable": core.ErrNotRevocable, "ErrUnavailable": core.ErrUnavailable, "ErrLockTimeout": core.ErrLockTimeout,
	"ErrTooManySessions": core.ErrTooManySessions, "ErrNoValue": core.ErrNoValue, "ErrConfig": core.ErrConfig,
	"errors.ErrUnsupported": errors.ErrUnsupported,
}

// Feature P39: what went wrong is told by exactly one sentinel, or by one type.
// Fails if an error wraps another besides, or none.
func TestOneSentinelForEachFailure(t *testing.T) {
	ctx := t.Context()
	answers := func(verb string, err error) func(string) error {
		return func(v string) error {
			if v == verb {
				return err
			}
			return nil
		}
	}
	// during returns the Err at the end of a request of a client that has a
	// session already.
	during := func(w *world, h func(s *core.Session, rw http.ResponseWriter)) (err error) {
		c := w.client()
		c.use(func(s *core.Session) { s.Set("k", 1) })
		c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
			h(s, rw)
			if _, err = io.WriteString(rw, "x"); err == nil {
				err = s.Err()
			}
		})
		return err
	}
	for want, fail := range map[string]func(t *testing.T) error{
		"ErrConfig": func(*testing.T) error { _, err := core.New(core.Config{}); return err },
		"ErrNotFound": func(t *testing.T) error {
			_, err := newWorld(t).m.Load(ctx, core.ID{1})
			return err
		},
		"ErrExpired": func(t *testing.T) error {
			w := newWorld(t)
			id := w.client().begin()
			w.clock.Advance(time.Hour)
			_, err := w.m.Load(ctx, id)
			return err
		},
		"ErrCorrupt": func(t *testing.T) error {
			w := newWorld(t)
			w.store.interfere(answers("load", fmt.Errorf("row 7: %w", core.ErrCorrupt)))
			_, err := w.m.Load(ctx, core.ID{1})
			return err
		},
		"ErrUnavailable": func(t *testing.T) error {
			w := newWorld(t)
			return during(w, func(s *core.Session, _ http.ResponseWriter) {
				w.store.interfere(answers("update", errors.New("down")))
				s.Set("k", 2)
			})
		},
		"ErrConflict": func(t *testing.T) error {
			w := newWorld(t)
			return during(w, func(s *core.Session, _ http.ResponseWriter) {
				w.store.interfere(answers("update", core.ErrConflict))
				s.Set("k", 2)
			})
		},
		"ErrFull": func(t *testing.T) error {
			w := newWorld(t)
			return during(w, func(s *core.Session, _ http.ResponseWriter) {
				w.store.interfere(answers("update", core.ErrFull))
				s.Set("k", 2)
			})
		},
		"ErrGone": func(t *testing.T) error {
			w := newWorld(t)
			return during(w, func(s *core.Session, _ http.ResponseWriter) {
				if _, err := w.m.Revoke(ctx, s.ID()); err != nil {
					t.Error(err)
				}
				s.Set("k", 2)
			})
		},
		"ErrLate": func(t *testing.T) error {
			return during(newWorld(t), func(s *core.Session, rw http.ResponseWriter) {
				io.WriteString(rw, "x")
				s.Login("u")
			})
		},
		"ErrEnded": func(t *testing.T) error {
			var leaked *core.Session
			newWorld(t).client().use(func(s *core.Session) { leaked = s })
			return leaked.Save(ctx)
		},
		"ErrLockTimeout": func(t *testing.T) (err error) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *core.Config) { c.Exclusive, c.LockTimeout = true, time.Millisecond })
				c := w.client()
				c.use(func(s *core.Session) { s.Set("k", 1) })
				c.use(func(s *core.Session) {
					s.Get("k") // holds the lock
					w.send(c.cookie, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Get("k"); err = s.Err() })
				})
			})
			return err
		},
		"ErrTooManySessions": func(t *testing.T) error {
			w := newWorld(t, func(c *core.Config) { c.MaxPerUser, c.RefuseLogin = 1, true })
			w.client().use(func(s *core.Session) { s.Login("u") })
			return during(w, func(s *core.Session, _ http.ResponseWriter) { s.Login("u") })
		},
		"ErrNoValue": func(t *testing.T) (err error) {
			newWorld(t).client().use(func(s *core.Session) { _, err = core.NewKey[int]("k").Lookup(s) })
			return err
		},
		"ErrNotRevocable": func(t *testing.T) (err error) {
			w := newWorld(t, func(c *core.Config) {
				c.Store, c.Secrets = cookiestore.New(cookiestore.Config{}), []core.Secret{core.GenerateSecret()}
			})
			c := w.client()
			c.use(func(s *core.Session) { s.Set("k", 1) })
			c.use(func(s *core.Session) { err = s.Destroy() })
			return err
		},
		"errors.ErrUnsupported": func(t *testing.T) error { return newWorld(t).m.Drop(ctx) },
		"*core.TooLargeError": func(t *testing.T) error {
			return during(newWorld(t), func(s *core.Session, _ http.ResponseWriter) { s.Set("k", strings.Repeat("x", 1<<17)) })
		},
		"*core.ValueError": func(t *testing.T) error {
			return during(newWorld(t), func(s *core.Session, _ http.ResponseWriter) { s.Set("k", func() {}) })
		},
		"*core.KeyError": func(t *testing.T) error {
			return during(newWorld(t), func(s *core.Session, _ http.ResponseWriter) { s.Set("", 1) })
		},
	} {
		t.Run(want, func(t *testing.T) {
			err := fail(t)
			var got []string
			for name, sentinel := range sentinels {
				if errors.Is(err, sentinel) {
					got = append(got, name)
				}
			}
			var (
				large *core.TooLargeError
				value *core.ValueError
				key   *core.KeyError
			)
			for _, target := range []any{&large, &value, &key} {
				if errors.As(err, target) {
					got = append(got, fmt.Sprintf("%T", target)[1:])
				}
			}
			if len(got) != 1 || got[0] != want {
				t.Errorf("%v is %q, want %q", err, got, want)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is a deadline besides", err)
			}
		})
	}
}

// Features Q34 and F49. Fails if the application's OnError is left out for one
// kind of failure, is asked for what is none, or if the handler's answer gets
// through beside its own.
func TestOnError(t *testing.T) {
	var told []error
	w := newWorld(t, func(c *core.Config) {
		c.OnError = func(rw http.ResponseWriter, r *http.Request, err error) {
			told = append(told, err)
			http.Error(rw, "sorry, "+r.URL.Path, http.StatusTeapot)
		}
		c.OnStart = func(r *http.Request, s *core.Session) error {
			if r.URL.Path == "/refused" {
				return errors.New("not today")
			}
			return nil
		}
	})
	down := func(verb string) func(string) error {
		return func(v string) error {
			if v == verb {
				return errors.New("down")
			}
			return nil
		}
	}
	for _, tc := range []struct {
		name, path string
		fails      func(string) error
		h          func(c *client, s *core.Session)
		want       error // nil if OnError is not asked
	}{
		{"well", "/", nil, func(_ *client, s *core.Session) { s.Set("k", 2) }, nil},
		{"load", "/", down("load"), func(_ *client, s *core.Session) { s.User() }, core.ErrUnavailable},
		{"update", "/", down("update"), func(_ *client, s *core.Session) { s.Set("k", 2) }, core.ErrUnavailable},
		{"logout", "/", down("delete"), func(_ *client, s *core.Session) { s.Destroy() }, core.ErrUnavailable},
		{"touch", "/", down("touch"), func(_ *client, s *core.Session) { s.User() }, nil},
		{"not used", "/", down("load"), func(*client, *core.Session) {}, nil},
		{"gone", "/", nil, func(c *client, s *core.Session) {
			s.Set("k", 2)
			c.use(func(s *core.Session) { s.Destroy() })
		}, core.ErrGone},
		{"OnStart", "/refused", nil, func(*client, *core.Session) {}, errors.New("not today")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.client()
			c.use(func(s *core.Session) { s.Set("k", 1) })
			w.clock.Advance(10 * time.Minute) // a touch is due
			w.store.interfere(tc.fails)
			defer w.store.interfere(nil)
			told = nil
			r := httptest.NewRequest("GET", tc.path, nil)
			r.Header.Set("Cookie", c.cookie)
			rec := w.visit(r, func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "/welcome")
				tc.h(c, s)
				io.WriteString(rw, "welcome")
				io.WriteString(rw, "!")
			})
			if tc.want == nil {
				mustStatus(t, rec, 200)
				mustBe(t, "body", rec.Body.String(), "welcome!")
				mustBe(t, "asked", len(told), 0)
				return
			}
			mustStatus(t, rec, 418)
			mustBe(t, "body", rec.Body.String(), "sorry, "+tc.path+"\n")
			mustBe(t, "Location", rec.Header().Get("Location"), "")
			noCookie(t, rec)
			mustBe(t, "asked", len(told), 1)
			if !errors.Is(told[0], tc.want) && told[0].Error() != tc.want.Error() {
				t.Errorf("asked about %v, want %v", told[0], tc.want)
			}
		})
	}
	// A failure that is the handler's own is its to answer.
	told = nil
	c := w.client()
	mustStatus(t, c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { s.Set("k", 1); rw.WriteHeader(500) }), 500)
	mustBe(t, "asked about a 500 of the handler's", len(told), 0)
}

// hanging is a store of which one verb does not return while its context lives.
type hanging struct {
	core.Store
	verb string
}

func (h *hanging) Unwrap() core.Store { return h.Store }

func (h *hanging) call(ctx context.Context, verb string, f func() error) error {
	if verb == h.verb {
		<-ctx.Done()
		return ctx.Err()
	}
	return f()
}

func (h *hanging) Load(ctx context.Context, id core.ID) (rec core.Record, err error) {
	err = h.call(ctx, "load", func() (err error) { rec, err = h.Store.Load(ctx, id); return err })
	return rec, err
}

func (h *hanging) Create(ctx context.Context, rec core.Record) error {
	return h.call(ctx, "create", func() error { return h.Store.Create(ctx, rec) })
}

func (h *hanging) Update(ctx context.Context, rec core.Record) error {
	return h.call(ctx, "update", func() error { return h.Store.Update(ctx, rec) })
}

func (h *hanging) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	err = h.call(ctx, "delete", func() (err error) { existed, err = h.Store.Delete(ctx, id); return err })
	return existed, err
}

func (h *hanging) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return h.call(ctx, "touch", func() error { return h.Store.Touch(ctx, id, access, expires) })
}

// Fails if a call of the store is not bounded by Config.StoreTimeout, or not by
// its default.
func TestStoreTimeout(t *testing.T) {
	for verb, h := range map[string]func(s *core.Session){
		"load":   func(s *core.Session) { s.User() },
		"create": func(s *core.Session) { s.Destroy(); s.Set("k", 1) },
		"update": func(s *core.Session) { s.Set("k", 2) },
		"delete": func(s *core.Session) { s.Destroy() },
		"touch":  func(s *core.Session) { s.User() },
	} {
		for configured, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 2 * time.Second: 2 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				store := &hanging{}
				w := newWorld(t, func(c *core.Config) {
					store.Store, c.Store, c.StoreTimeout = c.Store, store, configured
				})
				c := w.client()
				c.use(func(s *core.Session) { s.Set("k", 1) })
				w.clock.Advance(10 * time.Minute) // a touch is due
				store.verb = verb
				begun := time.Now()
				rec := c.use(h)
				mustBe(t, verb+": the request took", time.Since(begun), want)
				mustBe(t, verb+": refused", rec.Code == 503, verb != "touch")
			})
		}
	}
}
