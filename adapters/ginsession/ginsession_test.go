package ginsession_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/gin-gonic/gin"
)

// What is gin's own; behaviour that all adapters share is in adapters_test.

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}

// failing is a store that is down.
type failing struct{ core.Store }

func (failing) Create(context.Context, core.Record) error { return errors.New("down") }

func manager(t *testing.T, store core.Store, tune ...func(*core.Config)) *core.Manager {
	t.Helper()
	cfg := core.Config{Store: store, Secrets: []core.Secret{core.GenerateSecret()}}
	for _, fn := range tune {
		fn(&cfg)
	}
	m := core.MustNew(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

func serve(r http.Handler, path string, cookies ...*http.Cookie) *http.Response {
	req := httptest.NewRequest("GET", path, nil)
	for _, c := range cookies {
		req.AddCookie(c)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Result()
}

func TestLookup(t *testing.T) {
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	if _, ok := ginsession.Lookup(c); ok { // c.Request is nil
		t.Error("a session in a context without a request")
	}
	c.Request = httptest.NewRequest("GET", "/", nil)
	if _, ok := ginsession.Lookup(c); ok {
		t.Error("a session without the middleware")
	}
}

// TestWriterFacts checks that Status, Size and Written stay those of gin, inside
// the session and outside.
func TestWriterFacts(t *testing.T) {
	r := gin.New()
	r.Use(func(c *gin.Context) {
		c.Next()
		if c.Writer.Status() != 201 || c.Writer.Size() != 10 || !c.Writer.Written() {
			t.Errorf("outside: status %d, size %d, written %v", c.Writer.Status(), c.Writer.Size(), c.Writer.Written())
		}
	})
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
	r.GET("/", func(c *gin.Context) {
		w := c.Writer
		if w.Status() != 200 || w.Size() != -1 || w.Written() {
			t.Errorf("before: status %d, size %d, written %v", w.Status(), w.Size(), w.Written())
		}
		c.Status(201)
		if w.Status() != 201 || w.Written() {
			t.Errorf("recorded: status %d, written %v", w.Status(), w.Written())
		}
		w.WriteHeaderNow()
		if w.Size() != 0 || !w.Written() {
			t.Errorf("sent: size %d, written %v", w.Size(), w.Written())
		}
		w.Write([]byte("hello"))
		w.WriteString("world")
		if w.Size() != 10 {
			t.Errorf("after: size %d", w.Size())
		}
	})
	if got := serve(r, "/"); got.StatusCode != 201 {
		t.Errorf("status %d", got.StatusCode)
	}
}

// TestRestores checks that the middleware leaves gin's context as it found it,
// also when a handler panics.
func TestRestores(t *testing.T) {
	for _, path := range []string{"/ok", "/panic"} {
		r := gin.New()
		r.Use(func(c *gin.Context) {
			writer, request := c.Writer, c.Request
			defer func() {
				recover()
				if c.Writer != writer || c.Request != request {
					t.Errorf("%s: c.Writer or c.Request is not what it was", path)
				}
			}()
			c.Next()
		})
		r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
		r.GET("/ok", func(c *gin.Context) {})
		r.GET("/panic", func(c *gin.Context) { panic("on purpose") })
		serve(r, path)
	}
}

func TestAbort(t *testing.T) {
	r := gin.New()
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
	r.GET("/", func(c *gin.Context) {
		ginsession.Get(c).Set("a", 1)
		c.AbortWithStatus(403)
	}, func(*gin.Context) { t.Error("ran after Abort") })
	if got := serve(r, "/"); got.StatusCode != 403 || len(got.Cookies()) != 1 {
		t.Errorf("status %d, cookies %v", got.StatusCode, got.Cookies())
	}
}

// TestRejected checks that nothing runs after core.Config.OnRejected answered.
func TestRejected(t *testing.T) {
	r := gin.New()
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}), func(c *core.Config) {
		c.OnRejected = func(w http.ResponseWriter, _ *http.Request, reason core.Reason) bool {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, string(reason))
			return true
		}
	})))
	ran := false
	r.GET("/", func(c *gin.Context) { ran = true; c.String(200, "handler") })
	got := serve(r, "/", &http.Cookie{Name: "__Host-session", Value: "junk"})
	body, _ := io.ReadAll(got.Body)
	if got.StatusCode != 401 || string(body) != "seal" || ran {
		t.Errorf("%d %q, handler ran: %v", got.StatusCode, body, ran)
	}
	if got := serve(r, "/"); got.StatusCode != 200 || !ran {
		t.Errorf("without a cookie: %d, handler ran: %v", got.StatusCode, ran)
	}
}

// TestNoRoute checks that gin's own answer to an unknown path survives.
func TestNoRoute(t *testing.T) {
	r := gin.New()
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))), func(c *gin.Context) { ginsession.Get(c).Set("a", 1) })
	got := serve(r, "/nowhere")
	body, _ := io.ReadAll(got.Body)
	if got.StatusCode != 404 || string(body) != "404 page not found" || len(got.Cookies()) != 1 {
		t.Errorf("%d %q, cookies %v", got.StatusCode, body, got.Cookies())
	}
}

