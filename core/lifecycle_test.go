package core_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Features W24, B15, PX11: every session that ends is reported once, with how.
// Fails if load() does not have an expired record removed, if expired() takes
// one reason for another, or if New() does not listen.
func TestEveryEndIsReportedOnce(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		want string
		end  func(w *world, c *client, id core.ID)
	}{
		{"destroyed(logout)", func(w *world, c *client, id core.ID) {
			c.use(func(s *core.Session) { s.Destroy() })
		}},
		{"destroyed(emptied)", func(w *world, c *client, id core.ID) {
			c.use(func(s *core.Session) { s.Clear() })
		}},
		{"destroyed(revoke)", func(w *world, c *client, id core.ID) { w.m.Revoke(ctx, id) }},
		{"expired(expired), destroyed(idle)", func(w *world, c *client, id core.ID) {
			w.clock.Advance(30 * time.Minute)
			c.get("k")
		}},
		{"saved, expired(expired), destroyed(absolute)", func(w *world, c *client, id core.ID) {
			c.use(func(s *core.Session) { s.SetExpiry(w.clock.Now().Add(time.Minute)) })
			w.clock.Advance(30 * time.Minute)
			c.get("k")
		}},
		{"destroyed(sweep)", func(w *world, c *client, id core.ID) {
			w.clock.Advance(31 * time.Minute)
			w.m.Sweep(ctx)
		}},
		{"destroyed(idle)", func(w *world, c *client, id core.ID) { // too late for a revocation
			w.clock.Advance(31 * time.Minute)
			w.m.Revoke(ctx, id)
		}},
	} {
		t.Run(tc.want, func(t *testing.T) {
			w := newWorld(t)
			c, live := w.client(), w.client()
			id, other := c.begin(), live.begin()
			w.m.SetExpiry(ctx, other, w.clock.Now().Add(20*24*time.Hour))
			live.use(func(s *core.Session) { s.SetIdleTimeout(10 * 24 * time.Hour) })
			old := *c
			w.events()
			tc.end(w, c, id)
			mustBe(t, "events", w.events(), tc.want)

			// Whatever comes after, it has ended.
			w.clock.Advance(48 * time.Hour)
			old.get("k")
			w.m.Revoke(ctx, id)
			w.m.Sweep(ctx)
			if got := w.events(); got != "" && got != "rejected(unknown)" {
				t.Errorf("later: %s", got)
			}
			mustBe(t, "records", w.count(), 1)
		})
	}
}

// Without the power to delete by version an emptied session leaves an expired
// record for a moment. Fails if that is reported as another end.
func TestEmptiedSessionIsReportedOnce(t *testing.T) {
	w := newWorld(t)
	w.m = core.MustNew(core.Config{
		Store: plain{w.store.Store.(*memorystore.Store)}, Clock: w.clock.Now, Secrets: []core.Secret{core.GenerateSecret()},
		OnEvent: func(_ context.Context, e core.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.evs = append(w.evs, e)
		},
	})
	c := w.client()
	c.begin()
	c.use(func(s *core.Session) { s.Clear() })
	mustBe(t, "events", w.events(), "destroyed(emptied)")
	mustBe(t, "records", w.count(), 0)
}

// plain is a store that can do little more than it must.
type plain struct{ store *memorystore.Store }

func (p plain) Load(ctx context.Context, id core.ID) (core.Record, error) {
	return p.store.Load(ctx, id)
}
func (p plain) Create(ctx context.Context, rec core.Record) error { return p.store.Create(ctx, rec) }
func (p plain) Update(ctx context.Context, rec core.Record) error { return p.store.Update(ctx, rec) }
func (p plain) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return p.store.Touch(ctx, id, access, expires)
}
func (p plain) Delete(ctx context.Context, id core.ID) (bool, error) { return p.store.Delete(ctx, id) }
func (p plain) Count(ctx context.Context) (int, error)               { return p.store.Count(ctx) }
func (p plain) Expire(ctx context.Context, id core.ID) error         { return p.store.Expire(ctx, id) }
func (p plain) NotifyExpired(fn func(context.Context, core.Record, bool)) func() {
	return p.store.NotifyExpired(fn)
}

// expirer is a store that can be told to fail, and counts who listens.
type expirer struct {
	core.Store
	expired   []core.ID
	err       error
	listening int
	closed    bool
}

func (e *expirer) Expire(_ context.Context, id core.ID) error {
	e.expired = append(e.expired, id)
	return e.err
}

func (e *expirer) NotifyExpired(func(context.Context, core.Record, bool)) func() {
	e.listening++
	return func() { e.listening-- }
}

func (e *expirer) Close() error {
	e.closed = e.listening > 0
	return nil
}

// Feature PX11. Fails if a failure to remove an expired record reaches the
// request, or if somebody but a request has it removed.
func TestExpiredRecordIsRemoved(t *testing.T) {
	w := newWorld(t)
	store := &expirer{Store: w.store.Store}
	w.store.Store = store
	w.m = core.MustNew(core.Config{Store: w.store, Clock: w.clock.Now, Secrets: []core.Secret{core.GenerateSecret()},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	mustBe(t, "listeners, with nobody to hear of it", store.listening, 0)
	c := w.client()
	id := c.begin()
	c.get("k")
	mustBe(t, "removed while live", len(store.expired), 0)
	w.clock.Advance(31 * time.Minute)
	w.m.Exists(t.Context(), id)
	w.m.Valid(t.Context(), id)
	w.m.Load(t.Context(), id)
	mustBe(t, "removed by administration", len(store.expired), 0)
	store.err = errors.New("down")
	rec := c.use(func(s *core.Session) {
		mustBe(t, "reason", s.Rejected(), core.ReasonExpired)
		s.Set("k", 2) // life goes on
	})
	mustStatus(t, rec, 200)
	mustBe(t, "removed", len(store.expired), 1)
	mustBe(t, "removed ID", store.expired[0], id)
	mustBe(t, "value of the new session", c.get("k"), any(int64(2)))
}

// Fails if New() or Close() leaves out its half.
func TestManagerListens(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	loud := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, tc := range []struct {
		name string
		cfg  core.Config
		want int
	}{
		{"nobody", core.Config{Logger: quiet}, 0},
		{"OnEvent", core.Config{Logger: quiet, OnEvent: func(context.Context, core.Event) {}}, 1},
		{"debug log", core.Config{Logger: loud}, 1},
	} {
		store := &expirer{Store: memorystore.New(memorystore.Config{})}
		tc.cfg.Store, tc.cfg.Secrets = &spy{Store: store}, []core.Secret{core.GenerateSecret()}
		m := core.MustNew(tc.cfg)
		mustBe(t, tc.name, store.listening, tc.want)
		m.Close()
		mustBe(t, tc.name+", after Close", store.listening, 0)
		mustBe(t, tc.name+", told of until the store is closed", store.closed, tc.want > 0)
	}
}
