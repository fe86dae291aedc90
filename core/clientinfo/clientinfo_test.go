package clientinfo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/clientinfo"
	"github.com/coatcheck/sessions/core/sessiontest"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// counter counts what reaches a store.
type counter struct {
	core.Store
	loads, creates int
}

func (c *counter) Load(ctx context.Context, id core.ID) (core.Record, error) {
	c.loads++
	return c.Store.Load(ctx, id)
}

func (c *counter) Create(ctx context.Context, rec core.Record) error {
	c.creates++
	return c.Store.Create(ctx, rec)
}

// client is one browser, which moves about.
type client struct {
	t           *testing.T
	m           *core.Manager
	store       *counter
	addr, agent string
	last        sessiontest.Result
}

func newClient(t *testing.T) *client {
	store := &counter{Store: memorystore.New(memorystore.Config{})}
	m := core.MustNew(core.Config{
		Store:   store,
		Secrets: []core.Secret{core.GenerateSecret()},
		OnEnd:   clientinfo.Record(clientinfo.Config{TrustedProxies: proxies}),
	})
	none := sessiontest.After(t, m, httptest.NewRequest("GET", "/", nil), &http.Response{Header: http.Header{}})
	return &client{t: t, m: m, store: store, addr: "192.0.2.1:1234", agent: "curl/8", last: none}
}

// do runs f as a handler and returns the answer.
func (c *client) do(f func(w http.ResponseWriter, s *core.Session)) *httptest.ResponseRecorder {
	c.t.Helper()
	r := c.last.Next(httptest.NewRequest("GET", "/", nil))
	r.RemoteAddr = c.addr
	r.Header.Set("User-Agent", c.agent)
	rec := httptest.NewRecorder()
	c.m.Serve(rec, r, func(w http.ResponseWriter, r *http.Request) { f(w, core.Get(r.Context())) })
	c.last = sessiontest.After(c.t, c.m, r, rec.Result())
	return rec
}

func (c *client) change(f func(s *core.Session)) {
	c.t.Helper()
	if rec := c.do(func(_ http.ResponseWriter, s *core.Session) { f(s) }); rec.Code != 200 {
		c.t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
}

// info is what the next request finds recorded.
func (c *client) info() (info clientinfo.Info, ok bool) {
	c.do(func(_ http.ResponseWriter, s *core.Session) {
		if info, ok = clientinfo.Of(s); s.Dirty() || s.Err() != nil {
			c.t.Errorf("to look changed the session: dirty %v, %v", s.Dirty(), s.Err())
		}
	})
	return info, ok
}

func (c *client) wants(addr, agent string) {
	c.t.Helper()
	if info, ok := c.info(); !ok || info.Addr.String() != addr || info.UserAgent != agent {
		c.t.Errorf("recorded is %v, %v; want %s, %s", info, ok, addr, agent)
	}
}

// TestRecordedOnce is feature QX6: created from A, used and changed from B, it
// is A that was recorded.
func TestRecordedOnce(t *testing.T) {
	c := newClient(t)
	c.change(func(s *core.Session) { s.Set("k", 1) })
	if c.store.creates != 1 {
		t.Fatalf("%d records", c.store.creates)
	}
	c.addr, c.agent = "198.51.100.1:1", "wget"
	c.wants("192.0.2.1", "curl/8")
	c.change(func(s *core.Session) { s.Set("k", 2); s.Login("alice") })
	c.wants("192.0.2.1", "curl/8")
}

// TestBeforeTheFirstByte: the record is part of what creates the session.
func TestBeforeTheFirstByte(t *testing.T) {
	c := newClient(t)
	c.do(func(w http.ResponseWriter, s *core.Session) {
		s.Set("k", 1)
		fmt.Fprint(w, "hello")
	})
	c.wants("192.0.2.1", "curl/8")
}

// TestNothingForNothing: who leaves nothing in a session leaves no address.
func TestNothingForNothing(t *testing.T) {
	c := newClient(t)
	for name, f := range map[string]func(w http.ResponseWriter, s *core.Session){
		"not used": func(http.ResponseWriter, *core.Session) {},
		"read":     func(_ http.ResponseWriter, s *core.Session) { s.Get("k"); s.User() },
		"undone":   func(_ http.ResponseWriter, s *core.Session) { s.Set("k", 1); s.Delete("k") },
		"failed":   func(w http.ResponseWriter, s *core.Session) { s.Set("k", 1); w.WriteHeader(500) },
	} {
		if c.do(f); c.last.Cookie != nil || c.store.creates != 0 {
			t.Errorf("%s: %d records, cookie %v", name, c.store.creates, c.last.Cookie)
		}
	}
}

// TestUntouchedIsNotLoaded: the hook costs a page without a session nothing.
func TestUntouchedIsNotLoaded(t *testing.T) {
	c := newClient(t)
	c.change(func(s *core.Session) { s.Set("k", 1) })
	c.store.loads = 0
	rec := c.do(func(w http.ResponseWriter, _ *core.Session) { fmt.Fprint(w, "static") })
	if c.store.loads != 0 || rec.Header().Get("Vary") != "" {
		t.Errorf("%d loads, Vary %q", c.store.loads, rec.Header().Get("Vary"))
	}
}

// TestKeepsNothingAlive: a session that holds nothing but this record is over.
func TestKeepsNothingAlive(t *testing.T) {
	c := newClient(t)
	c.change(func(s *core.Session) { s.Set("k", 1); s.Namespace("shop").Set("cart", 1) })
	c.change(func(s *core.Session) { s.Delete("k") })
	if c.last.Cleared {
		t.Fatal("it ended while another application had a value")
	}
	c.wants("192.0.2.1", "curl/8")
	c.change(func(s *core.Session) { s.Namespace("shop").Clear() })
	if !c.last.Cleared {
		t.Error("the record kept the session")
	}
	c.change(func(s *core.Session) { s.Login("alice") })
	c.change(func(s *core.Session) { s.Set("k", 1) })
	c.change(func(s *core.Session) { s.Delete("k") })
	c.wants("192.0.2.1", "curl/8") // the user keeps it
}

// TestClear: Clear before a Login, as its page advises, does not lose who
// logs in.
func TestClear(t *testing.T) {
	c := newClient(t)
	c.change(func(s *core.Session) { s.Set("k", 1) })
	c.addr = "198.51.100.1:1"
	c.change(func(s *core.Session) { s.Clear(); s.Login("alice") })
	c.wants("198.51.100.1", "curl/8")
	c.addr = "192.0.2.9:1"
	c.change(func(s *core.Session) { s.Login("bob") }) // clears what was alice's
	c.wants("192.0.2.9", "curl/8")
	c.change(func(s *core.Session) { s.Destroy(); s.Set("k", 1) })
	c.wants("192.0.2.9", "curl/8")
}

// TestDevices reads the record outside HTTP.
func TestDevices(t *testing.T) {
	c := newClient(t)
	c.change(func(s *core.Session) { s.Login("alice") })
	mine, err := c.m.UserSessions(t.Context(), "alice")
	if errors.Is(err, errors.ErrUnsupported) { // counter hides what the store can besides
		t.Fatal("the store cannot list")
	}
	for _, device := range mine {
		s, err := c.m.Load(t.Context(), device.ID)
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := clientinfo.Of(s); !ok || info.Addr != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("recorded is %v, %v", info, ok)
		}
	}
	if len(mine) != 1 {
		t.Errorf("%d sessions, want 1", len(mine))
	}
}

