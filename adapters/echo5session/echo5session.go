// Package echo5session gives sessions to [echo] applications, version 5 of the
// framework. Package echosession is for version 4.
//
//	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
//
//	e := echo.New()
//	e.Use(echo5session.New(sessions))
//	e.GET("/", func(c *echo.Context) error {
//		s := echo5session.Get(c)
//		...
//	})
//
// Everything that can be configured is in core.Config.
//
// # Errors
//
// Whether the changes of a session are kept depends on the status of the
// answer, so an error that a handler returns is rendered here, by the
// HTTPErrorHandler of the application, and then returned to the middleware
// outside, for logs and traces. Echo hands it to the HTTPErrorHandler once
// more at the very end. The default one ignores an answer that was already
// sent; one of your own must begin, as the guide of Echo has it, with
//
//	if r, _ := echo.UnwrapResponse(c.Response()); r != nil && r.Committed {
//		return
//	}
//
// A middleware that turns errors into answers itself belongs inside: Use it
// after this one. middleware.Recover belongs outside, before this one: a panic
// then discards the changes of the session on its way.
package echo5session

import (
	"net/http"

	"github.com/coatcheck/sessions/core"
	"github.com/labstack/echo/v5"
)

// Session is core.Session, so that handlers need only this package.
type Session = core.Session

// New returns the middleware that gives every request a session of m. A
// request that passes it twice has one session.
func New(m *core.Manager) echo.MiddlewareFunc { return NewAt(m, "") }

// NewAt is New for a group of routes whose sessions are to be its own: group is
// the path that they begin with, and becomes that of the cookie, the values of
// its parameters put in. It makes no difference if core.CookieConfig says which
// path the cookie has: by its Path, or by a Name that begins with __Host-, as
// the default one does. Where groups lie inside each other, the names of their
// cookies must differ.
func NewAt(m *core.Manager, group string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			response, request := c.Response(), c.Request()
			defer func() {
				c.SetResponse(response)
				c.SetRequest(request)
			}()
			m.ServeAt(response, request, group, func(w http.ResponseWriter, r *http.Request) {
				own := echo.NewResponse(w, c.Logger())
				own.Status = http.StatusOK
				c.SetResponse(own)
				c.SetRequest(r)
				if err = next(c); err != nil {
					c.Echo().HTTPErrorHandler(c, err)
				}
			})
			return err
		}
	}
}

// Get returns the session of a request. It panics if the request did not pass
// the middleware.
func Get(c *echo.Context) *Session {
	s, ok := Lookup(c)
	if !ok {
		panic("sessions: no session in this request: add e.Use(echo5session.New(sessions))")
	}
	return s
}

// Lookup returns the session of a request. ok is false if the request did not
// pass the middleware.
func Lookup(c *echo.Context) (s *Session, ok bool) {
	if c.Request() == nil {
		return nil, false
	}
	return core.Lookup(c.Request().Context())
}
