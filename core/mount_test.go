package core_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Features Q24, W45 and QX25: the cookie's path is where the handler is mounted, with
// a slash at its end, and clearing names the same.
func TestCookiePathFromMount(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cookie core.CookieConfig
		mount  string
		target string
		want   string
	}{
		{"root", core.CookieConfig{Insecure: true}, "", "/x/y?z=/app", "/"},
		{"mounted", core.CookieConfig{Insecure: true}, "/app", "/app/x?y=1", "/app/"},
		{"mounted with a slash", core.CookieConfig{Insecure: true}, "/app/", "/app/x", "/app/"},
		{"mounted itself", core.CookieConfig{Insecure: true}, "/app", "/app", "/app/"},
		{"deep", core.CookieConfig{Name: "sid"}, "/a/b", "/a/b/c", "/a/b/"},
		{"escaped", core.CookieConfig{Insecure: true}, "/a%20b", "/a%20b/c%2Fd", "/a%20b/"},
		{"whole URL", core.CookieConfig{Insecure: true}, "/app", "http://example.com/app/x", "/app/"},
		{"a URL in the path", core.CookieConfig{Insecure: true}, "/app", "/app/go/http://example.com/x", "/app/"},
		{"the longest", core.CookieConfig{Insecure: true}, "/" + strings.Repeat("a", 1022), "/" + strings.Repeat("a", 1022) + "/x", "/" + strings.Repeat("a", 1022) + "/"},
		{"longer than browsers take", core.CookieConfig{Insecure: true}, "/" + strings.Repeat("a", 1023), "/" + strings.Repeat("a", 1023) + "/x", "/"},
		{"a path that cannot stand in a header", core.CookieConfig{Insecure: true}, "/a;b", "/a;b/c", "/"},
		{"set", core.CookieConfig{Insecure: true, Path: "/q"}, "/app", "/app/x", "/q/"},
		{"prefix demands the root", core.CookieConfig{}, "/app", "/app/x", "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := memorystore.New(memorystore.Config{})
			defer mem.Close()
			m := core.MustNew(core.Config{Store: mem, Cookie: tc.cookie})
			var h http.Handler = m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s := core.Get(r.Context())
				if s.Len() > 0 {
					s.Destroy()
					return
				}
				s.Set("k", "v")
			}))
			if tc.mount != "" {
				h = strip(tc.mount, h)
			}
			r := httptest.NewRequest("GET", tc.target, nil)
			for _, what := range []string{"set", "cleared"} {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				line := rec.Result().Header.Get("Set-Cookie")
				c, err := http.ParseSetCookie(line)
				if err != nil {
					t.Fatalf("%s: %q: %v", what, line, err)
				}
				if c.Path != tc.want || (what == "cleared") != (c.MaxAge < 0) {
					t.Errorf("%s: %q, want the path %s", what, line, tc.want)
				}
				r.Header.Set("Cookie", c.Name+"="+c.Value)
			}
		})
	}
}

// ServeAt: the path is one that the client will return the cookie to, and one
// for all where none can be told.
func TestCookiePathFromDepth(t *testing.T) {
	var path string
	m := core.MustNew(core.Config{
		Store:    memorystore.New(memorystore.Config{}),
		Cookie:   core.CookieConfig{Insecure: true},
		OnCookie: func(_ *http.Request, c *http.Cookie) { path = c.Path },
	})
	defer m.Close()
	at := func(depth int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeAt(w, r, func(*http.Request) int { return depth }, func(_ http.ResponseWriter, r *http.Request) {
				core.Get(r.Context()).Set("k", "v")
			})
		})
	}
	rewritten := func(path string, h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path, r.URL.RawPath = path, ""
			h.ServeHTTP(w, r)
		})
	}
	unread := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RequestURI = ""
			h.ServeHTTP(w, r)
		})
	}
	for _, tc := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"group", at(1), "/app/x", "/app/"},
		{"too deep", at(3), "/app/x", "/"},
		{"above", at(-1), "/app/x", "/"},
		{"all", at(1), "*", "/*/"},
		{"empty segments", at(2), "//a//b/x", "/a/b/"},
		{"below what was stripped", http.StripPrefix("/site", at(1)), "/site/app/x", "/site/app/"},
		{"a URL in the path", http.StripPrefix("/site", at(1)), "/site/app/go/http://example.com/x", "/site/app/"},
		{"written in another way", at(1), "/app/a|b", "/app/"},
		{"written in another way, below what was stripped", http.StripPrefix("/site", at(1)), "/site/app/a|b", "/"},
		{"itself written in another way", at(1), "/a|b/x", "/"},
		{"rewritten", rewritten("/app/x", at(1)), "/old/x", "/"},
		{"rewritten at the end", rewritten("/app/x", at(1)), "/app/x/", "/app/"},
		{"rewritten to one with the same beginning", rewritten("/app/x", at(1)), "/apple/x", "/"},
		{"not read from a connection", unread(at(1)), "/app/x", "/app/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path = ""
			tc.h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", tc.target, nil))
			if path != tc.want {
				t.Errorf("%s: path %q, want %q", tc.target, path, tc.want)
			}
		})
	}
}

// strip is http.StripPrefix for a prefix that is given as it stands in a URL.
func strip(prefix string, h http.Handler) http.Handler {
	if !strings.Contains(prefix, "%") {
		return http.StripPrefix(prefix, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied, u := *r, *r.URL
		u.RawPath = strings.TrimPrefix(r.URL.EscapedPath(), prefix)
		u.Path, _ = strings.CutPrefix(r.URL.Path, strings.ReplaceAll(prefix, "%20", " "))
		copied.URL = &u
		h.ServeHTTP(w, &copied)
	})
}
