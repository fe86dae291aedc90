package adapters_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"
)

// grouped builds, with each framework, an application that has sessions in
// three groups of routes, /app, /app/in and /t/{tenant}, and at /top in none.
var grouped = map[string]func(*core.Manager) http.Handler{
	"chi": func(m *core.Manager) http.Handler {
		toggle := func(_ http.ResponseWriter, r *http.Request) { toggle(chisession.Get(r)) }
		r := chi.NewRouter()
		r.Use(middleware.StripSlashes)
		routes := func(group string) func(chi.Router) {
			return func(r chi.Router) {
				r.Use(chisession.NewAt(m, group))
				r.Get("/", toggle)
				r.Get("/x", toggle)
			}
		}
		r.Route("/app", func(r chi.Router) {
			r.Route("/in", routes("/app/in"))
			r.Group(routes("/app"))
		})
		sub := chi.NewRouter()
		routes("/t/{tenant}")(sub)
		r.Mount("/t/{tenant}", sub)
		r.With(chisession.New(m)).Get("/top/x", toggle)
		return r
	},
	"gin": func(m *core.Manager) http.Handler {
		toggle := func(c *gin.Context) { toggle(ginsession.Get(c)) }
		r := gin.New()
		r.UseRawPath = true
		app := r.Group("/app")
		for _, g := range []*gin.RouterGroup{app.Group(""), app.Group("/in"), r.Group("/t/:tenant")} {
			g.Use(ginsession.NewAt(m, g.BasePath()))
			g.GET("", toggle)
			g.GET("/x", toggle)
		}
		r.GET("/top/x", ginsession.New(m), toggle)
		return r
	},
	"echo4": func(m *core.Manager) http.Handler {
		toggle := func(c echo4.Context) error { toggle(echosession.Get(c)); return nil }
		e := echo4.New()
		for _, path := range []string{"/app", "/app/in", "/t/:tenant"} {
			g := e.Group(path)
			g.Use(echosession.NewAt(m, path))
			g.GET("", toggle)
			g.GET("/x", toggle)
		}
		e.GET("/top/x", toggle, echosession.New(m))
		return e
	},
	"echo5": func(m *core.Manager) http.Handler {
		toggle := func(c *echo5.Context) error { toggle(echo5session.Get(c)); return nil }
		e := echo5.New()
		for _, path := range []string{"/app", "/app/in", "/t/:tenant"} {
			g := e.Group(path)
			g.Use(echo5session.NewAt(m, path))
			g.GET("", toggle)
			g.GET("/x", toggle)
		}
		e.GET("/top/x", toggle, echo5session.New(m))
		return e
	},
}

// toggle begins a session, or ends the one that is there.
func toggle(s *core.Session) {
	if s.Has("k") {
		s.Destroy()
		return
	}
	s.Set("k", 1)
}

// Features Q24 and W45: in a group of routes the cookie's path is that of the
// group, below what http.StripPrefix took off; it is cleared with the same.
func TestCookiePathFromGroup(t *testing.T) {
	for name, build := range grouped {
		t.Run(name, func(t *testing.T) {
			for _, tc := range []struct{ cookie, mount, target, want string }{
				{"sid", "", "/app", "/app/"},
				{"sid", "", "/app/x", "/app/"},
				{"sid", "", "/app/x?y=/z", "/app/"},
				{"sid", "", "/app/in/x", "/app/in/"},
				{"sid", "", "/t/acme/x", "/t/acme/"},
				{"sid", "", "/t/acme", "/t/acme/"},
				{"sid", "", "/t/a%2Fb/x", "/t/a%2Fb/"},
				{"sid", "", "/t/a%20b/x", "/t/a%20b/"},
				{"sid", "", "/t/a|b/x", "/t/a|b/"}, // as the client spells it
				{"sid", "/site", "/site/t/a|b/x", "/site/t/a|b/"},
				{"sid", "", "/t/a;b/x", "/t/a%3Bb/"}, // cannot stand in a header
				{"sid", "", "/top/x", "/"},
				{"sid", "/site", "/site/app/in/x", "/site/app/in/"},
				{"sid", "/site", "/site/top/x", "/site/"},
				{"", "", "/app/x", "/"}, // __Host- demands it
			} {
				m := core.MustNew(core.Config{
					Store:  memorystore.New(memorystore.Config{}),
					Cookie: core.CookieConfig{Name: tc.cookie},
				})
				defer m.Close()
				h := build(m)
				if tc.mount != "" {
					h = http.StripPrefix(tc.mount, h)
				}
				r := httptest.NewRequest("GET", tc.target, nil)
				for _, what := range []string{"set", "cleared"} {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					line := w.Result().Header.Get("Set-Cookie")
					c, err := http.ParseSetCookie(line)
					if err != nil {
						t.Errorf("%s: %s: status %d, %q: %v", tc.target, what, w.Code, line, err)
						break
					}
					if c.Path != tc.want || (what == "cleared") != (c.MaxAge < 0) {
						t.Errorf("%s: %s: %q, want the path %s", tc.target, what, line, tc.want)
					}
					r.Header.Set("Cookie", c.Name+"="+c.Value)
				}
			}
		})
	}
}

// One manager, two tenants: a browser has a session with each, and neither is
// shown the other's.
func TestTenantsKeepApart(t *testing.T) {
	for name, build := range grouped {
		t.Run(name, func(t *testing.T) {
			m := core.MustNew(core.Config{
				Store:  memorystore.New(memorystore.Config{}),
				Cookie: core.CookieConfig{Insecure: true},
			})
			defer m.Close()
			server := httptest.NewServer(build(m))
			defer server.Close()
			jar, _ := cookiejar.New(nil)
			client := &http.Client{Jar: jar}
			sent := func(path string) string {
				res, err := client.Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				return res.Request.Header.Get("Cookie")
			}
			if got := sent("/t/a/x") + sent("/t/b/x"); got != "" {
				t.Errorf("first visits carried %q", got)
			}
			if a, b := sent("/t/a/x"), sent("/t/b/x"); a == "" || b == "" || a == b {
				t.Errorf("the tenants were sent %q and %q", a, b)
			}
		})
	}
}
