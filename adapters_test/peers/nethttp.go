package peers

import (
	"net/http"
	"net/url"

	"github.com/coatcheck/sessions/core"
)

// bareNetHTTP is net/http's own router.
var bareNetHTTP = Column{Framework: "nethttp", Library: "bare", Open: func(Setup) Site {
	return site{handler: mux(same(okayNetHTTP))}
}}

func mux(h handlers[http.HandlerFunc]) http.Handler {
	m := http.NewServeMux()
	h.routes(func(path string, handler http.HandlerFunc) { m.HandleFunc("GET "+path, handler) })
	return m
}

func oursNetHTTP(m *core.Manager, setup Setup) http.Handler {
	return m.Handler(mux(oursHandlers(setup, okayNetHTTP, func(do oursDo) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { answer(w, do(core.Get(r.Context()))) }
	})))
}

var okayNetHTTP http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) { answer(w, okay) }

// answer writes a body, or an error if there is none.
func answer(w http.ResponseWriter, body []byte) {
	if body == nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Write(body)
}

// site is an application behind an http.Handler.
type site struct {
	handler http.Handler
	close   func() // or nil
}

func (s site) Close() {
	if s.close != nil {
		s.close()
	}
}

func (s site) Client(path string) Client {
	c := &client{handler: s.handler, header: http.Header{
		"Accept":          {"text/html,application/xhtml+xml"},
		"Accept-Language": {"en"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64)"},
	}, line: make([]string, 1)}
	c.template = http.Request{
		Method: "GET", URL: &url.URL{Path: path}, RequestURI: path,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: c.header, Body: http.NoBody, Host: "example.com", RemoteAddr: "192.0.2.1:1234",
	}
	c.writer.header = http.Header{}
	return c
}

// client calls a handler with a request that was made before.
type client struct {
	handler  http.Handler
	header   http.Header
	line     []string
	template http.Request
	request  http.Request
	writer   writer
}

func (c *client) Present(cookie string) {
	if cookie == "" {
		delete(c.header, "Cookie")
		return
	}
	c.line[0] = cookie
	c.header["Cookie"] = c.line
}

func (c *client) Serve() int {
	// gorilla/sessions keeps what it decoded in the request itself, so each
	// must be a fresh one.
	c.request = c.template
	clear(c.writer.header)
	c.writer.status, c.writer.body = http.StatusOK, c.writer.body[:0]
	c.handler.ServeHTTP(&c.writer, &c.request)
	return c.writer.status
}

func (c *client) Cookie() string {
	if lines := c.writer.header["Set-Cookie"]; len(lines) > 0 {
		return pair(lines[len(lines)-1])
	}
	return ""
}

func (c *client) Body() string { return string(c.writer.body) }

// writer is an http.ResponseWriter that can be used again.
type writer struct {
	header http.Header
	status int
	body   []byte
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) { w.status = status }

func (w *writer) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}
