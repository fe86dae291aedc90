package core_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Features B35 and F47: at most N sessions per user, the oldest login ends.
func TestMaxPerUser(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.MaxPerUser = 2 })
	var clients []*client
	for range 4 {
		c := w.client()
		c.use(func(s *core.Session) { s.Login("alice") })
		clients = append(clients, c)
		w.clock.Advance(time.Second)
	}
	bob := w.client()
	bob.use(func(s *core.Session) { s.Login("bob") })
	mustBe(t, "events", strings.Count(w.events(), "destroyed(limit)"), 2)
	for i, want := range []string{"", "", "alice", "alice"} {
		mustBe(t, "user", clients[i].user(), want)
	}
	mustBe(t, "bob", bob.user(), "bob")

	// To log in again is no more sessions, and makes this one the latest.
	clients[2].use(func(s *core.Session) { s.Login("alice") })
	mustBe(t, "events", strings.Count(w.events(), "destroyed(limit)"), 0)
	w.clock.Advance(time.Second)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	mustBe(t, "user", clients[3].user(), "")
	mustBe(t, "user", clients[2].user(), "alice")

	// Who had a session before the login counts like everybody else.
	w.clock.Advance(time.Second)
	w.events()
	before := w.client()
	before.use(func(s *core.Session) { s.Set("cart", 1) })
	before.use(func(s *core.Session) { s.Login("alice") })
	mustBe(t, "user", before.user(), "alice")
	mustBe(t, "user", clients[2].user(), "")
	mustBe(t, "events", strings.Count(w.events(), "destroyed(limit)"), 1)

	// Two logins in one moment: the earlier one ends.
	first, second := w.client(), w.client()
	for range 2 {
		first.use(func(s *core.Session) { s.Login("carol") })
		second.use(func(s *core.Session) { s.Login("carol") })
		third := w.client()
		third.use(func(s *core.Session) { s.Login("carol") })
		mustBe(t, "the last", third.user(), "carol")
	}
}

func TestRefuseLogin(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.MaxPerUser, c.RefuseLogin = 1, true })
	a, b := w.client(), w.client()
	a.use(func(s *core.Session) { s.Login("alice") })
	b.use(func(s *core.Session) { s.Set("cart", 1) })
	rec := b.use(func(s *core.Session) { s.Set("cart", 2); s.Login("alice") })
	mustStatus(t, rec, 409)
	noCookie(t, rec)
	if !strings.Contains(rec.Body.String(), "logged in too often") {
		t.Errorf("answer %q", rec.Body)
	}
	mustBe(t, "user", b.user(), "")
	mustBe[any](t, "cart", b.get("cart"), int64(1))
	mustBe(t, "user", a.user(), "alice")
	mustStatus(t, a.use(func(s *core.Session) { s.Login("alice") }), 200)
	rec = w.client().use(func(s *core.Session) { s.Login("alice") })
	mustStatus(t, rec, 409)
	mustBe(t, "records", w.count(), 2)
	a.use(func(s *core.Session) { s.Destroy() })
	mustStatus(t, b.use(func(s *core.Session) { s.Login("alice") }), 200)

	// It is an answer, not a failure: no operator is called.
	var log strings.Builder
	loud := newWorld(t, func(c *core.Config) {
		c.MaxPerUser, c.RefuseLogin, c.Logger = 1, true, slog.New(slog.NewTextHandler(&log, nil))
	})
	loud.client().use(func(s *core.Session) { s.Login("alice") })
	mustStatus(t, loud.client().use(func(s *core.Session) { s.Login("alice") }), 409)
	mustBe(t, "log", log.String(), "")

	// A store that fails refuses nobody by mistake, and lets nobody in.
	w.store.interfere(nil)
	broken := newWorld(t, func(c *core.Config) {
		c.Store = noList{c.Store}
		c.MaxPerUser, c.RefuseLogin = 1, true
	})
	mustStatus(t, broken.client().use(func(s *core.Session) { s.Login("alice") }), 503)
	mustBe(t, "records", broken.count(), 0)
	open := newWorld(t, func(c *core.Config) {
		c.Store = noList{c.Store}
		c.MaxPerUser = 1
	})
	mustStatus(t, open.client().use(func(s *core.Session) { s.Login("alice") }), 200)
	if ev := open.events(); !strings.Contains(ev, "limit failed") {
		t.Errorf("events %q", ev)
	}
}

// noList is a store whose index of users is down.
type noList struct{ core.Store }

func (n noList) Unwrap() core.Store { return n.Store }

