package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
)

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

// fixture is an application under test: one adapter in one setting.
type fixture struct {
	*testing.T
	adapter adapter
	on      setting
	clock   *testclock.Clock
	probe   *probe
	log     buffer
	manager *core.Manager

	mu      sync.Mutex
	events  []core.Event
	secrets []string // every cookie value seen
}

// testSecret seals every cookie here, so that several managers can share one.
var testSecret = core.GenerateSecret()

// newFixture returns an application as the setting has it; tune may be nil.
func newFixture(t *testing.T, a adapter, on setting, tune func(*core.Config)) *fixture {
	t.Helper()
	f := &fixture{T: t, adapter: a, on: on, clock: testclock.New(time.Now().Truncate(time.Second))}
	inner := on.Open(t, f.clock.Now)
	var store core.Store
	f.probe, store = newProbe(inner)
	f.manager = f.newManager(store, tune)
	t.Cleanup(func() {
		f.manager.Close()
		f.keptQuiet()
	})
	return f
}

// can reports whether the setting has a power.
func (f *fixture) can(p Power) bool { return f.on.can&p == p }

func (f *fixture) newManager(store core.Store, tune func(*core.Config)) *core.Manager {
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
	f.on.configure(&cfg)
	if tune != nil {
		tune(&cfg)
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

// holds checks how many sessions are stored, where they are on the server. It
// goes through them, as not every store can count.
func (f *fixture) holds(want int) {
	f.Helper()
	if !f.can(Listing) {
		return
	}
	n := 0
	for _, err := range f.manager.Sessions(context.Background()) {
		if err != nil {
			f.Fatal(err)
		}
		n++
	}
	if n != want {
		f.Errorf("%d sessions are stored, want %d", n, want)
	}
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