func (c *counter) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	return c.Store.(core.UserLister).ListUser(ctx, user)
}

func TestOfNothing(t *testing.T) {
	c := newClient(t)
	if info, ok := c.info(); ok || info != (clientinfo.Info{}) {
		t.Errorf("%v of an empty session", info)
	}
	c.change(func(s *core.Session) { s.Namespace("clientinfo").Set("client", "something else") })
	if info, ok := c.info(); ok || info != (clientinfo.Info{}) {
		t.Errorf("%v of another's value", info)
	}
}

func TestUserAgentIsBounded(t *testing.T) {
	for _, test := range []struct{ agent, want string }{
		{"", ""},
		{strings.Repeat("a", 256), strings.Repeat("a", 256)},
		{strings.Repeat("a", 100_000), strings.Repeat("a", 256)},
		{strings.Repeat("é", 200), strings.Repeat("é", 128)},
		{"a" + strings.Repeat("é", 200), "a" + strings.Repeat("é", 127)},
		{"a\xff\xfeb", "ab"},
	} {
		c := newClient(t)
		c.agent = test.agent
		c.change(func(s *core.Session) { s.Set("k", 1) })
		info, ok := c.info()
		if !ok || info.UserAgent != test.want || !utf8.ValidString(info.UserAgent) {
			t.Errorf("of %d bytes %d are kept, %q", len(test.agent), len(info.UserAgent), info.UserAgent)
		}
	}
}

func TestNoAddress(t *testing.T) {
	c := newClient(t)
	c.addr = "@"
	c.change(func(s *core.Session) { s.Set("k", 1) })
	if info, ok := c.info(); !ok || info.Addr.IsValid() || info.UserAgent != "curl/8" {
		t.Errorf("recorded is %v, %v", info, ok)
	}
}

func TestRecordRefuses(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")} {
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, core.ErrConfig) {
					t.Errorf("%v: %v", p, err)
				}
			}()
			clientinfo.Record(clientinfo.Config{TrustedProxies: []netip.Prefix{p}})
		}()
	}
}

// TestProxiesAreCopied: later changes of the slice have no effect.
func TestProxiesAreCopied(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	record := clientinfo.Record(clientinfo.Config{TrustedProxies: own})
	own[0] = netip.MustParsePrefix("0.0.0.0/0")
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{}), OnEnd: record})
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("X-Forwarded-For", "203.0.113.66")
	rec := httptest.NewRecorder()
	m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { core.Get(r.Context()).Set("k", 1) })
	sessiontest.After(t, m, r, rec.Result()).Look(func(s *core.Session) {
		if info, _ := clientinfo.Of(s); info.Addr.String() != "192.0.2.1" {
			t.Errorf("recorded is %v", info.Addr)
		}
	})
}

func Example() {
	sessions := core.MustNew(core.Config{
		Store: memorystore.New(memorystore.Config{}),
		OnEnd: clientinfo.Record(clientinfo.Config{
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		}),
	})
	login := sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login("alice")
	}))
	r := httptest.NewRequest("POST", "/login", nil)
	r.RemoteAddr = "10.0.0.7:51234"
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	login.ServeHTTP(httptest.NewRecorder(), r)

	mine, _ := sessions.UserSessions(context.Background(), "alice")
	for _, device := range mine {
		if s, err := sessions.Load(context.Background(), device.ID); err == nil {
			info, _ := clientinfo.Of(s)
			fmt.Println(info.Addr, info.UserAgent)
		}
	}
	// Output: 203.0.113.9 Mozilla/5.0
}