func (noList) ListUser(context.Context, string) ([]core.Record, error) {
	return nil, errors.New("down")
}

// meeting is a store whose list two callers ask for at the same time. It gives
// them opposite orders.
type meeting struct {
	core.Store
	met chan struct{}
}

func (m meeting) Unwrap() core.Store { return m.Store }

func (m meeting) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	first := m.meet()
	defer m.meet()
	recs, err := m.Store.(core.UserLister).ListUser(ctx, user)
	slices.SortFunc(recs, func(a, b core.Record) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	if first {
		slices.Reverse(recs)
	}
	return recs, err
}

// meet waits for the other caller. One of the two is the first.
func (m meeting) meet() (first bool) {
	select {
	case m.met <- struct{}{}:
		return true
	case <-m.met:
		return false
	}
}

// Two logins of one millisecond, each of which sees the other, do not end each
// other: who clicks twice is logged in. Fails if each takes its own for the
// later one, or goes by the order of the list.
func TestMaxPerUserSameMoment(t *testing.T) {
	clock := newClock()
	mem := memorystore.New(memorystore.Config{Clock: clock.Now})
	defer mem.Close()
	w := newWorld(t, func(c *core.Config) {
		c.Store, c.Clock, c.MaxPerUser = meeting{mem, make(chan struct{})}, clock.Now, 1
	})
	for range 8 { // random IDs decide who stays
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { w.client().use(func(s *core.Session) { s.Login("alice") }) })
		}
		wg.Wait()
		live, _ := mem.ListUser(t.Context(), "alice")
		mustBe(t, "sessions", len(live), 1)
		mem.Delete(t.Context(), live[0].ID)
	}
}

// The session that is to end logs in anew at that very moment: it stays, and the
// one that is the oldest then ends. A mere change of it makes no difference.
// Fails if the victim is named by its ID alone, or if the first conflict counts.
func TestMaxPerUserVictimLogsIn(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(s *core.Session)
		stays     []string
	}{
		"logs in":  {func(s *core.Session) { s.Login("alice") }, []string{"alice", "", "alice"}},
		"as bob":   {func(s *core.Session) { s.Login("bob") }, []string{"bob", "alice", "alice"}},
		"changes":  {func(s *core.Session) { s.Set("k", "v") }, []string{"", "alice", "alice"}},
		"logs out": {func(s *core.Session) { s.Destroy() }, []string{"", "alice", "alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *core.Config) { c.MaxPerUser = 2 })
			var clients []*client
			for i := range 3 {
				c := w.client()
				if i == 2 {
					w.store.interfere(func(verb string) error {
						if verb == "delete-version" {
							w.store.interfere(nil)
							w.clock.Advance(time.Second)
							clients[0].use(tc.meanwhile)
						}
						return nil
					})
				}
				c.use(func(s *core.Session) { s.Login("alice") })
				clients = append(clients, c)
				w.clock.Advance(time.Second)
			}
			for i, want := range tc.stays {
				mustBe(t, "user", clients[i].user(), want)
			}
			if evs := w.events(); strings.Contains(evs, "limit failed") {
				t.Error(evs)
			}
		})
	}
}

// A login is later than those that are over, whatever the clocks of their nodes
// say: it never ends itself.
func TestMaxPerUserSkew(t *testing.T) {
	clock := newClock()
	mem := memorystore.New(memorystore.Config{Clock: clock.Now})
	defer mem.Close()
	node := func(skew time.Duration) *world {
		return newWorld(t, func(c *core.Config) {
			c.Store, c.MaxPerUser, c.Clock = mem, 1, func() time.Time { return clock.Now().Add(skew) }
		})
	}
	ahead, behind := node(5*time.Second), node(0)
	ahead.client().use(func(s *core.Session) { s.Login("alice") })
	c := behind.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	mustBe(t, "who logged in last", c.user(), "alice")
	mustBe(t, "sessions", behind.count(), 1)
}

// However many log in at once, as many as the limit are left.
func TestMaxPerUserRace(t *testing.T) {
	mem := memorystore.New(memorystore.Config{})
	defer mem.Close()
	for range 20 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				w := newWorld(t, func(c *core.Config) { c.Store, c.MaxPerUser, c.Clock = mem, 2, time.Now })
				w.client().do(func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Login("alice") })
			})
		}
		wg.Wait()
		m := core.MustNew(core.Config{Store: mem})
		live, err := m.UserSessions(t.Context(), "alice")
		if err != nil || len(live) != 2 {
			t.Fatalf("%d sessions are left, %v", len(live), err)
		}
		if _, err := m.RevokeUser(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	}
}
