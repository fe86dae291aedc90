package sessiontest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/sessiontest"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

var items = core.NewKey[[]string]("items")

// shop is the application under test.
func shop(m *core.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		if s.User() == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		list, _ := items.Get(s)
		items.Set(s, append(list, r.FormValue("add")))
	})
	mux.HandleFunc("GET /cart", func(w http.ResponseWriter, r *http.Request) {
		list, _ := items.Get(core.Get(r.Context()))
		fmt.Fprint(w, list)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Destroy()
	})
	return m.Handler(mux)
}

func managers(t *testing.T) map[string]*core.Manager {
	return map[string]*core.Manager{
		"memory": core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})}),
		"cookie": core.MustNew(core.Config{Store: cookiestore.New(cookiestore.Config{}), Secrets: []core.Secret{core.GenerateSecret()}}),
		"insecure": core.MustNew(core.Config{
			Store:  memorystore.New(memorystore.Config{}),
			Cookie: core.CookieConfig{Insecure: true, Name: "sid"},
		}),
	}
}

func TestWithAndAfter(t *testing.T) {
	for name, m := range managers(t) {
		t.Run(name, func(t *testing.T) {
			app := shop(m)
			plain := httptest.NewRequest("POST", "/cart?add=hat", nil)
			plain.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})

			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, plain)
			if after := sessiontest.After(t, m, plain, rec.Result()); rec.Code != 401 || after.Cookie != nil || after.Cleared {
				t.Fatalf("anonymous: %d, %+v", rec.Code, after.Cookie)
			}

			req := sessiontest.With(t, m, plain, func(s *core.Session) {
				s.Login("alice")
				items.Set(s, []string{"coat"})
			})
			if c, err := req.Cookie("theme"); err != nil || c.Value != "dark" {
				t.Error("the request lost its other cookies")
			}
			rec = httptest.NewRecorder()
			app.ServeHTTP(rec, req)
			after := sessiontest.After(t, m, req, rec.Result())
			if after.Cleared {
				t.Error("cleared")
			}
			looked := false
			after.Look(func(s *core.Session) {
				looked = true
				if list, _ := items.Get(s); fmt.Sprint(list) != "[coat hat]" || s.User() != "alice" {
					t.Errorf("%v of %q", list, s.User())
				}
			})
			if !looked {
				t.Error("Look did not look")
			}

			next := after.Next(httptest.NewRequest("POST", "/logout", nil))
			rec = httptest.NewRecorder()
			app.ServeHTTP(rec, next)
			gone := sessiontest.After(t, m, next, rec.Result())
			if !gone.Cleared || gone.Cookie == nil {
				t.Errorf("logout: %+v", gone.Cookie)
			}
			gone.Look(func(s *core.Session) {
				if s.User() != "" || s.Len() != 0 {
					t.Error("the session outlived the logout")
				}
			})
		})
	}
}

// recorder is a testing.TB that takes note of a failure instead of failing.
type recorder struct {
	testing.TB
	fatal string
}

func (r *recorder) Helper() {}
func (r *recorder) Fatal(args ...any) {
	r.fatal = fmt.Sprint(args...)
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func TestWithSaysWhatIsWrong(t *testing.T) {
	m := managers(t)["memory"]
	for name, setup := range map[string]func(s *core.Session){
		"empty":       func(*core.Session) {},
		"unencodable": func(s *core.Session) { s.Set("k", make(chan int)) },
	} {
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			sessiontest.With(r, m, httptest.NewRequest("GET", "/", nil), setup)
		}()
		<-done
		if r.fatal == "" {
			t.Errorf("%s: With was content", name)
		}
	}
}

func Example() {
	t := &testing.T{} // of the test function

	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	app := shop(sessions)

	req := sessiontest.With(t, sessions, httptest.NewRequest("POST", "/cart?add=hat", nil), func(s *core.Session) {
		s.Login("alice")
	})
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, req)

	sessiontest.After(t, sessions, req, rec.Result()).Look(func(s *core.Session) {
		list, _ := items.Get(s)
		fmt.Println(s.User(), list)
	})
	// Output: alice [hat]
}
