package peers

import (
	gorilla "github.com/gorilla/sessions"
	"github.com/labstack/echo-contrib/session"
	"github.com/labstack/echo/v4"
)

var echoContribColumns = []Column{
	{Framework: "echo4", Library: "echo-contrib-cookie", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openEchoContrib(s, signed()) }},
	{Framework: "echo4", Library: "echo-contrib-cookie-encrypted", Keeps: InCookie, Renews: true, Open: func(s Setup) Site { return openEchoContrib(s, encrypted()) }},
	{Framework: "echo4", Library: "echo-contrib-memstore", Keeps: OnServer, Open: func(s Setup) Site { return openEchoContrib(s, memStore()) }},
}

func openEchoContrib(setup Setup, store gorilla.Store) Site {
	return site{handler: echo4(gorillaHandlers(setup, okayEcho4, func(do gorillaDo) echo.HandlerFunc {
		return func(c echo.Context) error {
			s, err := session.Get(gorillaName, c)
			if err != nil {
				return err
			}
			answer(c.Response(), do(s, c.Response(), c.Request()))
			return nil
		}
	}), session.Middleware(store))}
}
