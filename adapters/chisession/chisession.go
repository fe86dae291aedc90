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

	"github.com/coatcheck/sessions/core"
)

// Session is core.Session, so that handlers need only this package.
type Session = core.Session

// New returns the middleware that gives every request a session of m: the
// method Handler of m. A request that passes it twice has one session.
func New(m *core.Manager) func(http.Handler) http.Handler { return m.Handler }

// NewAt is New for a group of routes whose sessions are to be its own: group is
// the path that they begin with, and becomes that of the cookie, the values of
// its parameters put in. It makes no difference if core.CookieConfig says which
// path the cookie has: by its Path, or by a Name that begins with __Host-, as
// the default one does. Where groups lie inside each other, the names of their
// cookies must differ.
func NewAt(m *core.Manager, group string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeAt(w, r, group, next.ServeHTTP)
		})
	}
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
