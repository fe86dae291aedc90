// Package browser is a client with cookies, to drive the examples in tests.
package browser

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// Browser sends requests to a handler and keeps the cookies of the answers. It
// is not safe for concurrent use.
type Browser struct {
	Handler http.Handler
	Cookies map[string]*http.Cookie // by name
}

// New returns a browser without cookies.
func New(h http.Handler) *Browser {
	return &Browser{Handler: h, Cookies: map[string]*http.Cookie{}}
}

// Get sends a GET request.
func (b *Browser) Get(target string) (status int, body string) {
	return b.send(httptest.NewRequest(http.MethodGet, target, nil))
}

// Post sends a form of names and values.
func (b *Browser) Post(target string, fields ...string) (status int, body string) {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

func (b *Browser) send(r *http.Request) (status int, body string) {
	for _, c := range b.Cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.Cookies[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.Cookies, c.Name)
		}
	}
	return w.Code, w.Body.String()
}
