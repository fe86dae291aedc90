package adapters_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/csrf"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"
)

// TestCSRFBehindFrameworks puts package csrf behind each framework as the guide
// shows it. What Verify read of the body is still there for the framework.
func TestCSRFBehindFrameworks(t *testing.T) {
	t.Parallel()
	page := func(r *http.Request) string { return csrf.Token(core.Get(r.Context())) }
	for name, build := range map[string]func(*core.Manager) http.Handler{
		"nethttp": func(m *core.Manager) http.Handler {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(page(r))) })
			mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.FormValue("text"))) })
			return m.Handler(csrf.Handler(mux))
		},
		"chi": func(m *core.Manager) http.Handler {
			r := chi.NewRouter()
			r.Use(chisession.New(m), csrf.Handler)
			r.Get("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(page(r))) })
			r.Post("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.FormValue("text"))) })
			return r
		},
		"gin": func(m *core.Manager) http.Handler {
			r := gin.New()
			r.Use(ginsession.New(m), func(c *gin.Context) {
				if err := csrf.Verify(c.Request); err != nil && !errors.Is(err, csrf.ErrSafeMethod) {
					c.AbortWithStatus(http.StatusForbidden)
				}
			})
			r.GET("/", func(c *gin.Context) { c.String(200, "%s", page(c.Request)) })
			r.POST("/", func(c *gin.Context) { c.String(200, "%s", c.PostForm("text")) })
			return r
		},
		"echo4": func(m *core.Manager) http.Handler {
			e := echo4.New()
			e.Use(echosession.New(m), echo4.WrapMiddleware(csrf.Handler))
			e.GET("/", func(c echo4.Context) error { return c.String(200, page(c.Request())) })
			e.POST("/", func(c echo4.Context) error { return c.String(200, c.FormValue("text")) })
			return e
		},
		"echo5": func(m *core.Manager) http.Handler {
			e := echo5.New()
			e.Use(echo5session.New(m), echo5.WrapMiddleware(csrf.Handler))
			e.GET("/", func(c *echo5.Context) error { return c.String(200, page(c.Request())) })
			e.POST("/", func(c *echo5.Context) error { return c.String(200, c.FormValue("text")) })
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := build(core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})}))
			first := httptest.NewRecorder()
			app.ServeHTTP(first, httptest.NewRequest("GET", "/", nil))
			cookies := first.Result().Cookies()
			if len(cookies) != 1 {
				t.Fatalf("the page sets %d cookies", len(cookies))
			}
			for _, test := range []struct {
				token  string
				status int
				text   string
			}{{first.Body.String(), 200, "hello"}, {"", 403, ""}, {strings.Repeat("A", 48), 403, ""}} {
				form := url.Values{"csrf_token": {test.token}, "text": {"hello"}}
				r := httptest.NewRequest("POST", "/", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.AddCookie(cookies[0])
				rec := httptest.NewRecorder()
				app.ServeHTTP(rec, r)
				if rec.Code != test.status || test.text != "" && rec.Body.String() != test.text {
					t.Errorf("token %q: %d %q, want %d %q", test.token, rec.Code, rec.Body, test.status, test.text)
				}
				if test.status != 200 && strings.Contains(rec.Body.String(), "hello") {
					t.Errorf("token %q: the handler ran", test.token)
				}
			}
		})
	}
}
