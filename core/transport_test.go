package core_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// visit sends a request and returns the response's recorder.
func (w *world) visit(r *http.Request, h func(s *core.Session, rw http.ResponseWriter, r *http.Request)) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.m.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h(core.Get(r.Context()), rw, r)
	})).ServeHTTP(rec, r)
	return rec
}

// Features P35 and W39: a client without cookies is served by a header, and
// never gets a cookie.
func TestHeaderTransport(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Transport = core.HeaderTransport("x-session") })
	token := ""
	do := func(h func(s *core.Session, rw http.ResponseWriter, r *http.Request)) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		if token != "" {
			r.Header.Set("X-Session", token)
		}
		rec := w.visit(r, h)
		mustStatus(t, rec, 200)
		if got, ok := rec.Result().Header["Set-Cookie"]; ok {
			t.Fatalf("Set-Cookie %q", got)
		}
		if sent, ok := rec.Result().Header["X-Session"]; ok {
			mustBe(t, "headers", len(sent), 1)
			mustBe(t, "Cache-Control", rec.Result().Header.Get("Cache-Control"), "no-store")
			token = sent[0]
		}
		return rec
	}
	rec := do(func(s *core.Session, rw http.ResponseWriter, _ *http.Request) { s.Set("k", "v") })
	mustBe(t, "Vary", rec.Result().Header.Get("Vary"), "X-Session")
	first := token
	if first == "" {
		t.Fatal("no token was sent")
	}
	rec = do(func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		v, _ := s.Get("k")
		mustBe[any](t, "value", v, "v")
	})
	if _, ok := rec.Result().Header["X-Session"]; ok {
		t.Error("a read sent the token again")
	}
	do(func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Login("alice") })
	if token == first {
		t.Error("the token did not change at the login")
	}
	last := token
	do(func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		mustBe(t, "presented", w.m.HasCookie(r), true)
		s.Destroy()
		mustBe(t, "presented after Destroy", w.m.HasCookie(r), false)
	})
	mustBe(t, "token after logout", token, "")
	for _, dead := range []string{first, last} {
		token = dead
		do(func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			mustBe(t, "user of a dead token", s.User(), "")
			if s.Rejected() == "" {
				t.Error("a dead token was not refused")
			}
		})
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Session", "") // as it was told
	w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "reason of nothing", s.Rejected(), "")
	})
	rec = w.visit(httptest.NewRequest("GET", "/", nil), func(*core.Session, http.ResponseWriter, *http.Request) {})
	if len(rec.Result().Header) != 0 {
		t.Errorf("an untouched session left %v", rec.Result().Header)
	}
}

// A cookie of the session's name means nothing to another transport, nor a
// query parameter to a cookie (features W1, W41).
func TestTransportsDoNotMix(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.use(func(s *core.Session) { s.Set("k", "v") })
	value := strings.TrimPrefix(c.cookie, w.m.CookieName()+"=")
	r := httptest.NewRequest("GET", "/?session="+value+"&_SID_="+value, nil)
	r.Header.Set("X-Session", value)
	w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "values", s.Len(), 0)
		mustBe(t, "reason", s.Rejected(), "")
	})
	// Beside a cookie, too, it means nothing: the session is that of the cookie.
	mine := w.client()
	mine.use(func(s *core.Session) { s.Set("k", "mine") })
	r.Header.Set("Cookie", mine.cookie)
	w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		v, _ := s.Get("k")
		mustBe(t, "value", v, any("mine"))
		mustBe(t, "reason", s.Rejected(), "")
	})

	h := newWorld(t, func(c *core.Config) { c.Transport = core.HeaderTransport("X-Session") })
	r = httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", c.cookie)
	h.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "reason", s.Rejected(), "")
	})
}

func link(t *testing.T, w *world, from string, h func(s *core.Session) string) string {
	t.Helper()
	var out string
	from, _, _ = strings.Cut(from, "#")
	rec := w.visit(httptest.NewRequest("GET", from, nil), func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		out = h(s)
		io.WriteString(rw, out)
	})
	mustStatus(t, rec, 200)
	if _, ok := rec.Result().Header["Set-Cookie"]; ok {
		t.Fatal("a query transport set a cookie")
	}
	return out
}

