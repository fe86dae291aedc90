package adapters_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !same(t, got, string(want)) {
		t.Logf("%s is what is wanted; -update rewrites it", path)
	}
}

// same compares texts line by line.
func same(t *testing.T, got, want string) bool {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d\n got: %s\nwant: %s", i+1, a, b)
			return false
		}
	}
	return true
}

// clock is a time that moves when told to. It starts now, since seals carry
// the real time besides.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// canary is a value that must never be seen outside a session.
const canary = "canary-4711"

// fixture is an application under test: one adapter, one store.
type fixture struct {
	*testing.T
	adapter adapter
	kind    kind
	clock   *clock
	probe   *probe
	log     buffer
	manager *core.Manager

	mu      sync.Mutex
	events  []core.Event
	secrets []string // every cookie value seen
}

// testSecret seals every cookie here, so that several managers can share one.
var testSecret = core.GenerateSecret()

func newFixture(t *testing.T, a adapter, k kind, tune ...func(*core.Config)) *fixture {
	t.Helper()
	f := &fixture{T: t, adapter: a, kind: k, clock: newClock()}
	inner := k.open(t, f.clock)
	var store core.Store
	f.probe, store = newProbe(inner)
	f.manager = f.newManager(store, tune...)
	t.Cleanup(func() {
		f.manager.Close()
		f.keptQuiet()
	})
	return f
}

func (f *fixture) newManager(store core.Store, tune ...func(*core.Config)) *core.Manager {
	f.Helper()
	cfg := core.Config{
		Store:   store,
		Secrets: []core.Secret{testSecret},
		Clock:   f.clock.Now,
		Logger:  slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnEvent: func(_ context.Context, e core.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		},
	}
	for _, fn := range tune {
		fn(&cfg)
	}
	m, err := core.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return m
}

// keptQuiet checks that nothing said aloud, in logs or events, gave a token or
// a value away. It runs after every scenario.
func (f *fixture) keptQuiet() {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	said := f.log.String()
	for _, e := range f.events {
		said += fmt.Sprintf("%+v\n", e)
	}
	for _, secret := range append(f.secrets, canary) {
		if strings.Contains(said, secret) {
			f.Errorf("a cookie or a value reached the log or an event:\n%s", said)
		}
	}
}

// happened returns the events of a kind so far.
func (f *fixture) happened(kind core.EventKind) (out []core.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// count returns how many sessions are stored on the server.
func (f *fixture) count() int {
	f.Helper()
	n := 0
	for _, err := range f.manager.Sessions(context.Background()) {
		if err != nil {
			f.Fatal(err)
		}
		n++
	}
	return n
}

// site is a running server.
type site struct {
	*fixture
	server *httptest.Server
}

// serve starts the application with the given routes beside the standard ones.
func (f *fixture) serve(routes map[string]handler, tune ...func(*app)) *site {
	f.Helper()
	s, start := f.prepare(routes, tune...)
	start.Start()
	return s
}

func (f *fixture) prepare(routes map[string]handler, tune ...func(*app)) (*site, *httptest.Server) {
	all := maps.Clone(standard)
	maps.Copy(all, routes)
	a := app{managers: []*core.Manager{f.manager}, routes: all}
	for _, fn := range tune {
		fn(&a)
	}
	server := httptest.NewUnstartedServer(f.adapter.build(a))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Cleanup(server.Close)
	return &site{f, server}, server
}

// standard are the routes that every application has.
var standard = map[string]handler{
	"/static": func(x *call) { x.text(200, "static") },
	"/read":   func(x *call) { x.text(200, contents(x.Session)) },
	"/set": func(x *call) {
		for k, v := range x.r.URL.Query() {
			x.Set(k, v[0])
		}
		x.text(200, "set")
	},
	"/delete": func(x *call) {
		x.Delete(x.r.URL.Query().Get("key"))
		x.text(200, "deleted")
	},
	"/login": func(x *call) {
		x.Login(x.r.URL.Query().Get("user"))
		x.text(200, "hello")
	},
	"/logout": func(x *call) {
		x.Destroy()
		x.text(200, "bye")
	},
	"/regenerate": func(x *call) {
		x.Regenerate()
		x.text(200, "regenerated")
	},
}

// contents is everything that a session tells: "alice a=1 b=2".
func contents(s *core.Session) string {
	out := s.User()
	if out == "" {
		out = "nobody"
	}
	for k, v := range s.All() {
		out += fmt.Sprintf(" %s=%v", k, v)
	}
	return out
}

// cookieName is the default.
const cookieName = "__Host-session"

// browser keeps the session's cookie as a browser would on localhost; the
// standard library's jar refuses Secure cookies over plain HTTP.
type browser struct {
	*site
	mu     sync.Mutex
	cookie string
}

func (s *site) browser() *browser { return &browser{site: s} }

// thief is another browser, with a copy of the cookie.
func (b *browser) thief() *browser { return &browser{site: b.site, cookie: b.value()} }

// keepRaw makes the browser send a cookie that no server set.
func (b *browser) keepRaw(value string) { b.cookie = value }

func (b *browser) value() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookie
}

