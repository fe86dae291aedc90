package core_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// begin stores a session and returns its ID.
func (c *client) begin() (id core.ID) {
	c.use(func(s *core.Session) { s.Set("k", 1) })
	c.use(func(s *core.Session) { id = s.ID() })
	c.w.events()
	c.w.store.took()
	return id
}

// Feature P33. Fails if Valid, or live() under it, mixes two of its answers up,
// or if it stores anything.
func TestValid(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	id := w.client().begin()
	mustBe(t, "live", w.m.Valid(ctx, id), nil)
	mustBe(t, "unknown", w.m.Valid(ctx, core.ID{1}), core.ErrNotFound)
	w.store.interfere(func(string) error { return fmt.Errorf("%w: by a test", core.ErrCorrupt) })
	mustBe(t, "corrupt", w.m.Valid(ctx, id), core.ErrCorrupt)
	w.store.interfere(func(string) error { return errors.New("down") })
	if err := w.m.Valid(ctx, id); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("Valid with the store down: %v", err)
	}
	w.store.interfere(nil)
	w.clock.Advance(31 * time.Minute)
	for range 2 {
		mustBe(t, "expired", w.m.Valid(ctx, id), core.ErrExpired)
	}
	mustBe(t, "calls", w.store.took(), "load load load load load load")
	mustBe(t, "events", w.events(), "")
}

// Features Q12, P34. Fails if Exists counts as a use, or takes an expired
// session that was not swept for a live one.
func TestExists(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, func(c *core.Config) { c.IdleTimeout = 2 * time.Hour; c.TouchInterval = time.Minute })
	c := w.client()
	id, created := c.begin(), w.clock.Now()
	exists := func() string {
		ok, err := w.m.Exists(ctx, id)
		return fmt.Sprint(ok, " ", err)
	}
	w.clock.Advance(time.Hour)
	mustBe(t, "Exists an hour later", exists(), "true <nil>")
	mustBe(t, "calls", w.store.took(), "load")
	for info, err := range w.m.Sessions(ctx) {
		mustBe(t, "Sessions", err, nil)
		mustBe(t, "LastAccess", info.LastAccess, created)
	}
	w.store.interfere(func(string) error { return errors.New("down") })
	if ok, err := w.m.Exists(ctx, id); ok || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("Exists with the store down: %v, %v", ok, err)
	}
	w.store.interfere(nil)
	w.clock.Advance(time.Hour)
	mustBe(t, "Exists of an expired session", exists(), "false <nil>")
	if _, err := w.m.Load(ctx, id); !errors.Is(err, core.ErrExpired) {
		t.Errorf("Load of an expired session: %v", err)
	}
}

// Features QX13, QX15, QX21. Fails if Sessions yields an expired session or
// keeps a fact to itself, or if Sweep removes a live one.
func TestSessions(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	for range 2 {
		w.client().begin()
	}
	w.clock.Advance(20 * time.Minute)
	want := map[core.ID]string{}
	var tokens []string
	for _, user := range []string{"ann", "bob", "cid"} {
		c := w.client()
		id := c.begin()
		c.use(func(s *core.Session) { s.Login(user) })
		want[id], tokens = user, append(tokens, strings.SplitN(c.cookie, "=", 2)[1])
	}
	created := w.clock.Now()
	w.clock.Advance(20 * time.Minute)
	n := 0
	for info, err := range w.m.Sessions(ctx) {
		mustBe(t, "error", err, nil)
		mustBe(t, "info", info, core.Info{
			ID: info.ID, User: want[info.ID], CreatedAt: created, LoginAt: created, LastAccess: created,
			ExpiresAt: created.Add(30 * time.Minute), Deadline: created.Add(24 * time.Hour),
		})
		for _, token := range tokens {
			if strings.Contains(fmt.Sprintf("%+v %#v", info, info), token) {
				t.Error("what is listed opens a session")
			}
		}
		n++
	}
	mustBe(t, "live sessions", n, 3)
	swept, err := w.m.Sweep(ctx)
	mustBe(t, "Sweep", fmt.Sprint(swept, err), "2 <nil>")
	mustBe(t, "left", w.count(), 3)
	sweeper, ok := w.store.Unwrap().(core.Sweeper) // of Manager.Store, as its administration would
	mustBe(t, "the store can sweep", ok && w.m.Store() == core.Store(w.store), true)
	swept, err = sweeper.Sweep(ctx, time.Time{}, w.clock.Now())
	mustBe(t, "Sweep of the store", fmt.Sprint(swept, err), "0 <nil>")

	// A store may list what expired a moment ago; the manager does not.
	for info := range core.MustNew(core.Config{Store: listing{w.store}, Clock: w.clock.Now}).Sessions(ctx) {
		t.Errorf("an expired session is listed: %v", info)
	}
	for _, err := range core.MustNew(core.Config{Store: plainStore{w.store}, Secrets: []core.Secret{core.GenerateSecret()}}).Sessions(ctx) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Sessions of a store that cannot list: %v", err)
		}
	}
}