// Feature W26, decision D6: links of the own origin carry the session.
func TestQueryTransport(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Transport = core.QueryTransport("sid") })
	mustBe(t, "link of an empty session", link(t, w, "/", func(s *core.Session) string { return s.EncodeURL("/next") }), "/next")
	mustBe(t, "records", w.count(), 0)

	first := link(t, w, "/", func(s *core.Session) string { s.Set("k", "v"); return s.EncodeURL("/next?a=1&b#frag") })
	if !strings.HasPrefix(first, "/next?a=1&b&sid=") || !strings.HasSuffix(first, "#frag") {
		t.Fatalf("link %q", first)
	}
	mustBe(t, "records", w.count(), 1)
	next := link(t, w, first, func(s *core.Session) string {
		v, _ := s.Get("k")
		mustBe[any](t, "value", v, "v")
		return s.EncodeURL("/third?sid=old&x=%73id&%73id=old")
	})
	u, err := url.Parse(next)
	if err != nil || len(u.Query()["sid"]) != 1 || u.Query().Get("x") != "sid" {
		t.Fatalf("link %q", next)
	}
	in := link(t, w, next, func(s *core.Session) string {
		mustBe(t, "values", s.Len(), 1)
		s.Login("alice")
		return s.EncodeURL("/in")
	})
	link(t, w, in, func(s *core.Session) string { mustBe(t, "user", s.User(), "alice"); return "" })
	link(t, w, first, func(s *core.Session) string {
		mustBe(t, "user of the link before the login", s.User(), "")
		mustBe(t, "reason", s.Rejected(), core.ReasonRotated)
		return ""
	})
	rec := w.visit(httptest.NewRequest("GET", in, nil), func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.User()
	})
	mustBe(t, "Cache-Control", rec.Result().Header.Get("Cache-Control"), "no-store")
	mustBe(t, "Referrer-Policy", rec.Result().Header.Get("Referrer-Policy"), "same-origin")
	rec = w.visit(httptest.NewRequest("GET", in, nil), func(s *core.Session, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Referrer-Policy", "no-referrer")
		s.User()
	})
	mustBe(t, "the handler's stricter Referrer-Policy", rec.Result().Header.Get("Referrer-Policy"), "no-referrer")
	w.visit(httptest.NewRequest("GET", in+"&z=1", nil), func(s *core.Session, _ http.ResponseWriter, r *http.Request) {
		s.Destroy()
		mustBe(t, "query after Destroy", r.URL.RawQuery, "z=1")
		mustBe(t, "link after Destroy", s.EncodeURL("/bye"), "/bye")
	})
	mustBe(t, "records", w.count(), 0)
}

// A link that would carry the session to somebody else stays as it is.
func TestEncodeURLSameOriginOnly(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Transport = core.QueryTransport("sid") })
	encode := func(from *http.Request, l string) (out string) {
		w.visit(from, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Set("k", "v"); out = s.EncodeURL(l) })
		return out
	}
	for _, l := range []string{
		"http://evil.example/", "https://evil.example/", "//evil.example/x", "///evil.example", "////evil.example", `/\evil.example`, `\\evil.example`,
		"http://example.com.evil.example/", "http://example.com@evil.example/", "http://user@example.com/", "http://example.com:81/",
		"javascript:alert(1)", "mailto:a@example.com", "ftp://example.com/", "data:text/html,x", "http:/x", "http:x", "https:///x",
		"/a\x00b", "/\tx", "%zz", "http://[::1", ":",
		"#f", // leads nowhere else, and with a query would
	} {
		if got := encode(httptest.NewRequest("GET", "http://example.com/", nil), l); got != l {
			t.Errorf("%q became %q", l, strings.Split(got, "sid=")[0])
		}
	}
	for _, l := range []string{"/", "x", "?q", "x#f", "", "../up", "http://example.com/x", "https://EXAMPLE.com/x", "https://example.com"} {
		if got := encode(httptest.NewRequest("GET", "http://example.com/", nil), l); !strings.Contains(got, "sid=") {
			t.Errorf("%q stayed without the session", l)
		}
	}
	if got := encode(httptest.NewRequest("GET", "https://example.com/", nil), "http://example.com/x"); strings.Contains(got, "sid=") {
		t.Error("the session went into a link without TLS")
	}
	cookies := newWorld(t)
	cookies.client().use(func(s *core.Session) {
		s.Set("k", "v")
		mustBe(t, "link with the default transport", s.EncodeURL("/x"), "/x")
	})
}

// FuzzEncodeURL: whatever the link, a browser that follows what came out goes
// to the origin of the request, or the session is not in it.
func FuzzEncodeURL(f *testing.F) {
	for _, l := range []string{"/x?a=b#c", "//evil", `/\evil`, "http://example.com/", "////e", "a:b", "?sid=1"} {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, l string) {
		w := newWorld(t, func(c *core.Config) { c.Transport = core.QueryTransport("sid") })
		var out string
		w.visit(httptest.NewRequest("GET", "http://example.com/", nil), func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
			s.Set("k", "v")
			out = s.EncodeURL(l)
		})
		if out == l {
			return
		}
		base, _ := url.Parse("http://example.com/")
		u, err := base.Parse(out)
		if err != nil || !strings.EqualFold(u.Host, "example.com") || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
			strings.ContainsAny(out, "\\\t\r\n") || strings.HasPrefix(out, "///") {
			t.Fatalf("%q became %q", l, out)
		}
		if got := u.Query()["sid"]; len(got) != 1 || got[0] == "" {
			t.Fatalf("%q became %q", l, out)
		}
	})
}

// bearer is a transport of an application's own.
type bearer struct{}