// answer is what came back.
type answer struct {
	b       *browser
	what    string
	status  int
	header  http.Header
	body    string
	cookies []*http.Cookie // the session's
}

// get sends a request and waits for the answer.
func (b *browser) get(path string, tune ...func(*http.Request)) *answer {
	b.Helper()
	a, err := b.send(path, tune...)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// begin sends a request whose answer is awaited later.
func (b *browser) begin(path string, tune ...func(*http.Request)) (wait func() *answer) {
	type result struct {
		a   *answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := b.send(path, tune...)
		done <- result{a, err}
	}()
	return func() *answer {
		b.Helper()
		r := <-done
		if r.err != nil {
			b.Fatal(r.err)
		}
		return r.a
	}
}

func method(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }

func (b *browser) send(path string, tune ...func(*http.Request)) (*answer, error) {
	r, err := http.NewRequest("GET", b.server.URL+path, nil)
	if err != nil {
		return nil, err
	}
	if c := b.value(); c != "" {
		r.Header.Set("Cookie", cookieName+"="+c)
	}
	for _, fn := range tune {
		fn(r)
	}
	resp, err := b.server.Client().Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{b: b, what: r.Method + " " + path, status: resp.StatusCode, header: resp.Header, body: string(body)}
	for _, c := range resp.Cookies() {
		if c.Name == cookieName {
			a.cookies = append(a.cookies, c)
			b.keep(c)
		}
	}
	return a, nil
}

func (b *browser) keep(c *http.Cookie) {
	b.mu.Lock()
	b.cookie = c.Value
	b.mu.Unlock()
	b.fixture.mu.Lock()
	defer b.fixture.mu.Unlock()
	if c.Value != "" && !slices.Contains(b.secrets, c.Value) {
		b.secrets = append(b.secrets, c.Value)
	}
}

// is checks status and body.
func (a *answer) is(status int, body string) *answer {
	a.b.Helper()
	if a.status != status || a.body != body {
		a.b.Errorf("%s answered %d %q, want %d %q", a.what, a.status, a.body, status, body)
	}
	return a
}

// refused checks that the answer is an error page, with nothing of the
// handler's, and no cookie.
func (a *answer) refused(status int) *answer {
	a.b.Helper()
	if a.status != status || !strings.Contains(a.body, "Nothing was saved") || strings.Count(a.body, "\n") != 1 {
		a.b.Errorf("%s answered %d %q, want only the error page of a %d", a.what, a.status, a.body, status)
	}
	return a.silent()
}

// silent checks that no session cookie was set or cleared.
func (a *answer) silent() *answer {
	a.b.Helper()
	if len(a.cookies) > 0 {
		a.b.Errorf("%s has Set-Cookie %q, want none", a.what, a.header["Set-Cookie"])
	}
	return a
}

// sets checks that exactly one session cookie was set, and not cleared.
func (a *answer) sets() *answer {
	a.b.Helper()
	if len(a.cookies) != 1 || a.cookies[0].Value == "" {
		a.b.Errorf("%s has Set-Cookie %q, want exactly one with a value", a.what, a.header["Set-Cookie"])
	}
	return a
}

// clears checks that the session cookie was cleared, in exactly one line.
func (a *answer) clears() *answer {
	a.b.Helper()
	if len(a.cookies) != 1 || a.cookies[0].Value != "" || a.cookies[0].MaxAge >= 0 {
		a.b.Errorf("%s has Set-Cookie %q, want exactly one that clears", a.what, a.header["Set-Cookie"])
	}
	return a
}

// gate stops a handler until a test lets it go on.
type gate struct {
	arrived, open chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

// pass is called by the handler: once, and waits.
func (g *gate) pass() {
	close(g.arrived)
	<-g.open
}

// reached waits until the handler is there.
func (g *gate) reached(t testing.TB) {
	t.Helper()
	await(t, g.arrived)
}

// await waits for a channel to close. The time is for a broken build to fail
// in; nothing waits for it otherwise.
func await(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("a handler did not get there")
	}
}

// scenario is a behaviour that holds on every adapter, and on every store with
// the powers it needs.
type scenario struct {
	name  string
	needs powers
	run   func(f *fixture)
	tune  func(*core.Config)
}

// everywhere runs scenarios on every adapter and every store.
func everywhere(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, a := range adapters {
		for _, k := range kinds {
			t.Run(a.name+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				for _, s := range scenarios {
					if s.needs&^k.can != 0 {
						continue // listed by TestWithheld
					}
					t.Run(s.name, func(t *testing.T) {
						var tune []func(*core.Config)
						if s.tune != nil {
							tune = append(tune, s.tune)
						}
						s.run(newFixture(t, a, k, tune...))
					})
				}
			})
		}
	}
}
