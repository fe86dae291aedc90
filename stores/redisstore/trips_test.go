package redisstore

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Performance, last row. Fails if a verb asks the server once more.
func TestRoundTrips(t *testing.T) {
	var tap wiretap
	server := startServer(t)
	clock, ctx := newClock(), t.Context()
	s := newStore(t, newClient(t, tap.attach(server.option())), clock.Now)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(rec *core.Record) core.Record {
		clock.Advance(time.Minute)
		rec.Version++
		rec.LastAccess = clock.Now()
		rec.ExpiresAt = rec.LastAccess.Add(rec.IdleTimeout)
		return *rec
	}
	loadScripts(t, s)
	anonymous, user := session(clock.Now(), ""), session(clock.Now(), "ann")
	var unlock func()
	for _, c := range []struct {
		verb string
		want int64
		call func()
	}{
		{"Create of an anonymous session", 1, func() { check(s.Create(ctx, anonymous)) }},
		{"Load", 1, func() { _, err := s.Load(ctx, anonymous.ID); check(err) }},
		{"Update", 1, func() { check(s.Update(ctx, next(&anonymous))) }},
		{"Touch", 1, func() { check(s.Touch(ctx, anonymous.ID, clock.Now(), clock.Now().Add(time.Hour))) }},
		{"Update with a login", 2, func() {
			rec := next(&anonymous)
			rec.User, rec.LoginAt = "ann", rec.LastAccess
			rec.Generation++
			anonymous = rec
			check(s.Update(ctx, rec))
		}},
		{"Update after a login", 1, func() { check(s.Update(ctx, next(&anonymous))) }},
		{"Touch after a login", 1, func() { check(s.Touch(ctx, anonymous.ID, clock.Now(), clock.Now().Add(time.Hour))) }},
		{"Update that lengthens it beyond its entry", 3, func() {
			rec := next(&anonymous)
			rec.Deadline = rec.Deadline.Add(time.Hour)
			check(s.Update(ctx, rec))
		}},
		{"Create with a user", 2, func() { check(s.Create(ctx, user)) }},
		{"ListUser", 2, func() { _, err := s.ListUser(ctx, "ann"); check(err) }},
		{"DeleteVersion", 2, func() { check(s.DeleteVersion(ctx, user.ID, user.Version)) }},
		{"Delete", 2, func() { _, err := s.Delete(ctx, anonymous.ID); check(err) }},
		{"Load of nothing", 1, func() { s.Load(ctx, anonymous.ID) }},
		{"Lock", 1, func() { u, err := s.Lock(ctx, anonymous.ID); check(err); unlock = u }},
		{"unlock", 1, func() { unlock() }},
	} {
		if got := tap.count(c.call); got != c.want {
			t.Errorf("%s: %d round trips, want %d", c.verb, got, c.want)
		}
	}
}

// Performance, last row, through the manager: what a request costs.
func TestRoundTripsOfRequests(t *testing.T) {
	var tap wiretap
	server := startServer(t)
	clock := newClock()
	s := newStore(t, newClient(t, tap.attach(server.option())), clock.Now)
	loadScripts(t, s)
	site := newSite(t, s, clock.Now)
	for _, c := range []struct {
		path string
		want int64
	}{
		{"/untouched", 0},
		{"/read", 0}, // no cookie yet
		{"/login", 2},
		{"/untouched", 0},
		{"/read", 1},
		{"/write", 2}, // one to read it, one to change it
		{"/read", 1},
		{"/logout", 3}, // one to read it, one to delete it, one for the list
		{"/read", 0},
	} {
		got := tap.count(func() {
			if a := site.get(c.path); a.Code != http.StatusOK {
				t.Errorf("%s: status %d", c.path, a.Code)
			}
		})
		if got != c.want {
			t.Errorf("%s: %d round trips, want %d", c.path, got, c.want)
		}
		clock.Advance(time.Second)
	}
}

// loadScripts makes the server know the scripts: the first call of each sends
// it whole.
func loadScripts(t *testing.T, s *Store) {
	t.Helper()
	ctx, rec := t.Context(), session(s.clock(), "nobody")
	err := s.Create(ctx, rec)
	if rec.Version++; err == nil {
		err = s.Update(ctx, rec)
	}
	if err == nil {
		err = s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt)
	}
	if err == nil {
		_, err = s.Delete(ctx, rec.ID)
	}
	unlock := func() {}
	if err == nil {
		unlock, err = s.Lock(ctx, rec.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

var visits = core.NewKey[int]("visits")

// site is an application and one browser of it.
type site struct {
	handler http.Handler
	cookie  string
}

func newSite(t *testing.T, store core.Store, clock func() time.Time) *site {
	t.Helper()
	m, err := core.New(core.Config{Store: store, Secrets: []core.Secret{core.GenerateSecret()}, Clock: clock, StoreTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	handle := func(path string, f func(s *core.Session) string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(f(core.Get(r.Context())))) })
	}
	handle("/untouched", func(*core.Session) string { return "hello" })
	handle("/read", func(s *core.Session) string { return "user " + s.User() })
	handle("/write", func(s *core.Session) string {
		visits.Update(s, func(n int) int { return n + 1 })
		return "written"
	})
	handle("/login", func(s *core.Session) string { s.Login("ann"); return "welcome" })
	handle("/logout", func(s *core.Session) string {
		if err := s.Destroy(); err != nil {
			return "still here"
		}
		return "bye"
	})
	return &site{handler: m.Handler(mux)}
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "https://shop.example"+path, nil)
	if s.cookie != "" {
		r.Header.Set("Cookie", s.cookie)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if s.cookie = c.Name + "=" + c.Value; c.MaxAge < 0 {
			s.cookie = ""
		}
	}
	return w
}
