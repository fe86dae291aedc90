package core_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Fails if find takes over the record of a second copy of the cookie without
// its readOnly: a token that was replaced between the two loads could write.
func TestTwoCopiesAroundARotation(t *testing.T) {
	w := newWorld(t, func(cfg *core.Config) { cfg.RotationGrace = 10 * time.Second })
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	copied := c.cookie
	loads := 0
	w.store.interfere(func(verb string) error {
		if verb == "load" {
			if loads++; loads == 2 {
				c.use(func(s *core.Session) { s.Regenerate() })
			}
		}
		return nil
	})
	rec := w.send(copied+"; "+copied, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Set("k", "old") })
	w.store.interfere(nil)
	mustStatus(t, rec, http.StatusConflict)
	noCookie(t, rec)
	mustBe(t, "the value", c.get("k"), any("v"))
}

// Fails if a load that panicked half way leaves what it had found: the session
// may have ended since.
func TestLoadAfterAPanic(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	copied, loads := c.cookie, 0
	w.store.interfere(func(verb string) error {
		if loads++; loads == 2 {
			panic("store")
		}
		return nil
	})
	w.send(copied+"; "+copied, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		func() {
			defer func() { mustBe[any](t, "panic", recover(), "store") }()
			s.User()
		}()
		c.use(func(s *core.Session) { s.Destroy() })
		mustBe(t, "user of a session that ended", s.User(), "")
	})
}
