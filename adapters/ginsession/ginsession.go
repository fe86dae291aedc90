// Package ginsession gives sessions to [gin] applications.
//
//	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
//
//	r := gin.Default()
//	r.Use(ginsession.New(sessions))
//	r.GET("/", func(c *gin.Context) {
//		s := ginsession.Get(c)
//		...
//	})
//
// Everything that can be configured is in core.Config.
//
// # Order
//
// Use gin.Recovery before this middleware, as gin.Default does: a panic then
// discards the changes of the session on its way out. A middleware that
// replaces c.Writer, such as one that compresses, may come before or after.
//
// # Responses
//
// Gin only records a status until something is written. The session is saved
// at the first write, flush or hijack, or when the handlers return, with the
// status recorded by then. If it cannot be saved, core.Config.OnError answers,
// c.Writer.Status tells the status of that answer, and writing the handler's
// own returns an error.
package ginsession

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/coatcheck/sessions/core"
	"github.com/gin-gonic/gin"
)

// Session is core.Session, so that handlers need only this package.
type Session = core.Session

// New returns the middleware that gives every request a session of m. A
// request that passes it twice has one session.
func New(m *core.Manager) gin.HandlerFunc { return NewAt(m, "") }

// NewAt is New for a group of routes whose sessions are to be its own: group is
// the path that they begin with, as its BasePath tells, and becomes that of the
// cookie, the values of its parameters put in. It makes no difference if
// core.CookieConfig says which path the cookie has: by its Path, or by a Name
// that begins with __Host-, as the default one does. Where groups lie inside
// each other, the names of their cookies must differ.
func NewAt(m *core.Manager, group string) gin.HandlerFunc {
	return func(c *gin.Context) {
		inner, request := c.Writer, c.Request
		answered := true
		defer func() {
			c.Writer, c.Request = inner, request
			if answered { // by core.Config.OnRejected
				c.Abort()
			}
		}()
		m.ServeAt(inner, request, group, func(w http.ResponseWriter, r *http.Request) {
			answered = false
			own := &writer{inner, w}
			c.Writer, c.Request = own, r
			c.Next()
			if !inner.Written() {
				own.settle()
			}
		})
	}
}

// Get returns the session of a request. It panics if the request did not pass
// the middleware.
func Get(c *gin.Context) *Session {
	s, ok := Lookup(c)
	if !ok {
		panic("sessions: no session in this request: add r.Use(ginsession.New(sessions)) before the route")
	}
	return s
}

// Lookup returns the session of a request. ok is false if the request did not
// pass the middleware.
func Lookup(c *gin.Context) (s *Session, ok bool) {
	if c.Request == nil {
		return nil, false
	}
	return core.Lookup(c.Request.Context())
}

// writer keeps status and size with gin's own writer, and shows every write to
// the session's before gin sends anything.
type writer struct {
	gin.ResponseWriter
	session http.ResponseWriter
}

// settle has the session saved for the recorded status. What is answered if
// that fails must go out at once: a status of gin's could still be overwritten.
func (w *writer) settle() {
	status := w.Status()
	w.session.WriteHeader(status)
	if w.Status() != status {
		w.ResponseWriter.WriteHeaderNow()
	}
}

func (w *writer) WriteHeaderNow() {
	w.settle()
	w.ResponseWriter.WriteHeaderNow()
}

func (w *writer) Write(p []byte) (int, error) {
	w.settle()
	return w.session.Write(p)
}

func (w *writer) WriteString(s string) (int, error) {
	w.settle()
	return io.WriteString(w.session, s)
}

func (w *writer) Flush() { w.FlushError() }

func (w *writer) FlushError() error {
	w.WriteHeaderNow()
	return http.NewResponseController(w.session).Flush()
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.session.(http.Hijacker).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.session }