// listing is a store that lists a record without an end.
type listing struct{ core.Store }

func (l listing) Unwrap() core.Store { return l.Store }

func (listing) List(context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) { yield(core.Record{ID: core.ID{1}}, nil) }
}

// Features W11, Q12 and B28: who looks from outside is no user of the session,
// and asks the store for a record once at most. Fails if one of them touches,
// or stores, or loads twice.
func TestAdministrationIsNoUse(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Login("alice") })
	var id core.ID
	c.use(func(s *core.Session) { id = s.ID() })
	start := w.clock.Now()
	w.clock.Advance(10 * time.Minute) // more than enough for a touch
	w.store.took()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", c.cookie)
	for what, look := range map[string]func() error{
		"Exists":     func() error { _, err := w.m.Exists(ctx, id); return err },
		"Valid":      func() error { return w.m.Valid(ctx, id) },
		"HasSession": func() error { _, err := w.m.HasSession(ctx, r); return err },
		"Load": func() error {
			s, err := w.m.Load(ctx, id)
			mustBe(t, "user", s.User(), "alice")
			return err
		},
	} {
		mustBe(t, what, look(), nil)
		mustBe(t, "calls of "+what, w.store.took(), "load")
	}
	infos, err := w.m.UserSessions(ctx, "alice")
	mustBe(t, "UserSessions", fmt.Sprint(len(infos), err), "1 <nil>")
	for i, err := range w.m.Sessions(ctx) {
		mustBe(t, "Sessions", err, nil)
		mustBe(t, "LastAccess in the list", i.LastAccess, start)
	}
	mustBe(t, "calls of lists", w.store.took(), "")
	c.use(func(s *core.Session) { mustBe(t, "LastAccess", s.LastAccess(), start) })
}

// Features W11 and B17: what is saved from outside is no use of the session
// either. Fails if it moves the access time, by an update or by a touch, or
// undoes what a request stored of it since the load.
func TestSavingFromOutsideIsNoUse(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	c := w.client()
	id := c.begin()
	load := func() *core.Session {
		t.Helper()
		s, err := w.m.Load(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	used := w.clock.Now()
	w.clock.Advance(20 * time.Minute) // more than enough for a touch
	mustBe(t, "Save of nothing", load().Save(ctx), nil)
	s := load()
	s.Set("from", "a worker")
	mustBe(t, "Save", s.Save(ctx), nil)
	mustBe(t, "ExpiresAt of what was saved", s.ExpiresAt(), used.Add(30*time.Minute))
	rec, err := w.store.Load(ctx, id)
	mustBe(t, "record", fmt.Sprint(rec.Version, rec.LastAccess, rec.ExpiresAt, err),
		fmt.Sprint(2, used, used.Add(30*time.Minute), nil))

	s = load()
	s.Set("from", "a slow worker")
	mustBe(t, "value set outside HTTP", c.get("from"), any("a worker")) // and a touch
	used = w.clock.Now()
	mustBe(t, "Save after a touch", s.Save(ctx), nil)
	rec, err = w.store.Load(ctx, id)
	mustBe(t, "record after a touch", fmt.Sprint(rec.Version, rec.LastAccess, rec.ExpiresAt, err),
		fmt.Sprint(3, used, used.Add(30*time.Minute), nil))

	s = load()
	s.Set("from", "too late")
	w.clock.Advance(30 * time.Minute)
	if err := s.Save(ctx); !errors.Is(err, core.ErrGone) {
		t.Errorf("Save of a session that expired since: %v", err)
	}
}

// Feature W56: what a store cannot do is said, not guessed. Fails if
// one of them answers nothing instead.
func TestStoreWithoutPowers(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, func(c *core.Config) {
		c.Store = plainStore{c.Store}
		c.Secrets = []core.Secret{core.GenerateSecret()}
	})
	w.client().use(func(s *core.Session) { s.Login("alice") })
	_, count := w.m.Count(ctx)
	_, list := w.m.UserSessions(ctx, "alice")
	n, revoke := w.m.RevokeUser(ctx, "alice")
	mustBe(t, "revoked", n, 0)
	var all []error
	for _, err := range w.m.Sessions(ctx) {
		all = append(all, err)
	}
	mustBe(t, "answers of Sessions", len(all), 1)
	for what, err := range map[string]error{
		"Count": count, "UserSessions": list, "RevokeUser": revoke, "Sessions": all[0], "Drop": w.m.Drop(ctx),
	} {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "plainStore") {
			t.Errorf("%s: %v", what, err)
		}
	}
	swept, err := w.m.Sweep(ctx)
	mustBe(t, "Sweep", fmt.Sprint(swept, err), "0 <nil>")
}