func (bearer) Receive(r *http.Request) []string {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil
	}
	return []string{value}
}

func (bearer) Send(h http.Header, value string, lifetime time.Duration) {
	h.Set("X-Token", value)
	h.Set("X-Lifetime", lifetime.String())
}

func (bearer) Vary() string { return "Authorization" }

// Feature P35: a transport of one's own, told of what is to last.
func TestCustomTransport(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.Transport = bearer{} })
	r := httptest.NewRequest("GET", "/", nil)
	rec := w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { s.Login("alice"); s.Persist(time.Hour) })
	h := rec.Result().Header
	mustBe(t, "lifetime", h.Get("X-Lifetime"), "1h0m0s")
	mustBe(t, "Vary", h.Get("Vary"), "Authorization")
	r.Header.Set("Authorization", "Bearer "+h.Get("X-Token"))
	w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) { mustBe(t, "user", s.User(), "alice") })
	if ok, err := w.m.HasSession(t.Context(), r); !ok || err != nil {
		t.Errorf("HasSession: %v, %v", ok, err)
	}
	r.Header.Set("Authorization", "Bearer not a value\x80")
	w.visit(r, func(s *core.Session, _ http.ResponseWriter, _ *http.Request) {
		mustBe(t, "reason", s.Rejected(), core.ReasonMalformed)
	})
}

func TestNewRefusesTransport(t *testing.T) {
	for name, tr := range map[string]core.Transport{
		"no name": core.HeaderTransport(""), "spaces": core.HeaderTransport("a b"), "cookie": core.HeaderTransport("cookie"),
		"no parameter": core.QueryTransport(""), "separator": core.QueryTransport("a&b"),
	} {
		w := newWorld(t)
		if _, err := core.New(core.Config{Store: w.store, Transport: tr}); err == nil || !strings.Contains(err.Error(), "Transport") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	_, err := core.New(core.Config{Store: w.store, Transport: bearer{}, Cookie: core.CookieConfig{Insecure: true}})
	if err == nil || !strings.Contains(err.Error(), "Cookie") || !strings.Contains(err.Error(), "Transport") {
		t.Errorf("cookie and transport: %v", err)
	}
}

// Features W26 and W40, flaw B20: by default the token is in the cookie and
// nowhere else, and what stands in a path is a path. Fails if EncodeURL does not
// ask for the transport, or if a token is looked for elsewhere.
func TestTokenIsInTheCookieOnly(t *testing.T) {
	w := newWorld(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /p", func(rw http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Login("alice")
		rw.Header().Set("Link", s.EncodeURL("/next?a=1"))
		io.WriteString(rw, s.EncodeURL("/next?a=1#f"))
	})
	mux.HandleFunc("GET /{segment}/p", func(rw http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		mustBe(t, "user", s.User(), "")
		mustBe(t, "reason", s.Rejected(), "")
		io.WriteString(rw, r.PathValue("segment"))
	})
	site := w.m.Handler(mux)
	rec := httptest.NewRecorder()
	site.ServeHTTP(rec, httptest.NewRequest("GET", "/p", nil))
	mustBe(t, "link", rec.Body.String(), "/next?a=1#f")
	cookies := rec.Result().Cookies()
	mustBe(t, "cookies", len(cookies), 1)
	token := cookies[0].Value
	rec.Header().Del("Set-Cookie")
	if text := rec.Body.String() + fmt.Sprint(rec.Header()); strings.Contains(text, token) {
		t.Errorf("the response shows the token: %s", text)
	}

	// A path, with the name and with the token of a session, is not unwrapped.
	rec = httptest.NewRecorder()
	segment := w.m.CookieName() + "=" + token
	site.ServeHTTP(rec, httptest.NewRequest("GET", "/"+segment+"/p", nil))
	mustStatus(t, rec, 200)
	mustBe(t, "segment", rec.Body.String(), segment)
	noCookie(t, rec)
}

// What a query presents is what net/url reads there, up to as many values as
// are tried, and without a pass over everything else.
func TestQueryReceive(t *testing.T) {
	receive := core.QueryTransport("sid").Receive
	for _, q := range []string{
		"", "a=b", "sid", "sid=", "sid=x", "sid=x&sid=y", "a=sid&sid=x%2By+z", "%73id=x&a", "s%69d=x&sid=%zz", "sid%zz=x", "sid;=x&sid=x;y&sid=z",
		"xsid=1&sidx=2", "sid=a=b", "&&sid=x&&", "SID=x", "+sid=x",
	} {
		want := (&url.URL{RawQuery: q}).Query()["sid"]
		if got := receive(&http.Request{URL: &url.URL{RawQuery: q}}); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", q, got, want)
		}
	}
	r := &http.Request{URL: &url.URL{RawQuery: strings.Repeat("sid=x&", 5000) + strings.Repeat("a=b&", 100_000)}}
	mustBe(t, "values", len(receive(r)), 64)
	if n := testing.AllocsPerRun(5, func() { receive(r) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
