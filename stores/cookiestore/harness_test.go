package cookiestore_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

func newClock() *testclock.Clock { return testclock.New(time.UnixMilli(1_800_000_000_000).UTC()) }

// list is a revocation list that counts its calls and can be down.
type list struct {
	*cookiestore.MemoryRevocations
	mu    sync.Mutex
	calls []string
	down  error
}

func (l *list) call(verb string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, verb)
	return l.down
}

func (l *list) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = err
}

// took returns the calls since the last time it was asked.
func (l *list) took() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := strings.Join(l.calls, " ")
	l.calls = nil
	return out
}

func (l *list) End(ctx context.Context, id core.ID, generation uint64, until time.Time) (bool, error) {
	if err := l.call("end"); err != nil {
		return false, err
	}
	return l.MemoryRevocations.End(ctx, id, generation, until)
}

func (l *list) Ended(ctx context.Context, id core.ID) (uint64, error) {
	if err := l.call("ended"); err != nil {
		return 0, err
	}
	return l.MemoryRevocations.Ended(ctx, id)
}

// site is an application with cookie-only sessions.
type site struct {
	t      *testing.T
	m      *core.Manager
	clock  *testclock.Clock
	list   *list // nil without revocations
	secret core.Secret
	mu     sync.Mutex
	evs    []core.Event
	errs   []error // that its error page was shown
}

// newSite returns a site without revocations; each edit may change that.
func newSite(t *testing.T, edits ...func(*site, *core.Config)) *site {
	t.Helper()
	s := &site{t: t, clock: newClock(), secret: core.GenerateSecret()}
	cfg := core.Config{
		Store:   cookiestore.New(cookiestore.Config{Clock: s.clock.Now}),
		Secrets: []core.Secret{s.secret},
		Clock:   s.clock.Now,
		Logger:  slog.New(slog.DiscardHandler),
		OnEvent: func(_ context.Context, e core.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.evs = append(s.evs, e)
		},
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			s.mu.Lock()
			s.errs = append(s.errs, err)
			s.mu.Unlock()
			http.Error(w, "error page", core.Status(err))
		},
	}
	for _, edit := range edits {
		edit(s, &cfg)
	}
	m, err := core.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.m = m
	return s
}

// revocable gives the site a revocation list.
func revocable(s *site, cfg *core.Config) {
	s.list = &list{MemoryRevocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: s.clock.Now})}
	cfg.Store = cookiestore.New(cookiestore.Config{Revocations: s.list, Clock: s.clock.Now})
}

// bothWays runs a test without and with a revocation list.
func bothWays(t *testing.T, test func(t *testing.T, s *site)) {
	t.Run("without revocations", func(t *testing.T) { test(t, newSite(t)) })
	t.Run("with revocations", func(t *testing.T) { test(t, newSite(t, revocable)) })
}

// reply is what came back.
type reply struct {
	t      *testing.T
	code   int
	body   string
	cookie string // "name=value" of the session cookie, or ""
	line   string // the whole Set-Cookie line, or ""
}

// send serves one request with the cookie header given.
func (s *site) send(cookie string, h func(w http.ResponseWriter, s *core.Session)) reply {
	s.t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	rec := httptest.NewRecorder()
	s.m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(w, core.Get(r.Context()))
	})).ServeHTTP(rec, r)
	out := reply{t: s.t, code: rec.Code, body: rec.Body.String()}
	for _, line := range rec.Result().Header["Set-Cookie"] {
		if out.line != "" {
			s.t.Errorf("a second Set-Cookie line: %s", line)
		}
		out.line = line
		out.cookie, _, _ = strings.Cut(line, ";")
	}
	return out
}

// use is send for a handler that answers 200 "ok".
func (s *site) use(cookie string, h func(s *core.Session)) reply {
	s.t.Helper()
	return s.send(cookie, func(w http.ResponseWriter, session *core.Session) {
		h(session)
		io.WriteString(w, "ok")
	})
}

// begin returns the cookie of a new session that holds a value.
func (s *site) begin() string {
	s.t.Helper()
	return s.use("", func(s *core.Session) { s.Set("k", "v") }).ok().sets()
}

// login returns the cookie of a new session in which a user is logged in.
func (s *site) login(user string) string {
	s.t.Helper()
	return s.use("", func(s *core.Session) { s.Login(user) }).ok().sets()
}

// user returns who is logged in, by a request of its own.
func (s *site) user(cookie string) (user string) {
	s.t.Helper()
	s.use(cookie, func(s *core.Session) { user = s.User() }).ok()
	return user
}

// get returns a value, by a request of its own.
func (s *site) get(cookie, key string) (value any) {
	s.t.Helper()
	s.use(cookie, func(s *core.Session) { value, _ = s.Get(key) }).ok()
	return value
}

// refuses checks that a cookie opens nothing, for this reason.
func (s *site) refuses(cookie string, want core.Reason) {
	s.t.Helper()
	r := s.use(cookie, func(session *core.Session) {
		if !session.ID().IsZero() || session.User() != "" || session.Len() != 0 {
			s.t.Errorf("the cookie still opens a session")
		}
		if got := session.Rejected(); got != want {
			s.t.Errorf("rejected as %q, want %q", got, want)
		}
	}).ok()
	r.silent()
}

// events returns the kinds and reasons since the last time it was asked.
func (s *site) events() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.evs {
		text := string(e.Kind)
		if e.Reason != "" {
			text += "(" + string(e.Reason) + ")"
		}
		out = append(out, text)
	}
	s.evs = nil
	return strings.Join(out, ", ")
}

// failure returns the error that the last error page was about.
func (s *site) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) == 0 {
		return nil
	}
	return s.errs[len(s.errs)-1]
}

// status checks for a status and, unless it is 200, for the error page.
func (r reply) status(want int) reply {
	r.t.Helper()
	wantBody := "ok"
	if want != http.StatusOK {
		wantBody = "error page\n"
	}
	if r.code != want || r.body != wantBody {
		r.t.Fatalf("answer %d %q, want %d %q", r.code, r.body, want, wantBody)
	}
	return r
}

func (r reply) ok() reply {
	r.t.Helper()
	return r.status(http.StatusOK)
}

// sets returns the session cookie, which must have been set.
func (r reply) sets() string {
	r.t.Helper()
	if value(r.cookie) == "" {
		r.t.Fatalf("no session cookie was set: %q", r.line)
	}
	return r.cookie
}

// clears checks that the browser was told to forget the cookie.
func (r reply) clears() {
	r.t.Helper()
	if r.cookie == "" || value(r.cookie) != "" || !strings.Contains(r.line, "; Max-Age=0;") {
		r.t.Errorf("the cookie was not cleared: %q", r.line)
	}
}

// silent checks that nothing was said of the cookie.
func (r reply) silent() {
	r.t.Helper()
	if r.line != "" {
		r.t.Errorf("a cookie was set: %q", r.line)
	}
}

// value is the part of a cookie after its name.
func value(cookie string) string {
	_, v, _ := strings.Cut(cookie, "=")
	return v
}
