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
