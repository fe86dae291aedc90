package peers

import (
	"net/http"

	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/gin-gonic/gin"
)

var bareGin = Column{Framework: "gin", Library: "bare", Open: func(Setup) Site {
	return site{handler: ginEngine(same(okayGin))}
}}

var okayGin gin.HandlerFunc = func(c *gin.Context) { answer(c.Writer, okay) }

func ginEngine(h handlers[gin.HandlerFunc], use ...gin.HandlerFunc) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(use...)
	h.routes(func(path string, handler gin.HandlerFunc) { r.GET(path, handler) })
	return r
}

func oursGin(m *core.Manager, setup Setup) http.Handler {
	return ginEngine(oursHandlers(setup, okayGin, func(do oursDo) gin.HandlerFunc {
		return func(c *gin.Context) { answer(c.Writer, do(ginsession.Get(c))) }
	}), ginsession.New(m))
}
