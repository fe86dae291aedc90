package app

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/core"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

func chiRouter(srv *server) http.Handler {
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, middleware.WithLogEntry(r, chiLog{srv, r}))
		})
	})
	r.Use(middleware.Recoverer)
	r.Use(chisession.New(srv.sessions))
	for _, rt := range srv.routes {
		r.Method(rt.Method, rt.Path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			srv.serve(rt, chiCall{httpCall{w, r}})
		}))
	}
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		srv.refuse(httpCall{w, r}, http.StatusNotFound)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		srv.refuse(httpCall{w, r}, http.StatusMethodNotAllowed)
	})
	return r
}

// chiCall answers as net/http does: Chi has no response methods of its own.
type chiCall struct{ httpCall }

func (c chiCall) Session() *core.Session { return chisession.Get(c.r) }

// chiLog is where Chi's recovery reports a panic.
type chiLog struct {
	srv *server
	r   *http.Request
}

func (l chiLog) Write(status, bytes int, _ http.Header, took time.Duration, _ any) {
	l.srv.log.Debug("request", slog.Int("status", status), slog.Int("bytes", bytes), slog.Duration("took", took))
}

func (l chiLog) Panic(v any, _ []byte) { l.srv.logPanic(l.r, v) }
