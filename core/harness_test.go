package core_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

func newClock() *testclock.Clock { return testclock.New(time.UnixMilli(1_800_000_000_000).UTC()) }

// spy counts the verbs that reach a store, and can be told to interfere.
type spy struct {
	core.Store
	mu     sync.Mutex
	calls  []string
	before func(verb string) error // an error is returned instead of the call
}

func (s *spy) call(verb string) error {
	s.mu.Lock()
	s.calls = append(s.calls, verb)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		return before(verb)
	}
	return nil
}

// took returns the verbs since the last time it was asked.
func (s *spy) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.calls, " ")
	s.calls = nil
	return out
}

func (s *spy) interfere(f func(verb string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

func (s *spy) Unwrap() core.Store { return s.Store }

func (s *spy) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if err := s.call("load"); err != nil {
		return core.Record{}, err
	}
	return s.Store.Load(ctx, id)
}

func (s *spy) Create(ctx context.Context, rec core.Record) error {
	if err := s.call("create"); err != nil {
		return err
	}
	return s.Store.Create(ctx, rec)
}

func (s *spy) Update(ctx context.Context, rec core.Record) error {
	if err := s.call("update"); err != nil {
		return err
	}
	return s.Store.Update(ctx, rec)
}

func (s *spy) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	if err := s.call("touch"); err != nil {
		return err
	}
	return s.Store.Touch(ctx, id, access, expires)
}

func (s *spy) Delete(ctx context.Context, id core.ID) (bool, error) {
	if err := s.call("delete"); err != nil {
		return false, err
	}
	return s.Store.Delete(ctx, id)
}

func (s *spy) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	if err := s.call("delete-version"); err != nil {
		return err
	}
	return s.Store.(core.VersionDeleter).DeleteVersion(ctx, id, version)
}

// world is a manager over a spied memory store, and what happened in it.
type world struct {
	t     *testing.T
	m     *core.Manager
	store *spy
	clock *testclock.Clock
	mu    sync.Mutex
	evs   []core.Event
}

func newWorld(t *testing.T, edit ...func(*core.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	mem := memorystore.New(memorystore.Config{Clock: w.clock.Now})
	t.Cleanup(func() { mem.Close() })
	w.store = &spy{Store: mem}
	cfg := core.Config{
		Store:  w.store,
		Clock:  w.clock.Now,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		OnEvent: func(_ context.Context, e core.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.evs = append(w.evs, e)
		},
	}
	for _, f := range edit {
		f(&cfg)
	}
	m, err := core.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	return w
}

// events returns the kinds since the last time it was asked, "loaded" left out.
func (w *world) events() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.evs {
		if e.Kind == core.EventLoaded {
			continue
		}
		s := string(e.Kind)
		if e.Reason != "" {
			s += "(" + string(e.Reason) + ")"
		}
		out = append(out, s)
	}
	w.evs = nil
	return strings.Join(out, ", ")
}

// count returns the number of live records.
func (w *world) count() int {
	n, err := w.m.Count(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// client is a browser's cookie jar for one host and name, and no more.
type client struct {
	w      *world
	cookie string // "name=value", or ""
}

func (w *world) client() *client { return &client{w: w} }

// do sends a request to a handler and keeps the cookie that comes back.
func (c *client) do(h func(s *core.Session, w http.ResponseWriter, r *http.Request)) *httptest.ResponseRecorder {
	rec := c.w.send(c.cookie, h)
	if line, ok := sessionCookie(rec); ok {
		pair, attrs, _ := strings.Cut(line, ";")
		c.cookie = pair
		if strings.Contains(attrs, "Max-Age=0") {
			c.cookie = ""
		}
	}
	return rec
}

// use is do for handlers that only use the session and answer 200.
func (c *client) use(h func(s *core.Session)) *httptest.ResponseRecorder {
	return c.do(func(s *core.Session, w http.ResponseWriter, _ *http.Request) {
		h(s)
		io.WriteString(w, "ok")
	})
}

// get reads a value with a request of its own.
func (c *client) get(key string) (value any) {
	c.use(func(s *core.Session) { value, _ = s.Get(key) })
	return value
}

func (c *client) user() (user string) {
	c.use(func(s *core.Session) { user = s.User() })
	return user
}

func (w *world) send(cookie string, h func(s *core.Session, w http.ResponseWriter, r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	rec := httptest.NewRecorder()
	w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h(core.Get(r.Context()), rw, r)
	})).ServeHTTP(rec, r)
	return rec
}

// sessionCookie returns the Set-Cookie line of the session, and fails on two.
func sessionCookie(rec *httptest.ResponseRecorder) (string, bool) {
	lines := slices.DeleteFunc(slices.Clone(rec.Result().Header["Set-Cookie"]), func(l string) bool {
		return !strings.HasPrefix(l, "__Host-session=") && !strings.HasPrefix(l, "session=")
	})
	if len(lines) > 1 {
		panic("two Set-Cookie lines for the session: " + strings.Join(lines, " | "))
	}
	if len(lines) == 0 {
		return "", false
	}
	return lines[0], true
}

func mustStatus(t *testing.T, rec *httptest.ResponseRecorder, want int) {
	t.Helper()
	if rec.Code != want {
		t.Fatalf("status %d, want %d; body %q", rec.Code, want, rec.Body)
	}
}

func mustBe[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func noCookie(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	if line, ok := sessionCookie(rec); ok {
		t.Fatalf("a cookie was set: %s", line)
	}
}
