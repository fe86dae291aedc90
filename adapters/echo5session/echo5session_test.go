package echo5session_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/labstack/echo/v5"
)

// What is Echo's own; behaviour that all adapters share is in adapters_test.

func manager(t *testing.T) *core.Manager {
	t.Helper()
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	t.Cleanup(func() { m.Close() })
	return m
}

func serve(e *echo.Echo, path string) (status int, body string, cookies []*http.Cookie) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(b), w.Result().Cookies()
}

func response(t *testing.T, c *echo.Context) *echo.Response {
	t.Helper()
	r, err := echo.UnwrapResponse(c.Response())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLookup(t *testing.T) {
	e := echo.New()
	if _, ok := echo5session.Lookup(e.NewContext(nil, httptest.NewRecorder())); ok {
		t.Error("a session in a context without a request")
	}
	c := e.NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
	if _, ok := echo5session.Lookup(c); ok {
		t.Error("a session without the middleware")
	}
}

var errTeapot = errors.New("short and stout")

// TestErrorHandler checks that an error is rendered by the application's own
// handler, inside the session, where its status decides; and that middleware
// outside still sees the error.
func TestErrorHandler(t *testing.T) {
	e := echo.New()
	var outside error
	rendered := 0
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		if response(t, c).Committed {
			return
		}
		rendered++
		c.String(http.StatusTeapot, err.Error())
	}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			outside = next(c)
			if r := response(t, c); r.Status != http.StatusTeapot || !r.Committed {
				t.Errorf("outside: status %d, committed %v", r.Status, r.Committed)
			}
			return outside
		}
	}, echo5session.New(manager(t)))
	e.GET("/", func(c *echo.Context) error {
		echo5session.Get(c).Set("a", 1)
		return errTeapot
	})
	status, body, cookies := serve(e, "/")
	if status != http.StatusTeapot || body != "short and stout" || len(cookies) != 1 {
		t.Errorf("%d %q, cookies %v", status, body, cookies)
	}
	if outside != errTeapot || rendered != 1 {
		t.Errorf("outside saw %v, rendered %d times", outside, rendered)
	}
}

// TestNotFound checks that Echo's own errors are treated like those of handlers.
func TestNotFound(t *testing.T) {
	e := echo.New()
	e.Use(echo5session.New(manager(t)), func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			echo5session.Get(c).Set("a", 1)
			return next(c)
		}
	})
	status, body, cookies := serve(e, "/nowhere")
	if status != 404 || body != "{\"message\":\"Not Found\"}\n" || len(cookies) != 1 {
		t.Errorf("%d %q, cookies %v", status, body, cookies)
	}
}

// TestPre checks the middleware before the router.
func TestPre(t *testing.T) {
	e := echo.New()
	e.Pre(echo5session.New(manager(t)))
	e.GET("/", func(c *echo.Context) error {
		echo5session.Get(c).Set("a", 1)
		return c.String(200, c.Path())
	})
	if status, body, cookies := serve(e, "/"); status != 200 || body != "/" || len(cookies) != 1 {
		t.Errorf("%d %q, cookies %v", status, body, cookies)
	}
}

// TestRestores checks that the middleware leaves Echo's context as it found it,
// also when a handler panics, and that hooks on either response run.
func TestRestores(t *testing.T) {
	for _, path := range []string{"/ok", "/panic"} {
		e := echo.New()
		var ran []string
		e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) error {
				before, request := c.Response(), c.Request()
				response(t, c).Before(func() { ran = append(ran, "outer") })
				defer func() {
					recover()
					if c.Response() != before || c.Request() != request {
						t.Errorf("%s: the response or the request is not what it was", path)
					}
				}()
				return next(c)
			}
		}, echo5session.New(manager(t)))
		e.GET("/ok", func(c *echo.Context) error {
			r := response(t, c)
			if r.Status != 200 || r.Committed {
				t.Errorf("before: status %d, committed %v", r.Status, r.Committed)
			}
			r.Before(func() { ran = append(ran, "inner") })
			return c.NoContent(204)
		})
		e.GET("/panic", func(c *echo.Context) error { panic("on purpose") })
		serve(e, path)
		if path == "/ok" && (len(ran) != 2 || ran[0] != "inner") {
			t.Errorf("hooks: %v", ran)
		}
	}
}
