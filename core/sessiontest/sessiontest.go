// Package sessiontest helps applications test their handlers: it makes a
// request that already holds a session, and shows what a response did to it.
//
//	req := sessiontest.With(t, sessions, httptest.NewRequest("POST", "/cart?add=7", nil), func(s *core.Session) {
//		s.Login("alice")
//	})
//	rec := httptest.NewRecorder()
//	app.ServeHTTP(rec, req) // the whole application, with any adapter
//
//	after := sessiontest.After(t, sessions, req, rec.Result())
//	after.Look(func(s *core.Session) {
//		if items, _ := cart.Get(s); len(items) != 1 {
//			t.Errorf("cart: %v", items)
//		}
//	})
//
// It goes through the manager's own middleware and a real store, so that what
// passes here passes in production. Use a memorystore of its own for each test.
// The manager has to send a cookie, as it does without a Config.Transport.
package sessiontest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// With returns a copy of r that carries the cookie of a new session, which
// setup has filled: any values, any user. It fails the test if the session
// could not be stored, or if setup left it empty, since an empty session does
// not exist.
func With(t testing.TB, m *core.Manager, r *http.Request, setup func(s *core.Session)) *http.Request {
	t.Helper()
	rec := serve(m, httptest.NewRequest("GET", "/", nil), setup)
	if rec.Code >= 400 {
		t.Fatalf("sessiontest: the session could not be stored: status %d: %s", rec.Code, rec.Body)
	}
	cookie := sessionCookie(m, rec.Result())
	if cookie == nil || cookie.MaxAge < 0 {
		t.Fatal("sessiontest: there is no cookie: setup left the session empty (set a value or log a user in), or the manager has another Transport")
	}
	return withCookie(m, r, cookie)
}

// Result is what a response did to the session of its request.
type Result struct {
	// Cookie is the session cookie that the response set, or nil if it set
	// none: then nothing was created, renewed or ended.
	Cookie *http.Cookie
	// Cleared reports whether the response removed the cookie: the session
	// was destroyed, or lost its last value.
	Cleared bool

	t    testing.TB
	m    *core.Manager
	next *http.Request
}

// After returns what the response to r did to the session.
func After(t testing.TB, m *core.Manager, r *http.Request, res *http.Response) Result {
	t.Helper()
	out := Result{Cookie: sessionCookie(m, res), t: t, m: m, next: r}
	switch {
	case out.Cookie == nil:
	case out.Cookie.MaxAge < 0:
		out.Cleared = true
		out.next = withCookie(m, r, nil)
	default:
		out.next = withCookie(m, r, out.Cookie)
	}
	return out
}

// Next returns a copy of r with the cookie that the client holds now.
func (a Result) Next(r *http.Request) *http.Request {
	var cookie *http.Cookie
	if c, err := a.next.Cookie(a.m.CookieName()); err == nil {
		cookie = c
	}
	return withCookie(a.m, r, cookie)
}

// Look shows the session as the client's next request finds it. What look
// changes is saved.
func (a Result) Look(look func(s *core.Session)) {
	a.t.Helper()
	if rec := serve(a.m, a.Next(httptest.NewRequest("GET", "/", nil)), look); rec.Code >= 400 {
		a.t.Fatalf("sessiontest: the session could not be read: status %d: %s", rec.Code, rec.Body)
	}
}

// serve runs f as the handler of a request.
func serve(m *core.Manager, r *http.Request, f func(s *core.Session)) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { f(core.Get(r.Context())) })
	return rec
}

func sessionCookie(m *core.Manager, res *http.Response) *http.Cookie {
	for _, c := range res.Cookies() {
		if c.Name == m.CookieName() {
			return c
		}
	}
	return nil
}

// withCookie returns a copy of r whose session cookie is the given one, or
// that has none; its other cookies stay.
func withCookie(m *core.Manager, r *http.Request, cookie *http.Cookie) *http.Request {
	out := r.Clone(r.Context())
	out.Header.Del("Cookie")
	for _, c := range r.Cookies() {
		if c.Name != m.CookieName() {
			out.AddCookie(c)
		}
	}
	if cookie != nil {
		out.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	return out
}
