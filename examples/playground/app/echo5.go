package app

import (
	"errors"
	"net/http"

	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/core"
	"github.com/labstack/echo/v5"
)

func echo5Router(srv *server) http.Handler {
	e := echo.New()
	e.Logger = srv.log
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		if r, _ := echo.UnwrapResponse(c.Response()); r != nil && r.Committed {
			return
		}
		status := http.StatusInternalServerError
		if coder := (echo.HTTPStatusCoder)(nil); errors.As(err, &coder) && coder.StatusCode() != 0 {
			status = coder.StatusCode()
		}
		srv.refuse(echo5Call{c}, status)
	}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = srv.panicError(c.Request(), v)
				}
			}()
			return next(c)
		}
	})
	e.Use(echo5session.New(srv.sessions))
	for _, rt := range srv.routes {
		e.Add(rt.Method, rt.Path, func(c *echo.Context) error { return srv.serve(rt, echo5Call{c}) })
	}
	return e
}

type echo5Call struct{ c *echo.Context }

func (e echo5Call) Session() *core.Session      { return echo5session.Get(e.c) }
func (e echo5Call) Request() *http.Request      { return e.c.Request() }
func (e echo5Call) Writer() http.ResponseWriter { return e.c.Response() }

func (e echo5Call) JSON(status int, body any) error {
	asJSON(e.c.Response())
	return e.c.JSON(status, body)
}

func (e echo5Call) Text(status int, text string) error    { return e.c.String(status, text) }
func (e echo5Call) HTML(status int, page []byte) error    { return e.c.HTMLBlob(status, page) }
func (e echo5Call) NoContent(status int) error            { return e.c.NoContent(status) }
func (e echo5Call) Redirect(status int, url string) error { return e.c.Redirect(status, url) }
func (e echo5Call) Fail(err error) error                  { return err }

func (e echo5Call) Hint(status int) error {
	hint(e.c.Response(), status)
	return nil
}
