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
		{"longer than browsers take", core.CookieConfig{Insecure: true}, "/" + strings.Repeat("a", 1023), "/" + strings.Repeat("a", 1023) + "/x", "/" + strings.Repeat("a", 1022) + "/"},
		{"a path that cannot stand in a header", core.CookieConfig{Insecure: true}, "/a;b", "/a;b/c", "/a%3Bb/"},
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

// The path is that of the group, as the client spelled it, so that it returns the
// cookie; and no URL of a group gives a cookie to other groups, unless something
// rewrote it in between.
func TestCookiePathFromGroup(t *testing.T) {
	var path string
	m := core.MustNew(core.Config{
		Store:    memorystore.New(memorystore.Config{}),
		Cookie:   core.CookieConfig{Insecure: true},
		OnCookie: func(_ *http.Request, c *http.Cookie) { path = c.Path },
	})
	defer m.Close()
	at := func(group string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeAt(w, r, group, func(_ http.ResponseWriter, r *http.Request) {
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
		{"root", at(""), "/app/x", "/"},
		{"root with a slash", at("/"), "/app/x", "/"},
		{"group", at("/app"), "/app/x", "/app/"},
		{"group with a slash", at("app/"), "/app", "/app/"},
		{"group with a parameter", at("/t/{tenant}"), "/t/acme/x", "/t/acme/"},
		{"too deep", at("/a/b/c"), "/a/b", "/"},
		{"all", at("/a"), "*", "/*/"},
		{"empty segments", at("/a/b"), "//a//b/x", "/a/b/"},
		{"below what was stripped", http.StripPrefix("/site", at("/app")), "/site/app/x", "/site/app/"},
		{"a URL in the path", http.StripPrefix("/site", at("/app")), "/site/app/go/http://example.com/x", "/site/app/"},
		{"whole URL", http.StripPrefix("/site", at("/app")), "http://example.com/site/app/x?y=/z", "/site/app/"},
		{"whole URL of the root", at(""), "http://example.com", "/"},
		{"spelled in another way", at("/app"), "/app/a|b", "/app/"},
		{"spelled in another way, below what was stripped", http.StripPrefix("/site", at("/app")), "/site/app/a|b", "/site/app/"},
		{"itself spelled in another way", at("/{tenant}"), "/a|%62/x", "/a|%62/"},
		{"what cannot stand in a header", at("/{tenant}"), "/a;b\xffc/x", "/a%3Bb%FFc/"},
		{"longer than browsers take", at("/{tenant}"), "/" + strings.Repeat("a", 2000) + "/x", "/" + strings.Repeat("a", 1022) + "/"},
		{"rewritten", rewritten("/app/x", at("/app")), "/old/x", "/"},
		{"rewritten to a longer one", rewritten("/app/in/x", at("/app/in")), "/in/x", "/"},
		{"rewritten, the slash at the end", rewritten("/app/x", at("/app")), "/app/x/", "/app/"},
		{"rewritten to one with the same beginning", rewritten("/app/x", at("/app")), "/apple/x", "/"},
		{"rewritten in its last segment", rewritten("/app/y", at("/app")), "/app/x", "/"},
		{"not read from a connection", unread(at("/app")), "/app/x", "/app/"},
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
