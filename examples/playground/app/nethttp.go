package app

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/coatcheck/sessions/core"
)

// netHTTPRouter serves the routes with nothing but the standard library.
func netHTTPRouter(srv *server) http.Handler {
	mux := http.NewServeMux()
	paths := map[string]map[string]*route{}
	for _, rt := range srv.routes {
		if paths[rt.Path] == nil {
			paths[rt.Path] = map[string]*route{}
		}
		paths[rt.Path][rt.Method] = rt
	}
	// One pattern per path, without a method: the mux's own answers to an
	// unknown path or method are not JSON, and its GET includes HEAD.
	for path, methods := range paths {
		pattern := path
		if path == "/" {
			pattern = "/{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c := httpCall{w, r}
			if rt := methods[r.Method]; rt != nil {
				srv.serve(rt, c)
				return
			}
			srv.refuse(c, http.StatusMethodNotAllowed)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		srv.refuse(httpCall{w, r}, http.StatusNotFound)
	})
	return srv.recoverer(srv.sessions.Handler(mux))
}

// recoverer answers a panic with a 500. The log has no headers: they hold the
// cookie.
func (srv *server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				srv.logPanic(r, v)
				srv.refuse(httpCall{w, r}, http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// httpCall is a call of net/http, and of routers that speak it.
type httpCall struct {
	w http.ResponseWriter
	r *http.Request
}

func (c httpCall) Session() *core.Session      { return core.Get(c.r.Context()) }
func (c httpCall) Request() *http.Request      { return c.r }
func (c httpCall) Writer() http.ResponseWriter { return c.w }

func (c httpCall) JSON(status int, body any) error {
	asJSON(c.w)
	c.w.WriteHeader(status)
	return json.NewEncoder(c.w).Encode(body)
}

func (c httpCall) Text(status int, text string) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.WriteHeader(status)
	_, err := io.WriteString(c.w, text)
	return err
}

func (c httpCall) HTML(status int, page []byte) error {
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(status)
	_, err := c.w.Write(page)
	return err
}

func (c httpCall) NoContent(status int) error {
	c.w.WriteHeader(status)
	return nil
}

func (c httpCall) Redirect(status int, url string) error {
	http.Redirect(c.w, c.r, url, status)
	return nil
}

func (c httpCall) Hint(status int) error {
	c.w.WriteHeader(status)
	return nil
}

func (c httpCall) Fail(err error) error {
	return c.JSON(http.StatusInternalServerError, errorAnswer(err.Error()))
}
