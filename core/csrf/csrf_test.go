package csrf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/csrf"
	"github.com/coatcheck/sessions/core/sessiontest"
	"github.com/coatcheck/sessions/stores/memorystore"
)

func manager() *core.Manager {
	return core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{}), Logger: slog.New(slog.DiscardHandler)})
}

// client is one browser.
type client struct {
	t    *testing.T
	m    *core.Manager
	last sessiontest.Result
}

func newClient(t *testing.T, m *core.Manager) *client {
	none := sessiontest.After(t, m, httptest.NewRequest("GET", "/", nil), &http.Response{Header: http.Header{}})
	return &client{t, m, none}
}

// send sends a request to a handler behind the sessions' middleware.
func (c *client) send(r *http.Request, h http.Handler) *httptest.ResponseRecorder {
	c.t.Helper()
	r = c.last.Next(r)
	rec := httptest.NewRecorder()
	c.m.Handler(h).ServeHTTP(rec, r)
	c.last = sessiontest.After(c.t, c.m, r, rec.Result())
	return rec
}

// do runs f as a handler.
func (c *client) do(f func(s *core.Session)) {
	c.t.Helper()
	rec := c.send(httptest.NewRequest("GET", "/", nil), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { f(core.Get(r.Context())) }))
	if rec.Code != 200 {
		c.t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
}

func (c *client) token() (token string) {
	c.t.Helper()
	c.do(func(s *core.Session) { token = csrf.Token(s) })
	return token
}

// verify returns what Verify says of a request.
func (c *client) verify(r *http.Request) (err error) {
	c.t.Helper()
	c.send(r, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { err = csrf.Verify(r) }))
	return err
}

func withHeader(method, token string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	if token != "" {
		r.Header.Set("X-CSRF-Token", token)
	}
	return r
}

