package core_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Feature Q23. Fails if a manager takes the cookie of another name for its own.
func TestTwoNames(t *testing.T) {
	mem := memorystore.New(memorystore.Config{})
	t.Cleanup(func() { mem.Close() })
	secrets := []core.Secret{core.GenerateSecret()}
	manager := func(name string) *core.Manager {
		return core.MustNew(core.Config{Store: mem, Secrets: secrets, Cookie: core.CookieConfig{Name: "__Host-" + name}})
	}
	a, b := manager("a"), manager("b")
	jar := map[string]string{}
	do := func(m *core.Manager, h func(s *core.Session)) {
		r := httptest.NewRequest("GET", "/", nil)
		for name, value := range jar {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		rec := httptest.NewRecorder()
		m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { h(core.Get(r.Context())) })
		for _, c := range rec.Result().Cookies() {
			jar[c.Name] = c.Value
		}
	}
	do(a, func(s *core.Session) { s.Set("k", "a") })
	do(b, func(s *core.Session) {
		mustBe(t, "values", s.Len(), 0)
		mustBe(t, "reason", s.Rejected(), "")
		s.Set("k", "b")
	})
	for m, want := range map[*core.Manager]string{a: "a", b: "b"} {
		do(m, func(s *core.Session) { v, _ := s.Get("k"); mustBe(t, "value", v, any(want)) })
	}
	// One's token under the name of the other opens nothing.
	jar["__Host-b"] = jar["__Host-a"]
	do(b, func(s *core.Session) {
		mustBe(t, "values", s.Len(), 0)
		mustBe(t, "reason", s.Rejected(), core.ReasonSeal)
	})
}

// Features PX10, B41. Fails if a header or a session outlives its request.
func TestClientsAreKeptApart(t *testing.T) {
	w := newWorld(t)
	bob := w.client()
	bob.use(func(s *core.Session) { s.Login("bob") })
	alice := w.client()
	alice.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		s.Login("alice")
		rw.Header().Set("X-App", "alice")
	})
	rec := bob.use(func(s *core.Session) { mustBe(t, "user", s.User(), "bob") })
	noCookie(t, rec)
	mustBe(t, "header of the application", rec.Header().Get("X-App"), "")

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			me := fmt.Sprint("user", i)
			c := w.client()
			c.use(func(s *core.Session) { s.Login(me) })
			for n := range 50 {
				c.use(func(s *core.Session) {
					if got := s.User(); got != me {
						t.Errorf("the session of %s is that of %q", me, got)
					}
					switch n % 5 {
					case 0:
						s.Set("n", n)
					case 1:
						s.Regenerate()
					case 2:
						s.Login(me)
					}
				})
			}
		})
	}
	wg.Wait()
}

// Feature Q14. Fails if the manager keeps something of a request that has
// ended, however it ended.
func TestManagerKeepsNothingOfARequest(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.OnEvent = nil })
	r := httptest.NewRequest("GET", "/", nil)
	request := func() {
		defer func() { recover() }()
		w.m.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			s.Login("u")
			if err := s.Save(r.Context()); err != nil {
				t.Error(err)
			}
			s.Destroy()
			s.Set("k", 1)
			panic("x")
		})
	}
	heap := func() uint64 {
		w.store.took()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range 500 {
		request()
	}
	before := heap()
	for range 10_000 {
		request()
	}
	if after := heap(); after > before+10_000*8 {
		t.Errorf("the heap grew by %d bytes a request", (after-before)/10_000)
	}
	mustBe(t, "records", w.count(), 0)
}

// Feature P23. Fails if anything of a session is printed, where a program
// speaks CGI through its output.
func TestNothingIsPrinted(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	defer func() { os.Stdout = stdout }()
	w := newWorld(t, func(c *core.Config) { c.Logger = nil })
	c := w.client()
	c.use(func(s *core.Session) { s.Login("u") })
	c.use(func(s *core.Session) { s.Destroy() })
	c.do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { rw.Write(nil); s.Set("late", 1) })
	write.Close()
	if text, _ := io.ReadAll(read); len(text) > 0 {
		t.Errorf("printed %q", text)
	}
}

// Feature Q29, over TLS with the cookie jar of net/http. Fails if the clearing
// line has another scope than the cookie.
func TestJarForgets(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Cookie.Name = "__Secure-sid" })
	srv := httptest.NewTLSServer(http.StripPrefix("/app", w.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		switch r.URL.Path {
		case "/login":
			s.Login("u")
		case "/logout":
			s.Destroy()
		default:
			if s.User() != "u" {
				t.Error("the jar did not bring the cookie")
			}
		}
	}))))
	defer srv.Close()
	jar, _ := cookiejar.New(nil)
	browser := srv.Client()
	browser.Jar = jar
	inJar := func() int {
		u, _ := url.Parse(srv.URL + "/app/x")
		return len(jar.Cookies(u))
	}
	for _, step := range []struct {
		path, line string
		left       int
	}{{"/app/login", "Path=/app/", 1}, {"/app/", "", 1}, {"/app/logout", "Max-Age=0; Path=/app/;", 0}} {
		res, err := browser.Get(srv.URL + step.path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if line := res.Header.Get("Set-Cookie"); !strings.Contains(line, step.line) || (line == "") != (step.line == "") {
			t.Errorf("%s: Set-Cookie %q, want %q", step.path, line, step.line)
		}
		mustBe(t, "cookies in the jar after "+step.path, inJar(), step.left)
	}
}
