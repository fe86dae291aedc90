package app

import (
	"net/http"
	"sync"

	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/gin-gonic/gin"
)

// ginQuietly keeps Gin from printing its routes to standard output. The mode
// is a global of Gin's.
var ginQuietly = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

func ginRouter(srv *server) http.Handler {
	ginQuietly()
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	// Gin's recovery would log the request with its headers, and so the
	// cookie: without a writer it logs nothing.
	r.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, v any) {
		srv.logPanic(c.Request, v)
		srv.refuse(ginCall{c}, http.StatusInternalServerError)
		c.Abort()
	}))
	r.Use(ginsession.New(srv.sessions))
	for _, rt := range srv.routes {
		r.Handle(rt.Method, rt.Path, func(c *gin.Context) { srv.serve(rt, ginCall{c}) })
	}
	r.NoRoute(func(c *gin.Context) { srv.refuse(ginCall{c}, http.StatusNotFound) })
	r.NoMethod(func(c *gin.Context) { srv.refuse(ginCall{c}, http.StatusMethodNotAllowed) })
	return r
}

type ginCall struct{ c *gin.Context }

func (g ginCall) Session() *core.Session      { return ginsession.Get(g.c) }
func (g ginCall) Request() *http.Request      { return g.c.Request }
func (g ginCall) Writer() http.ResponseWriter { return g.c.Writer }

func (g ginCall) JSON(status int, body any) error {
	asJSON(g.c.Writer)
	g.c.JSON(status, body)
	return nil
}

func (g ginCall) Text(status int, text string) error {
	g.c.String(status, "%s", text)
	return nil
}

func (g ginCall) HTML(status int, page []byte) error {
	g.c.Data(status, "text/html; charset=utf-8", page)
	return nil
}

func (g ginCall) NoContent(status int) error {
	g.c.Status(status) // sent by Gin when the handlers have returned
	return nil
}

func (g ginCall) Redirect(status int, url string) error {
	g.c.Redirect(status, url)
	return nil
}

func (g ginCall) Hint(status int) error {
	hint(g.c.Writer, status)
	return nil
}

func (g ginCall) Fail(err error) error {
	g.c.AbortWithError(http.StatusInternalServerError, err)
	return nil
}
