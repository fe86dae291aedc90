package formtoken_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/formtoken"
	"github.com/coatcheck/sessions/core/sessiontest"
	"github.com/coatcheck/sessions/stores/memorystore"
)

func manager() *core.Manager {
	return core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
}

// client is one browser: each call of do is a request of its own.
type client struct {
	t    *testing.T
	m    *core.Manager
	last sessiontest.Result
}

func newClient(t *testing.T, m *core.Manager) *client {
	c := &client{t: t, m: m}
	r := httptest.NewRequest("GET", "/", nil)
	c.last = sessiontest.After(t, m, r, &http.Response{Header: http.Header{}})
	return c
}

// do runs f as a handler and returns the status of the answer.
func (c *client) do(f func(s *core.Session)) int {
	c.t.Helper()
	r := c.last.Next(httptest.NewRequest("POST", "/", nil))
	rec := httptest.NewRecorder()
	c.m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) { f(core.Get(r.Context())) })
	c.last = sessiontest.After(c.t, c.m, r, rec.Result())
	return rec.Code
}

func (c *client) new(scope string) (token string) {
	c.t.Helper()
	if status := c.do(func(s *core.Session) { token = formtoken.New(s, scope) }); status != 200 {
		c.t.Fatalf("New: %d", status)
	}
	return token
}

func (c *client) consume(scope, token string) (ok bool) {
	c.t.Helper()
	if status := c.do(func(s *core.Session) { ok = formtoken.Consume(s, scope, token) }); status != 200 {
		c.t.Fatalf("Consume: %d", status)
	}
	return ok
}

