package suite

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"
)

func init() { gin.SetMode(gin.ReleaseMode) } // gin reports every route otherwise

// handler is an application's handler, written once for all adapters.
type handler func(x *call)

// call is one request in the hands of a handler.
type call struct {
	*core.Session // from the adapter's Get
	w             http.ResponseWriter
	r             *http.Request

	// The framework's own ways to answer, each true to its idiom.
	text     func(status int, body string)
	status   func(status int) // without a body
	redirect func(to string)
	fail     func(status int, message string) // what the framework calls an error
}

// place is where a framework's recovery from panics stands, seen from the
// session middleware.
type place int

const (
	nowhere place = iota
	outside
	inside
)

// app is an application that every adapter can build.
type app struct {
	managers []*core.Manager // outermost first; with none the middleware is missing
	recovery place
	routes   map[string]handler
	raw      func(w http.ResponseWriter) // of the route /raw, which has no session
	// between runs inside the first manager's middleware and outside of the
	// others.
	between func(*http.Request)
	// access is told the status that the framework believes it has sent, by
	// a middleware outside of everything.
	access func(status int)
}

// adapter is one way to put sessions into an application. Whatever differs
// between frameworks is in this file: no scenario knows which one it runs on.
type adapter struct {
	name  string
	build func(app) http.Handler
	// missing is the line that Get names if the middleware is missing.
	missing string
}

var adapters = []adapter{
	{"nethttp", buildNetHTTP, "sessions.Handler("},
	{"chi", buildChi, "r.Use(chisession.New(sessions))"},
	{"gin", buildGin, "r.Use(ginsession.New(sessions))"},
	{"echo4", buildEcho4, "e.Use(echosession.New(sessions))"},
	{"echo5", buildEcho5, "e.Use(echo5session.New(sessions))"},
}

// plain is a call whose answers are those of net/http.
func plain(s *core.Session, w http.ResponseWriter, r *http.Request) *call {
	return &call{
		Session:  s,
		w:        w,
		r:        r,
		text:     func(status int, body string) { w.WriteHeader(status); io.WriteString(w, body) },
		status:   w.WriteHeader,
		redirect: func(to string) { http.Redirect(w, r, to, http.StatusFound) },
		fail:     func(status int, message string) { http.Error(w, message, status) },
	}
}

// accessLog tells the status of each answer, as chi's writer saw it.
func accessLog(tell func(int)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(seen, r)
			status := seen.Status()
			if status == 0 {
				status = http.StatusOK
			}
			tell(status)
		})
	}
}

// recoverer is chi's middleware.Recoverer without the stack on standard error.
func recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func betweenNetHTTP(run func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			run(r)
			next.ServeHTTP(w, r)
		})
	}
}

func buildNetHTTP(a app) http.Handler {
	mux := http.NewServeMux()
	for path, h := range a.routes {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { h(plain(core.Get(r.Context()), w, r)) })
	}
	if a.raw != nil {
		mux.HandleFunc("/raw", func(w http.ResponseWriter, _ *http.Request) { a.raw(w) })
	}
	var top http.Handler = mux
	if a.recovery == inside {
		top = recoverer(top)
	}
	for i := len(a.managers) - 1; i >= 0; i-- {
		if i == 0 && a.between != nil {
			top = betweenNetHTTP(a.between)(top)
		}
		top = a.managers[i].Handler(top)
	}
	if a.recovery == outside {
		top = recoverer(top)
	}
	if a.access != nil {
		top = accessLog(a.access)(top)
	}
	return top
}

func buildChi(a app) http.Handler {
	r := chi.NewRouter()
	if a.access != nil {
		r.Use(accessLog(a.access))
	}
	if a.recovery == outside {
		r.Use(recoverer)
	}
	for i, m := range a.managers {
		r.Use(chisession.New(m))
		if i == 0 && a.between != nil {
			r.Use(betweenNetHTTP(a.between))
		}
	}
	if a.recovery == inside {
		r.Use(recoverer)
	}
	for path, h := range a.routes {
		r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { h(plain(chisession.Get(r), w, r)) })
	}
	if a.raw != nil {
		r.HandleFunc("/raw", func(w http.ResponseWriter, _ *http.Request) { a.raw(w) })
	}
	return r
}

