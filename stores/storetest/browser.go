package storetest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// touchInterval is how old an access time may be under the kit's managers.
const touchInterval = 3 * time.Minute

var (
	hits  = core.NewKey[int]("hits")
	left  = core.NewKey[string]("left")
	right = core.NewKey[string]("right")
	once  = core.NewKey[string]("once")
)

// manager returns a manager over a store, as one process of an application
// would have it: those of one trial share their secrets and the clock.
func (t *trial) manager(store core.Store, change ...func(*core.Config)) *core.Manager {
	t.Helper()
	if t.secrets == nil {
		t.secrets = []core.Secret{core.GenerateSecret()}
	}
	cfg := core.Config{
		Store:         store,
		Secrets:       t.secrets,
		TouchInterval: touchInterval,
		StoreTimeout:  time.Minute, // a slow machine must not look like a broken store
		Clock:         t.clock.now,
		Logger:        slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	m, err := core.New(cfg)
	if err != nil {
		t.Fatalf("core.New: %v", err)
	}
	return m
}

// browser is a client with a cookie jar. Safe for concurrent use, as the tabs
// of a browser are.
type browser struct {
	t *trial
	m *core.Manager

	mu     sync.Mutex
	cookie string // name=value, or ""
}

// browser returns a client that has not been there before.
func (t *trial) browser(m *core.Manager) *browser { return &browser{t: t, m: m} }

func (b *browser) jar() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookie
}

// with returns another client that presents a cookie, on another manager.
func (t *trial) with(m *core.Manager, cookie string) *browser {
	return &browser{t: t, m: m, cookie: cookie}
}

// answer is what a client received.
type answer struct {
	t      *trial
	status int
	set    string // the Set-Cookie line, or ""
}

// do makes a request whose handler is fn and answers with 200.
func (b *browser) do(fn func(s *core.Session)) answer {
	r := httptest.NewRequest(http.MethodPost, "https://example.com/", nil)
	if cookie := b.jar(); cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	b.m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fn(core.Get(r.Context()))
		fmt.Fprintln(w, "done")
	})).ServeHTTP(w, r)
	a := answer{t: b.t, status: w.Code}
	lines := w.Result().Header["Set-Cookie"]
	if len(lines) > 1 {
		b.t.Errorf("%d Set-Cookie lines in one answer, want at most one", len(lines))
	}
	if len(lines) > 0 {
		a.set = lines[0]
		pair, _, _ := strings.Cut(a.set, ";")
		b.mu.Lock()
		defer b.mu.Unlock()
		b.cookie = pair
		if _, value, _ := strings.Cut(pair, "="); value == "" {
			b.cookie = ""
		}
	}
	return a
}

// visit is a request whose handler is waiting.
type visit struct {
	resume chan func(*core.Session)
	done   chan answer
	quit   chan struct{}
}

// begin starts a request and returns when its handler has run first.
func (b *browser) begin(first func(s *core.Session)) *visit {
	v := &visit{make(chan func(*core.Session)), make(chan answer, 1), make(chan struct{})}
	ready, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		v.done <- b.do(func(s *core.Session) {
			first(s)
			close(ready)
			select {
			case then := <-v.resume:
				then(s)
			case <-v.quit:
			}
		})
	}()
	b.t.Cleanup(func() {
		close(v.quit)
		<-over
	})
	<-ready
	return v
}

// end lets the handler go on with then, and returns the answer.
func (v *visit) end(then func(s *core.Session)) answer {
	v.resume <- then
	return <-v.done
}

// nothing is a handler that does not use the session any more.
func nothing(*core.Session) {}

// look is a handler that reads the session.
func look(s *core.Session) { s.User() }

// logout is a handler.
func logout(s *core.Session) { s.Destroy() }

// login returns a handler that logs a user in.
func login(user string) func(*core.Session) { return func(s *core.Session) { s.Login(user) } }

// ok checks for a success.
func (a answer) ok(what string) answer {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Fatalf("%s: status %d, want 200", what, a.status)
	}
	return a
}

// refused checks for a status and that the answer leaves the browser's cookie
// alone.
func (a answer) refused(what string, status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("%s: status %d, want %d", what, a.status, status)
	}
	return a.silent(what)
}

// silent checks that the answer sets and clears no cookie.
func (a answer) silent(what string) answer {
	a.t.Helper()
	if a.set != "" {
		a.t.Errorf("%s: the answer has a Set-Cookie line, want none", what)
	}
	return a
}

// view is what a request finds in its session.
type view struct {
	user, left, right, once string
	hits                    int
	id                      core.ID
	rejected                core.Reason
}

func (v view) String() string {
	return fmt.Sprintf("{user %q, left %q, right %q, once %q, hits %d, rejected %q}", v.user, v.left, v.right, v.once, v.hits, v.rejected)
}

func (b *browser) view() (v view) {
	b.t.Helper()
	b.do(func(s *core.Session) {
		v.user, v.id, v.rejected = s.User(), s.ID(), s.Rejected()
		v.left, _ = left.Get(s)
		v.right, _ = right.Get(s)
		v.once, _ = once.Get(s)
		v.hits, _ = hits.Get(s)
	}).ok("a request that reads")
	return v
}

// sees checks what a request finds, the ID aside.
func (b *browser) sees(when string, want view) (id core.ID) {
	b.t.Helper()
	got := b.view()
	id, got.id = got.id, core.ID{}
	if got != want {
		b.t.Errorf("%s: the session is %v, want %v", when, got, want)
	}
	return id
}

// wantDead checks that a cookie opens nothing.
func (t *trial) wantDead(when string, m *core.Manager, cookie string) {
	t.Helper()
	if cookie == "" {
		t.Fatalf("%s: there is no cookie to try", when)
	}
	got := t.with(m, cookie).view()
	if got.rejected == "" {
		t.Errorf("%s: the cookie is accepted: %v", when, got)
	}
	got.rejected = ""
	if got != (view{}) {
		t.Errorf("%s: a request with the cookie finds %v, want nothing", when, got)
	}
}
