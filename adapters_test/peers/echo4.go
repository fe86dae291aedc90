package peers

import (
	"net/http"

	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/core"
	"github.com/labstack/echo/v4"
)

var bareEcho4 = Column{Framework: "echo4", Library: "bare", Open: func(Setup) Site {
	return site{handler: echo4(same(okayEcho4))}
}}

var okayEcho4 echo.HandlerFunc = func(c echo.Context) error {
	answer(c.Response(), okay)
	return nil
}

func echo4(h handlers[echo.HandlerFunc], use ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Use(use...)
	h.routes(func(path string, handler echo.HandlerFunc) { e.GET(path, handler) })
	return e
}

func oursEcho4(m *core.Manager, setup Setup) http.Handler {
	return echo4(oursHandlers(setup, okayEcho4, func(do oursDo) echo.HandlerFunc {
		return func(c echo.Context) error {
			answer(c.Response(), do(echosession.Get(c)))
			return nil
		}
	}), echosession.New(m))
}
