package peers

import (
	"net/http"

	"github.com/coatcheck/sessions/adapters/echo5session"
	"github.com/coatcheck/sessions/core"
	"github.com/labstack/echo/v5"
)

// There is no session library for Echo 5 beside this one: echo-contrib has
// none yet.
var bareEcho5 = Column{Framework: "echo5", Library: "bare", Open: func(Setup) Site {
	return site{handler: echo5(same(okayEcho5))}
}}

var okayEcho5 echo.HandlerFunc = func(c *echo.Context) error {
	answer(c.Response(), okay)
	return nil
}

func echo5(h handlers[echo.HandlerFunc], use ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Use(use...)
	h.routes(func(path string, handler echo.HandlerFunc) { e.GET(path, handler) })
	return e
}

func oursEcho5(m *core.Manager, setup Setup) http.Handler {
	return echo5(oursHandlers(setup, okayEcho5, func(do oursDo) echo.HandlerFunc {
		return func(c *echo.Context) error {
			answer(c.Response(), do(echo5session.Get(c)))
			return nil
		}
	}), echo5session.New(m))
}
