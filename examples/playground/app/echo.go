package app

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/core"
	"github.com/labstack/echo/v4"
)

func echoRouter(srv *server) http.Handler {
	e := echo.New()
	e.Logger.SetOutput(slog.NewLogLogger(srv.log.Handler(), slog.LevelWarn).Writer())
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		status := http.StatusInternalServerError
		if he := (*echo.HTTPError)(nil); errors.As(err, &he) {
			status = he.Code
		}
		srv.refuse(echoCall{c}, status)
	}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = srv.panicError(c.Request(), v)
				}
			}()
			return next(c)
		}
	})
	e.Use(echosession.New(srv.sessions))
	for _, rt := range srv.routes {
		e.Add(rt.Method, rt.Path, func(c echo.Context) error { return srv.serve(rt, echoCall{c}) })
	}
	return e
}

// panicError is the recovery of both versions of Echo: a panic becomes an
// error for the HTTPErrorHandler. Echo's own does the same; it is in a package
// that would bring a JWT library and a rate limiter into this module.
func (srv *server) panicError(r *http.Request, v any) error {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	srv.logPanic(r, v)
	return errors.New("handler panicked")
}

type echoCall struct{ c echo.Context }

func (e echoCall) Session() *core.Session      { return echosession.Get(e.c) }
func (e echoCall) Request() *http.Request      { return e.c.Request() }
func (e echoCall) Writer() http.ResponseWriter { return e.c.Response() }

func (e echoCall) JSON(status int, body any) error {
	asJSON(e.c.Response())
	return e.c.JSON(status, body)
}

func (e echoCall) Text(status int, text string) error    { return e.c.String(status, text) }
func (e echoCall) HTML(status int, page []byte) error    { return e.c.HTMLBlob(status, page) }
func (e echoCall) NoContent(status int) error            { return e.c.NoContent(status) }
func (e echoCall) Redirect(status int, url string) error { return e.c.Redirect(status, url) }
func (e echoCall) Fail(err error) error                  { return err }

func (e echoCall) Hint(status int) error {
	hint(e.c.Response(), status)
	return nil
}