func withField(token string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(url.Values{"csrf_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func withPart(token string) *http.Request {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("csrf_token", token)
	form.Close()
	r := httptest.NewRequest("POST", "/", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return r
}

// TestVerify is feature QX9.
func TestVerify(t *testing.T) {
	m := manager()
	c := newClient(t, m)
	token := c.token()
	if c.last.Cookie == nil {
		t.Error("a token does not keep the session of an anonymous visitor")
	}
	foreign := newClient(t, m).token()
	wrong := []byte(token)
	wrong[47] ^= 1
	inURL := httptest.NewRequest("POST", "/?csrf_token="+token, nil)
	inURL.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	both := withField(token)
	both.Header.Set("X-CSRF-Token", foreign)
	for name, test := range map[string]struct {
		r    *http.Request
		want error
	}{
		"header":               {withHeader("POST", token), nil},
		"PUT":                  {withHeader("PUT", token), nil},
		"DELETE":               {withHeader("DELETE", token), nil},
		"unknown method":       {withHeader("FROB", token), nil},
		"field":                {withField(token), nil},
		"multipart field":      {withPart(token), nil},
		"GET":                  {withHeader("GET", token), csrf.ErrSafeMethod},
		"HEAD":                 {withHeader("HEAD", token), csrf.ErrSafeMethod},
		"OPTIONS":              {withHeader("OPTIONS", token), csrf.ErrSafeMethod},
		"TRACE":                {withHeader("TRACE", token), csrf.ErrSafeMethod},
		"missing":              {withHeader("POST", ""), csrf.ErrMissing},
		"missing, lower case":  {withHeader("post", ""), csrf.ErrMissing},
		"in the URL":           {inURL, csrf.ErrMissing},
		"wrong":                {withHeader("POST", string(wrong)), csrf.ErrInvalid},
		"wrong field":          {withField(string(wrong)), csrf.ErrInvalid},
		"of another session":   {withHeader("POST", foreign), csrf.ErrInvalid},
		"wrong in header only": {both, csrf.ErrInvalid},
		"cut short":            {withHeader("POST", token[:47]), csrf.ErrInvalid},
		"too long":             {withHeader("POST", token+"AAAA"), csrf.ErrInvalid},
		"mask only":            {withHeader("POST", token[:24]+token[:24]), csrf.ErrInvalid},
	} {
		if err := c.verify(test.r); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	stranger := newClient(t, m)
	if err := stranger.verify(withHeader("POST", token)); !errors.Is(err, csrf.ErrInvalid) {
		t.Errorf("without a session: %v", err)
	}
	if stranger.last.Cookie != nil {
		t.Error("to verify begins a session")
	}
}

// TestHandler: what is not verified does not arrive.
func TestHandler(t *testing.T) {
	c := newClient(t, manager())
	token := c.token()
	arrived := 0
	app := csrf.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived++ }))
	for _, test := range []struct {
		r                *http.Request
		status, arrivals int
	}{
		{withHeader("GET", ""), 200, 1},
		{withHeader("POST", token), 200, 1},
		{withField(token), 200, 1},
		{withHeader("POST", ""), 403, 0},
		{withHeader("POST", "junk"), 403, 0},
	} {
		arrived = 0
		if rec := c.send(test.r, app); rec.Code != test.status || arrived != test.arrivals {
			t.Errorf("%s: %d, arrived %d times, want %d and %d", test.r.Method, rec.Code, arrived, test.status, test.arrivals)
		}
	}
}

// TestTokensAreMasked: no two look alike, and all are good.
func TestTokensAreMasked(t *testing.T) {
	c := newClient(t, manager())
	first, second := c.token(), c.token()
	for _, token := range []string{first, second} {
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{48}$`).MatchString(token) {
			t.Errorf("the token is %q", token)
		}
		if err := c.verify(withHeader("POST", token)); err != nil {
			t.Error(err)
		}
	}
	for i := 0; i < 48; i += 4 {
		if first[i:i+4] == second[i:i+4] {
			t.Errorf("characters %d to %d are the same", i, i+4)
		}
	}
}

// TestSecondTokenStoresNothing: the second Token stores nothing.
func TestSecondTokenStoresNothing(t *testing.T) {
	c := newClient(t, manager())
	c.token()
	c.do(func(s *core.Session) {
		if csrf.Token(s); s.Dirty() {
			t.Error("the second token changes the session")
		}
	})
}

// TestLogin: a token of the time before is refused after, whoever knew it.
func TestLogin(t *testing.T) {
	good := func(c *client, token string, want bool, what string) {
		t.Helper()
		if err := c.verify(withHeader("POST", token)); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := newClient(t, manager())
	anonymous := c.token()
	good(c, anonymous, true, "the token of the login form")
	var during string
	c.do(func(s *core.Session) {
		s.Login("alice")
		during = csrf.Token(s)
	})
	good(c, anonymous, false, "the token from before the login")
	good(c, during, true, "the token in the answer to the login")
	c.do(func(s *core.Session) { s.Regenerate() })
	good(c, during, true, "the token after a renewal")
	c.do(func(s *core.Session) { s.Login("bob") })
	good(c, during, false, "the token of alice")
	bobs := c.token()
	c.do(func(s *core.Session) { csrf.Reset(s) })
	good(c, bobs, false, "the token from before Reset")
	last := c.token()
	good(c, last, true, "the token after Reset")
	c.do(func(s *core.Session) { s.Destroy() })
	good(c, last, false, "the token after the logout")
}

// TestFirstTokensAtOnce: two pages that are the first with a form are both good.
func TestFirstTokensAtOnce(t *testing.T) {
	c := newClient(t, manager())
	c.do(func(s *core.Session) { s.Set("visits", 1) })
	var a, b string
	c.do(func(s *core.Session) {
		a = csrf.Token(s)
		inner := *c
		b = inner.token()
	})
	for _, token := range []string{a, b, c.token()} {
		if err := c.verify(withHeader("POST", token)); err != nil {
			t.Error(err)
		}
	}
}

// TestLateToken: a page that asks too late does not get a token that nobody
// will accept.
func TestLateToken(t *testing.T) {
	c := newClient(t, manager())
	c.send(withHeader("GET", ""), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<!doctype html>")
		s := core.Get(r.Context())
		if token := csrf.Token(s); token != "" || !errors.Is(s.Err(), core.ErrLate) {
			t.Errorf("token %q, %v", token, s.Err())
		}
	}))
}

// down is a store that fails.
type down struct{ core.Store }

func (d down) Load(context.Context, core.ID) (core.Record, error) {
	return core.Record{}, errors.New("down")
}

// TestOutage: that the store is down is not the client's mistake.
func TestOutage(t *testing.T) {
	secret := core.GenerateSecret()
	healthy := memorystore.New(memorystore.Config{})
	cfg := core.Config{Store: healthy, Secrets: []core.Secret{secret}, Logger: slog.New(slog.DiscardHandler)}
	c := newClient(t, core.MustNew(cfg))
	token := c.token()
	cfg.Store = down{healthy}
	c.m = core.MustNew(cfg)
	if err := c.verify(withHeader("POST", token)); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("Verify: %v", err)
	}
	rec := c.send(withHeader("POST", token), csrf.Handler(http.NotFoundHandler()))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", rec.Code)
	}
}

// TestBodyIsLeftAlone: it is read only where a token could be in it.
func TestBodyIsLeftAlone(t *testing.T) {
	m := manager()
	owner := newClient(t, m)
	token := owner.token()
	for name, test := range map[string]struct {
		c     *client
		token string
	}{"token in the header": {owner, token}, "no session": {newClient(t, m), ""}} {
		r := withField("junk")
		if test.token != "" {
			r.Header.Set("X-CSRF-Token", test.token)
		}
		test.c.send(r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			csrf.Verify(r)
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "csrf_token=junk" {
				t.Errorf("%s: the handler reads %q (%v)", name, body, err)
			}
		}))
	}
}

// TestWithCrossOriginProtection: either refuses alone, and both let through
// what is right.
func TestWithCrossOriginProtection(t *testing.T) {
	m := manager()
	c := newClient(t, m)
	token := c.token()
	app := http.NewCrossOriginProtection().Handler(m.Handler(csrf.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))))
	for _, test := range []struct {
		site, token string
		want        int
	}{
		{"same-origin", token, 200},
		{"", token, 200}, // an old browser
		{"same-origin", "", 403},
		{"", "", 403},
		{"cross-site", token, 403},
		{"same-site", token, 403},
	} {
		r := c.last.Next(withHeader("POST", test.token))
		if test.site != "" {
			r.Header.Set("Sec-Fetch-Site", test.site)
		}
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, r)
		if rec.Code != test.want {
			t.Errorf("%q, token %v: %d, want %d", test.site, test.token != "", rec.Code, test.want)
		}
	}
}

// FuzzVerify sends what is no token of the session.
func FuzzVerify(f *testing.F) {
	for _, text := range []string{"", "x", strings.Repeat("A", 48), strings.Repeat("A", 47) + "=", strings.Repeat("\n", 48), strings.Repeat("A", 64), strings.Repeat("\xff", 48), strings.Repeat("=", 48), "A\n" + strings.Repeat("A", 46)} {
		f.Add(text)
	}
	m := manager()
	f.Fuzz(func(t *testing.T, text string) {
		c := newClient(t, m)
		token := c.token()
		r := withHeader("POST", "")
		r.Header["X-Csrf-Token"] = []string{text}
		if err := c.verify(r); !errors.Is(err, csrf.ErrInvalid) && !errors.Is(err, csrf.ErrMissing) {
			t.Errorf("%q: %v", text, err)
		}
		if len(text) == len(token) { // half a token is none
			if err := c.verify(withField(token[:24] + text[24:])); err == nil {
				t.Errorf("%q is good", text)
			}
		}
	})
}

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, csrf.Token(core.Get(r.Context())))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "saved")
	})
	app := sessions.Handler(csrf.Handler(mux))

	page := httptest.NewRecorder()
	app.ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
	for _, token := range []string{page.Body.String(), ""} {
		r := httptest.NewRequest("POST", "/", nil)
		r.AddCookie(page.Result().Cookies()[0]) // the browser sends it in any case
		r.Header.Set(csrf.HeaderName, token)
		answer := httptest.NewRecorder()
		app.ServeHTTP(answer, r)
		fmt.Println(answer.Code, answer.Body)
	}
	// Output:
	// 200 saved
	//
	// 403 This form is out of date: load the page again and retry.
}