func TestOnce(t *testing.T) {
	c := newClient(t, manager())
	token := c.new("order")
	if c.last.Cookie == nil {
		t.Error("a token does not keep the session of an anonymous visitor")
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`).MatchString(token) {
		t.Errorf("the token is %q", token)
	}
	if c.consume("cancel", token) {
		t.Error("good for another scope")
	}
	if newClient(t, c.m).consume("order", token) {
		t.Error("good in another session")
	}
	if !c.consume("order", token) {
		t.Error("refused at its first use")
	}
	if !c.last.Cleared {
		t.Error("the session outlived its last token")
	}
	if c.consume("order", token) {
		t.Error("good twice")
	}
}

func TestOnceWithinARequest(t *testing.T) {
	c := newClient(t, manager())
	c.do(func(s *core.Session) {
		token := formtoken.New(s, "order")
		if !formtoken.Consume(s, "order", token) || formtoken.Consume(s, "order", token) {
			t.Error("want true, then false")
		}
	})
}

// TestMax is feature QX8: of 33 tokens the first is refused.
func TestMax(t *testing.T) {
	c := newClient(t, manager())
	others := map[string]string{"offer": c.new("offer"), "order2": c.new("order2")}
	tokens := make([]string, 33)
	for i := range tokens {
		tokens[i] = c.new("order")
	}
	c.last.Look(func(s *core.Session) {
		if n := s.Namespace("formtoken").Len(); n != 32+len(others) {
			t.Errorf("the session holds %d tokens, want 32 and those of the other scopes", n)
		}
	})
	if c.consume("order", tokens[0]) {
		t.Error("the oldest is still good")
	}
	for i, token := range tokens[1:] {
		if !c.consume("order", token) {
			t.Errorf("token %d is refused", i+2)
		}
	}
	for scope, token := range others {
		if !c.consume(scope, token) {
			t.Errorf("the tokens of one scope drove out that of %s", scope)
		}
	}
}

// TestMaxAcrossRequests: requests that make tokens at the same time add one
// each, but no more than Max are ever good, and the next New tidies up.
func TestMaxAcrossRequests(t *testing.T) {
	c := newClient(t, manager())
	first := c.new("order")
	for range formtoken.Max - 1 {
		c.new("order")
	}
	// Two are on their way at once: both see 32, both drop the same one.
	var a, b string
	c.do(func(s *core.Session) {
		a = formtoken.New(s, "order")
		inner := *c
		b = inner.new("order")
	})
	count := func() (n int) {
		c.last.Look(func(s *core.Session) { n = s.Namespace("formtoken").Len() })
		return n
	}
	if n := count(); n != formtoken.Max+1 {
		t.Fatalf("%d tokens are stored: this does not test what it should", n)
	}
	if c.consume("order", first) {
		t.Error("the oldest is still good")
	}
	newest := c.new("order")
	if n := count(); n != formtoken.Max {
		t.Errorf("%d tokens are stored, want %d", n, formtoken.Max)
	}
	for _, token := range []string{a, b, newest} {
		if !c.consume("order", token) {
			t.Error("a new token is refused")
		}
	}
}

// TestTheSurplusIsRefused: what two requests left beyond Max is not good, even
// before the next New.
func TestTheSurplusIsRefused(t *testing.T) {
	c := newClient(t, manager())
	c.new("order")
	second := c.new("order")
	for range formtoken.Max - 2 {
		c.new("order")
	}
	c.do(func(s *core.Session) {
		formtoken.New(s, "order")
		inner := *c
		inner.new("order")
	})
	if c.consume("order", second) {
		t.Errorf("there are %d younger ones, and it is still good", formtoken.Max)
	}
}

// TestRace: of requests that send the same token at once, one succeeds; the
// others learn it when they are answered.
func TestRace(t *testing.T) {
	c := newClient(t, manager())
	c.do(func(s *core.Session) { s.Set("stays", true) })
	token := c.new("order")
	const n = 8
	var ready, done sync.WaitGroup
	ready.Add(n)
	status := make([]int, n)
	told := make([]bool, n)
	for i := range n {
		inner := *c
		done.Add(1)
		go func() {
			defer done.Done()
			status[i] = inner.do(func(s *core.Session) {
				told[i] = formtoken.Consume(s, "order", token)
				ready.Done()
				ready.Wait()
			})
		}()
	}
	done.Wait()
	won := 0
	for i := range n {
		switch {
		case !told[i]:
			t.Error("a request that still saw the token was told that it is used")
		case status[i] == http.StatusOK:
			won++
		case status[i] != http.StatusConflict:
			t.Errorf("status %d", status[i])
		}
	}
	if won != 1 {
		t.Errorf("%d requests succeeded, want 1", won)
	}
}

// TestRaceWithSave: a request that saves by hand knows at once whether it was
// the one, before it does what cannot be undone.
func TestRaceWithSave(t *testing.T) {
	c := newClient(t, manager())
	c.do(func(s *core.Session) { s.Set("stays", true) })
	token := c.new("order")
	save := func(s *core.Session) error {
		if !formtoken.Consume(s, "order", token) {
			t.Error("refused")
		}
		return s.Save(t.Context())
	}
	status := c.do(func(s *core.Session) {
		s.Len() // it loads now, with the token
		inner := *c
		if status := inner.do(func(s *core.Session) {
			if err := save(s); err != nil {
				t.Error(err)
			}
		}); status != http.StatusOK {
			t.Errorf("the first is answered with %d", status)
		}
		if err := save(s); !errors.Is(err, core.ErrGone) {
			t.Errorf("the second: %v", err)
		}
	})
	if status != http.StatusConflict {
		t.Errorf("the second is answered with %d", status)
	}
}

// TestLogin: who knows a token of the time before the login cannot use it
// after, and of another user's none is left.
func TestLogin(t *testing.T) {
	c := newClient(t, manager())
	before := c.new("order")
	var during string
	c.do(func(s *core.Session) {
		s.Login("alice")
		during = formtoken.New(s, "order")
	})
	again := c.new("order")
	if c.consume("order", before) {
		t.Error("a token from before the login is good after it")
	}
	if !c.consume("order", during) {
		t.Error("a token of the login's own answer is refused")
	}
	c.do(func(s *core.Session) { s.Login("alice") })
	if !c.consume("order", again) {
		t.Error("the same user logged in again, and her token is refused")
	}
	hers := c.new("order")
	c.do(func(s *core.Session) { s.Login("bob") })
	if c.consume("order", hers) {
		t.Error("a token of alice is good for bob")
	}
}

// TestFailedRequest: a request that fails has used nothing up.
func TestFailedRequest(t *testing.T) {
	c := newClient(t, manager())
	token := c.new("order")
	r := c.last.Next(httptest.NewRequest("POST", "/", nil))
	c.m.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
		formtoken.Consume(core.Get(r.Context()), "order", token)
		w.WriteHeader(http.StatusInternalServerError)
	})
	if !c.consume("order", token) {
		t.Error("the form cannot be sent again")
	}
}

// TestKeysTellNothing: whoever reads the session's keys cannot send a form.
func TestKeysTellNothing(t *testing.T) {
	c := newClient(t, manager())
	token := c.new("order")
	c.last.Look(func(s *core.Session) {
		for key := range s.Namespace("formtoken").All() {
			if formtoken.Consume(s, "order", strings.TrimPrefix(key, "order")) {
				t.Error("the key is a token")
			}
			if strings.Contains(key, token[12:]) {
				t.Error("the key holds the token")
			}
		}
	})
}

func TestTokensDiffer(t *testing.T) {
	m := manager()
	seen := map[string]bool{}
	for range 100 {
		seen[newClient(t, m).new("order")[11:]] = true // beyond the number
	}
	if len(seen) != 100 {
		t.Errorf("%d different tokens of 100", len(seen))
	}
}

func TestScopeTooLong(t *testing.T) {
	c := newClient(t, manager())
	c.do(func(s *core.Session) { formtoken.New(s, strings.Repeat("x", 480)) })
	if c.last.Cookie == nil {
		t.Error("480 bytes are refused")
	}
	if status := c.do(func(s *core.Session) { formtoken.New(s, strings.Repeat("x", 481)) }); status != 500 {
		t.Errorf("a page with a token that cannot be stored was sent with %d", status)
	}
}

// FuzzConsume sends what is not a token: it is refused, it changes nothing and
// it is no error.
func FuzzConsume(f *testing.F) {
	const good = "-----------0123456789abcdefABCDEF"
	for _, text := range []string{"", "x", good[:32], good, good[:30] + "\r\n", strings.Repeat("z", 32), strings.Repeat("z", 36), strings.Repeat("\n", 32), good[:31] + "=", "\xff" + good[:31], strings.Repeat("=", 32)} {
		f.Add("order", text)
	}
	m := manager()
	f.Fuzz(func(t *testing.T, scope, text string) {
		c := newClient(t, m)
		c.new("order")
		status := c.do(func(s *core.Session) {
			if formtoken.Consume(s, scope, text) {
				t.Errorf("%q is good", text)
			}
			if s.Dirty() || s.Err() != nil {
				t.Errorf("%q: dirty %v, %v", text, s.Dirty(), s.Err())
			}
		})
		if status != 200 {
			t.Errorf("%q: status %d", text, status)
		}
	})
}

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /order", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, formtoken.New(core.Get(r.Context()), "order"))
	})
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) {
		if !formtoken.Consume(core.Get(r.Context()), "order", r.PostFormValue("token")) {
			http.Error(w, "sent already", http.StatusConflict)
			return
		}
		fmt.Fprintln(w, "ordered")
	})
	app := sessions.Handler(mux)

	page := httptest.NewRecorder()
	app.ServeHTTP(page, httptest.NewRequest("GET", "/order", nil))
	for range 2 { // a double click
		form := strings.NewReader(url.Values{"token": {page.Body.String()}}.Encode())
		r := httptest.NewRequest("POST", "/order", form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(page.Result().Cookies()[0])
		answer := httptest.NewRecorder()
		app.ServeHTTP(answer, r)
		fmt.Println(answer.Code, answer.Body)
	}
	// Output:
	// 200 ordered
	//
	// 409 sent already
}

// Fails if a page is given a token that was not stored, and so is no good.
func TestNewThatIsNotStored(t *testing.T) {
	m := manager()
	m.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		s := core.Get(r.Context())
		if token := formtoken.New(s, "order"); token != "" || !errors.Is(s.Err(), core.ErrLate) {
			t.Errorf("token %q, %v", token, s.Err())
		}
	})
	newClient(t, m).do(func(s *core.Session) {
		var long *core.TooLargeError
		if token := formtoken.New(s, strings.Repeat("x", 481)); token != "" || !errors.As(s.Err(), &long) {
			t.Errorf("a long scope: token %q, %v", token, s.Err())
		}
	})
}
