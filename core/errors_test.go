package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