// Feature P32. Fails if SetExpiry() does not look at the limits first, counts as
// a use, or writes a record that it did not read.
func TestManagerSetExpiry(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	c := w.client()
	id := c.begin()
	info := func() core.Info {
		t.Helper()
		for i, err := range w.m.Sessions(ctx) {
			if err == nil && i.ID == id {
				return i
			}
		}
		t.Fatal("no such session")
		return core.Info{}
	}
	created := w.clock.Now()
	w.clock.Advance(time.Minute)
	if err := w.m.SetExpiry(ctx, id, created.Add(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Deadline", info().Deadline, created.Add(10*time.Minute))
	mustBe(t, "ExpiresAt", info().ExpiresAt, created.Add(10*time.Minute))
	mustBe(t, "LastAccess", info().LastAccess, created)
	mustBe(t, "value", c.get("k"), any(int64(1)))
	w.events()
	if err := w.m.SetExpiry(ctx, id, created.Add(1000*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Deadline at most", info().Deadline, w.clock.Now().Add(core.MaxLifetime))
	mustBe(t, "events", w.events(), "saved")
	rec, err := w.store.Load(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, "Horizon", rec.Horizon, info().Deadline)

	// It merges with what another request stores meanwhile.
	lost := 0
	w.store.interfere(func(verb string) error {
		if verb == "update" && lost < 3 {
			lost++
			return core.ErrConflict
		}
		return nil
	})
	mustBe(t, "SetExpiry after conflicts", w.m.SetExpiry(ctx, id, w.clock.Now().Add(time.Hour)), nil)
	mustBe(t, "conflicts", lost, 3)
	w.store.interfere(func(verb string) error {
		if verb == "update" {
			return errors.New("down")
		}
		return nil
	})
	if err := w.m.SetExpiry(ctx, id, w.clock.Now().Add(time.Hour)); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("SetExpiry with the store down: %v", err)
	}
	w.store.interfere(nil)

	// No revival: not of one that has expired, and not of one that was ended.
	w.clock.Advance(time.Hour)
	mustBe(t, "SetExpiry of an expired session", w.m.SetExpiry(ctx, id, w.clock.Now().Add(time.Hour)), core.ErrExpired)
	mustBe(t, "value of an expired session", c.get("k"), nil)
	mustBe(t, "SetExpiry of an unknown session", w.m.SetExpiry(ctx, core.ID{1}, w.clock.Now().Add(time.Hour)), core.ErrNotFound)

	// A time that is not in the future ends it.
	c = w.client()
	id = c.begin()
	mustBe(t, "SetExpiry to now", w.m.SetExpiry(ctx, id, w.clock.Now()), nil)
	mustBe(t, "events", w.events(), "destroyed(revoke)")
	mustBe(t, "Valid", w.m.Valid(ctx, id), core.ErrNotFound)
	mustBe(t, "value", c.get("k"), nil)
	mustBe(t, "SetExpiry again", w.m.SetExpiry(ctx, id, w.clock.Now()), core.ErrNotFound)
	id = w.client().begin()
	w.store.interfere(func(verb string) error {
		if verb == "delete" { // another was faster
			w.store.Store.Delete(ctx, id)
		}
		return nil
	})
	mustBe(t, "SetExpiry of a session that ends", w.m.SetExpiry(ctx, id, w.clock.Now()), core.ErrNotFound)
}

// Feature P31. Fails if SweepBetween() ignores one of its bounds, or takes one
// that is in the future.
func TestSweepBetween(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	var ids []core.ID
	for range 3 {
		w.clock.Advance(10 * time.Minute)
		ids = append(ids, w.client().begin())
	}
	first := w.clock.Now().Add(10 * time.Minute) // when the first expires
	live := w.client().begin()
	if n, err := w.m.SweepBetween(ctx, time.Time{}, w.clock.Now().Add(time.Millisecond)); n != 0 || err == nil {
		t.Errorf("SweepBetween up to the future: %d, %v", n, err)
	}
	w.clock.Advance(31 * time.Minute)
	w.m.SetExpiry(ctx, live, w.clock.Now().Add(time.Hour))
	n, err := w.m.SweepBetween(ctx, first.Add(5*time.Minute), first.Add(15*time.Minute))
	mustBe(t, "SweepBetween", fmt.Sprint(n, err), "1 <nil>")
	for i, want := range []error{core.ErrExpired, core.ErrNotFound, core.ErrExpired} {
		mustBe(t, fmt.Sprint("session ", i), w.m.Valid(ctx, ids[i]), want)
	}
	n, err = w.m.SweepBetween(ctx, time.Time{}, w.clock.Now())
	mustBe(t, "SweepBetween up to now", fmt.Sprint(n, err), "3 <nil>")
}

// schema is a store with a schema.
type schema struct {
	core.Store
	calls []string
	err   error
}

func (s *schema) Unwrap() core.Store            { return s.Store }
func (s *schema) Check(context.Context) error   { s.calls = append(s.calls, "check"); return s.err }
func (s *schema) Migrate(context.Context) error { s.calls = append(s.calls, "migrate"); return s.err }
func (s *schema) Drop(context.Context) error    { s.calls = append(s.calls, "drop"); return s.err }

// Features P18 to P20, QX14. Fails if one of the three calls another, is not
// found in a store that is wrapped, or invents an error for a store without.
func TestSchema(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	mustBe(t, "Check without a schema", w.m.Check(ctx), nil)
	mustBe(t, "Migrate without a schema", w.m.Migrate(ctx), nil)
	if err := w.m.Drop(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Drop without a schema: %v", err)
	}
	store := &schema{Store: w.store}
	m := core.MustNew(core.Config{Store: &spy{Store: store}})
	for _, want := range []error{nil, errors.New("no such table")} {
		store.err, store.calls = want, nil
		mustBe(t, "Check", m.Check(ctx), want)
		mustBe(t, "Migrate", m.Migrate(ctx), want)
		mustBe(t, "Drop", m.Drop(ctx), want)
		mustBe(t, "calls", strings.Join(store.calls, " "), "check migrate drop")
	}
}

// What needs a record by its ID says so where there is none.
func TestAdministrationOfCookieOnlySessions(t *testing.T) {
	ctx := t.Context()
	m := core.MustNew(core.Config{Store: cookiestore.New(cookiestore.Config{}), Secrets: []core.Secret{core.GenerateSecret()}})
	_, exists := m.Exists(ctx, core.ID{1})
	_, load := m.Load(ctx, core.ID{1})
	for what, err := range map[string]error{
		"Exists":    exists,
		"Load":      load,
		"Valid":     m.Valid(ctx, core.ID{1}),
		"SetExpiry": m.SetExpiry(ctx, core.ID{1}, time.Now().Add(time.Hour)),
		"Drop":      m.Drop(ctx),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
