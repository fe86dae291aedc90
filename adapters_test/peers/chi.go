package peers

import (
	"net/http"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/core"
	"github.com/go-chi/chi/v5"
)

var bareChi = Column{Framework: "chi", Library: "bare", Open: func(Setup) Site {
	return site{handler: router(same(okayNetHTTP))}
}}

func router(h handlers[http.HandlerFunc], use ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(use...)
	h.routes(func(path string, handler http.HandlerFunc) { r.Get(path, handler) })
	return r
}

func oursChi(m *core.Manager, setup Setup) http.Handler {
	return router(oursHandlers(setup, okayNetHTTP, func(do oursDo) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { answer(w, do(chisession.Get(r))) }
	}), chisession.New(m))
}
