// Package chisession gives sessions to [chi] applications, and to those of any
// other router that speaks net/http, http.ServeMux included.
//
//	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
//
//	r := chi.NewRouter()
//	r.Use(chisession.New(sessions))
//	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
//		s := chisession.Get(r)
//		...
//	})
//
// Everything that can be configured is in core.Config.
//
// Use middleware.Recoverer before this middleware: a panic then discards the
// changes of the session on its way out.
//
// [chi]: https://github.com/go-chi/chi
package chisession

import (
	"net/http"

	"github.com/coatcheck/sessions/adapters/internal/mount"
	"github.com/coatcheck/sessions/core"
	"github.com/go-chi/chi/v5"
)

// Session is core.Session, so that handlers need only this package.
type Session = core.Session

// New returns the middleware that gives every request a session of m. A
// request that passes it twice has one session. In a sub-router, as those of
// Route and Mount, the cookie's path is that of the sub-router, if
// core.CookieConfig leaves it to the mount: see its Path.
func New(m *core.Manager) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeAt(w, r, depth, next.ServeHTTP)
		})
	}
}

// depth tells how deep the sub-router is that a request is in. chi leaves the
// URL as it is, and keeps what is left of its path.
func depth(r *http.Request) int {
	c := chi.RouteContext(r.Context())
	if c == nil || c.RoutePath == "" {
		return 0
	}
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	return mount.Depth(path) - mount.Depth(c.RoutePath)
}

// Get returns the session of a request. It panics if the request did not pass
// the middleware.
func Get(r *http.Request) *Session {
	s, ok := Lookup(r)
	if !ok {
		panic("sessions: no session in this request: add r.Use(chisession.New(sessions)) before the route")
	}
	return s
}

// Lookup returns the session of a request. ok is false if the request did not
// pass the middleware.
func Lookup(r *http.Request) (s *Session, ok bool) { return core.Lookup(r.Context()) }