// TestHandleContext checks that a request that gin routes anew, which forgets
// c.Writer, still has its session saved before it is answered.
func TestHandleContext(t *testing.T) {
	for _, path := range []string{"/text", "/status"} {
		r := gin.New()
		r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
		r.GET("/old", func(c *gin.Context) {
			c.Request.URL.Path = path
			r.HandleContext(c)
			c.Abort()
		})
		r.GET("/text", func(c *gin.Context) { ginsession.Get(c).Set("a", 1); c.String(200, "new") })
		r.GET("/status", func(c *gin.Context) { ginsession.Get(c).Set("a", 1); c.Status(202) })
		if got := serve(r, "/old"); len(got.Cookies()) != 1 {
			t.Errorf("%s: status %d, cookies %v", path, got.StatusCode, got.Cookies())
		}
	}
}

// TestStatusAfterFailure checks that no later status hides that the session
// could not be saved.
func TestStatusAfterFailure(t *testing.T) {
	for name, handler := range map[string]func(*gin.Context){
		"WriteHeaderNow": func(c *gin.Context) { c.Writer.WriteHeaderNow(); c.JSON(200, "saved") },
		"Flush":          func(c *gin.Context) { c.Writer.Flush(); c.JSON(200, "saved") },
		"JSON":           func(c *gin.Context) { c.JSON(200, "saved"); c.JSON(201, "saved") },
		"Status":         func(c *gin.Context) { c.Status(201) },
	} {
		var status int
		r := gin.New()
		r.Use(func(c *gin.Context) { c.Next(); status = c.Writer.Status() })
		r.Use(ginsession.New(manager(t, failing{memorystore.New(memorystore.Config{})}, func(c *core.Config) {
			c.OnError = func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(core.Status(err)) }
		})))
		r.GET("/", func(c *gin.Context) { ginsession.Get(c).Set("a", 1); handler(c) })
		got := serve(r, "/")
		body, _ := io.ReadAll(got.Body)
		if got.StatusCode != 503 || status != 503 || strings.Contains(string(body), "saved") || len(got.Cookies()) > 0 {
			t.Errorf("%s: %d %q, cookies %v; gin believes %d", name, got.StatusCode, body, got.Cookies(), status)
		}
	}
}

// TestCopy checks that a copy of the context, for a goroutine, knows the
// session, which then tells that its request is over.
func TestCopy(t *testing.T) {
	var copied *gin.Context
	r := gin.New()
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
	r.GET("/", func(c *gin.Context) { copied = c.Copy() })
	serve(r, "/")
	s := ginsession.Get(copied)
	if s.Set("a", 1); !errors.Is(s.Err(), core.ErrEnded) {
		t.Errorf("Err: %v, want ErrEnded", s.Err())
	}
}

// TestWriterBetween checks that a middleware may replace c.Writer on either side.
func TestWriterBetween(t *testing.T) {
	shout := func(c *gin.Context) {
		c.Writer = &upper{c.Writer}
		c.Next()
	}
	sessions := ginsession.New(manager(t, memorystore.New(memorystore.Config{})))
	for name, chain := range map[string][]gin.HandlerFunc{"outside": {shout, sessions}, "inside": {sessions, shout}} {
		r := gin.New()
		r.Use(chain...)
		r.GET("/", func(c *gin.Context) { ginsession.Get(c).Set("a", 1); c.String(200, "hello") })
		got := serve(r, "/")
		body, _ := io.ReadAll(got.Body)
		if string(body) != "HELLO" || len(got.Cookies()) != 1 {
			t.Errorf("%s: %q, cookies %v", name, body, got.Cookies())
		}
	}
}

type upper struct{ gin.ResponseWriter }

func (w *upper) Write(p []byte) (int, error) {
	return w.ResponseWriter.Write([]byte(strings.ToUpper(string(p))))
}

func (w *upper) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// TestStream checks gin's own ways to send events and files.
func TestStream(t *testing.T) {
	r := gin.New()
	r.Use(ginsession.New(manager(t, memorystore.New(memorystore.Config{}))))
	r.GET("/events", func(c *gin.Context) {
		ginsession.Get(c).Set("a", 1)
		n := 0
		c.Stream(func(io.Writer) bool {
			n++
			c.SSEvent("tick", n)
			return n < 3
		})
	})
	r.GET("/file", func(c *gin.Context) {
		ginsession.Get(c).Set("a", 1)
		c.FileFromFS("/ginsession.go", http.Dir("."))
	})
	server := httptest.NewServer(r)
	defer server.Close()
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/events": {200, "event:tick\ndata:1\n\nevent:tick\ndata:2\n\nevent:tick\ndata:3\n\n"},
		"/file":   {206, "// Package"},
	} {
		req, _ := http.NewRequest("GET", server.URL+path, nil)
		req.Header.Set("Range", "bytes=0-9")
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want.status || string(body) != want.body || err != nil || len(resp.Cookies()) != 1 {
			t.Errorf("%s: %d %q, %v, cookies %v", path, resp.StatusCode, body, err, resp.Cookies())
		}
	}
}