func buildGin(a app) http.Handler {
	r := gin.New()
	if a.access != nil {
		r.Use(func(c *gin.Context) {
			c.Next()
			a.access(c.Writer.Status())
		})
	}
	if a.recovery == outside {
		r.Use(gin.RecoveryWithWriter(io.Discard))
	}
	for i, m := range a.managers {
		r.Use(ginsession.New(m))
		if i == 0 && a.between != nil {
			r.Use(func(c *gin.Context) { a.between(c.Request) })
		}
	}
	if a.recovery == inside {
		r.Use(gin.RecoveryWithWriter(io.Discard))
	}
	for path, h := range a.routes {
		r.Any(path, func(c *gin.Context) {
			h(&call{
				Session:  ginsession.Get(c),
				w:        c.Writer,
				r:        c.Request,
				text:     func(status int, body string) { c.String(status, "%s", body) },
				status:   c.Status,
				redirect: func(to string) { c.Redirect(http.StatusFound, to) },
				fail: func(status int, message string) {
					c.AbortWithStatusJSON(status, gin.H{"message": message})
				},
			})
		})
	}
	if a.raw != nil {
		r.Any("/raw", func(c *gin.Context) { a.raw(c.Writer) })
	}
	return r
}

func buildEcho4(a app) http.Handler {
	e := echo4.New()
	e.Logger.SetOutput(io.Discard)
	if a.access != nil {
		e.Use(func(next echo4.HandlerFunc) echo4.HandlerFunc {
			return func(c echo4.Context) error {
				err := next(c)
				if err != nil {
					c.Error(err)
				}
				a.access(c.Response().Status)
				return err
			}
		})
	}
	// As echo's own middleware.Recover, whose package needs modules that
	// nothing else here does.
	recoverer := func(next echo4.HandlerFunc) echo4.HandlerFunc {
		return func(c echo4.Context) error {
			defer func() {
				if p := recover(); p == http.ErrAbortHandler {
					panic(p)
				} else if p != nil {
					c.Error(echo4.ErrInternalServerError)
				}
			}()
			return next(c)
		}
	}
	if a.recovery == outside {
		e.Use(recoverer)
	}
	for i, m := range a.managers {
		e.Use(echosession.New(m))
		if i == 0 && a.between != nil {
			e.Use(func(next echo4.HandlerFunc) echo4.HandlerFunc {
				return func(c echo4.Context) error { a.between(c.Request()); return next(c) }
			})
		}
	}
	if a.recovery == inside {
		e.Use(recoverer)
	}
	for path, h := range a.routes {
		e.Any(path, func(c echo4.Context) (err error) {
			h(&call{
				Session:  echosession.Get(c),
				w:        c.Response(),
				r:        c.Request(),
				text:     func(status int, body string) { err = c.String(status, body) },
				status:   func(status int) { err = c.NoContent(status) },
				redirect: func(to string) { err = c.Redirect(http.StatusFound, to) },
				fail:     func(status int, message string) { err = echo4.NewHTTPError(status, message) },
			})
			return err
		})
	}
	if a.raw != nil {
		e.Any("/raw", func(c echo4.Context) error { a.raw(c.Response()); return nil })
	}
	return e
}

func buildEcho5(a app) http.Handler {
	e := echo5.New()
	e.Logger = slog.New(slog.DiscardHandler)
	if a.access != nil {
		e.Use(func(next echo5.HandlerFunc) echo5.HandlerFunc {
			return func(c *echo5.Context) error {
				err := next(c)
				if err != nil {
					c.Echo().HTTPErrorHandler(c, err)
				}
				if r, _ := echo5.UnwrapResponse(c.Response()); r != nil {
					a.access(r.Status)
				}
				return err
			}
		})
	}
	recoverer := func(next echo5.HandlerFunc) echo5.HandlerFunc {
		return func(c *echo5.Context) (err error) {
			defer func() {
				if p := recover(); p == http.ErrAbortHandler {
					panic(p)
				} else if p != nil {
					err = echo5.ErrInternalServerError
				}
			}()
			return next(c)
		}
	}
	if a.recovery == outside {
		e.Use(recoverer)
	}
	for i, m := range a.managers {
		e.Use(echo5session.New(m))
		if i == 0 && a.between != nil {
			e.Use(func(next echo5.HandlerFunc) echo5.HandlerFunc {
				return func(c *echo5.Context) error { a.between(c.Request()); return next(c) }
			})
		}
	}
	if a.recovery == inside {
		e.Use(recoverer)
	}
	for path, h := range a.routes {
		e.Any(path, func(c *echo5.Context) (err error) {
			h(&call{
				Session:  echo5session.Get(c),
				w:        c.Response(),
				r:        c.Request(),
				text:     func(status int, body string) { err = c.String(status, body) },
				status:   func(status int) { err = c.NoContent(status) },
				redirect: func(to string) { err = c.Redirect(http.StatusFound, to) },
				fail:     func(status int, message string) { err = echo5.NewHTTPError(status, message) },
			})
			return err
		})
	}
	if a.raw != nil {
		e.Any("/raw", func(c *echo5.Context) error { a.raw(c.Response()); return nil })
	}
	return e
}
