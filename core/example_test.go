package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// browser is a client with cookies, for the examples.
type browser struct {
	app     http.Handler
	cookies []*http.Cookie
}

// visit prints what the application answers.
func (b *browser) visit(method, url string) {
	r := httptest.NewRequest(method, url, nil)
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.app.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies = slices.DeleteFunc(b.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge >= 0 {
			b.cookies = append(b.cookies, c)
		}
	}
	text := strings.TrimSpace(w.Body.String())
	if w.Code != http.StatusOK {
		text = fmt.Sprintf("%d %s", w.Code, text)
	}
	if text != "" {
		fmt.Println(strings.TrimSpace(text))
	}
}

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	visits := core.NewKey[int]("visits")

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "visit %d\n", n)
	})
	app := sessions.Handler(mux) // for http.ListenAndServe

	alice, bob := browser{app: app}, browser{app: app}
	alice.visit("GET", "/")
	alice.visit("GET", "/")
	bob.visit("GET", "/")
	// Output:
	// visit 1
	// visit 2
	// visit 1
}

// In production the secret comes from outside, so that cookies outlive the
// process, and what is wrong with it is found at the start.
func ExampleNew() {
	os.Setenv("SESSION_SECRET", "hunter2") // a mistake

	start := func() (*core.Manager, error) {
		secret, err := core.ParseSecret(os.Getenv("SESSION_SECRET"))
		if err != nil {
			return nil, err
		}
		return core.New(core.Config{
			Store:           memorystore.New(memorystore.Config{}),
			Secrets:         []core.Secret{secret},
			IdleTimeout:     20 * time.Minute,
			AbsoluteTimeout: 12 * time.Hour,
		})
	}
	_, err := start()
	fmt.Println(err)
	// Output: sessions: configuration: a secret must be standard base64 with padding; make one with: openssl rand -base64 32
}

// A key gives a value a type. A slice, map or pointer may be changed in place.
func ExampleKey() {
	type cart struct{ Items []string }
	carts := core.NewKey[*cart]("cart") // a package variable, in a program

	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		c := carts.GetOr(s, &cart{})
		c.Items = append(c.Items, r.FormValue("item"))
		carts.Set(s, c)
	})
	mux.HandleFunc("DELETE /cart", func(w http.ResponseWriter, r *http.Request) {
		if c, ok := carts.Get(core.Get(r.Context())); ok {
			c.Items = slices.DeleteFunc(c.Items, func(i string) bool { return i == r.FormValue("item") }) // saved without a Set
		}
	})
	mux.HandleFunc("GET /cart", func(w http.ResponseWriter, r *http.Request) {
		c := carts.GetOr(core.Get(r.Context()), &cart{})
		fmt.Fprintln(w, c.Items)
	})

	b := browser{app: sessions.Handler(mux)}
	b.visit("POST", "/cart?item=hat")
	b.visit("POST", "/cart?item=coat")
	b.visit("DELETE", "/cart?item=hat")
	b.visit("GET", "/cart")
	// Output:
	// [coat]
}

// A flash message is popped by the page that shows it: of two pages that load
// at once, one shows it.
func ExampleKey_Pop() {
	flash := core.NewKey[string]("flash")

	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) {
		flash.Set(core.Get(r.Context()), "Thank you!")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if text, ok := flash.Pop(core.Get(r.Context())); ok {
			fmt.Fprintln(w, text)
			return
		}
		fmt.Fprintln(w, "nothing new")
	})

	b := browser{app: sessions.Handler(mux)}
	b.visit("POST", "/order")
	b.visit("GET", "/")
	b.visit("GET", "/")
	// Output:
	// 303
	// Thank you!
	// nothing new
}

func ExampleSession_Login() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login(r.FormValue("user")) // once the password was right
		fmt.Fprintln(w, "welcome")
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		user := core.Get(r.Context()).User()
		if user == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, user)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := core.Get(r.Context()).Destroy(); err == nil {
			fmt.Fprintln(w, "good bye")
		} // else Config.OnError answers
	})

	b := browser{app: sessions.Handler(mux)}
	b.visit("POST", "/login?user=alice")
	b.visit("GET", "/me")
	b.visit("POST", "/logout")
	b.visit("GET", "/me")
	// Output:
	// welcome
	// alice
	// good bye
	// 401 who are you?
}

// "Remember me" outlives the browser.
func ExampleSession_Persist() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	login := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		s.Login(r.FormValue("user"))
		if r.FormValue("remember") != "" {
			s.Persist(30 * 24 * time.Hour)
		}
	}))

	b := browser{app: login}
	b.visit("POST", "/?user=alice&remember=on")
	fmt.Println(time.Duration(b.cookies[0].MaxAge) * time.Second)
	// Output: 720h0m0s
}

// Several applications share a session without seeing each other's values.
func ExampleSession_Namespace() {
	theme := core.NewKey[string]("theme")

	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	b := browser{app: sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		theme.Set(s.Namespace("shop"), "dark")
		theme.Set(s.Namespace("forum"), "light")
		s.Namespace("forum").Clear()
		fmt.Fprintln(w, theme.GetOr(s.Namespace("shop"), "none"), theme.GetOr(s.Namespace("forum"), "none"), s.Namespaces())
	}))}
	b.visit("GET", "/")
	// Output: dark none [shop]
}

// After a change of password, every other login of the user ends.
func ExampleManager_RevokeUser() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login("alice")
	})
	mux.HandleFunc("POST /password", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		n, err := sessions.RevokeUser(r.Context(), s.User(), s.ID()) // except this one
		if err != nil {
			http.Error(w, "please retry", core.Status(err))
			return
		}
		fmt.Fprintf(w, "logged out on %d other devices\n", n)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "user %q\n", core.Get(r.Context()).User())
	})

	phone, laptop := browser{app: sessions.Handler(mux)}, browser{app: sessions.Handler(mux)}
	phone.visit("POST", "/login")
	laptop.visit("POST", "/login")
	laptop.visit("POST", "/password")
	phone.visit("GET", "/me")
	laptop.visit("GET", "/me")
	// Output:
	// logged out on 1 other devices
	// user ""
	// user "alice"
}

// A worker leaves a message for a session whose ID the handler gave it.
func ExampleManager_Load() {
	report := core.NewKey[string]("report")
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})

	jobs := make(chan core.ID, 1)
	worker := func(ctx context.Context) error {
		s, err := sessions.Load(ctx, <-jobs)
		if err != nil {
			return err // core.ErrNotFound, core.ErrExpired: nobody waits any more
		}
		report.Set(s, "ready")
		return s.Save(ctx)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) { core.Get(r.Context()).Login("alice") })
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) { jobs <- core.Get(r.Context()).ID() })
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, report.GetOr(core.Get(r.Context()), "please wait"))
	})

	b := browser{app: sessions.Handler(mux)}
	b.visit("POST", "/login")
	b.visit("GET", "/report")
	b.visit("POST", "/report")
	if err := worker(context.Background()); err != nil {
		log.Fatal(err)
	}
	b.visit("GET", "/report")
	// Output:
	// please wait
	// ready
}

func ExampleManager_New() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})

	// login is called by other means than HTTP, and returns what the client is
	// to present for the next ten minutes.
	login := func(ctx context.Context, user string) (*http.Cookie, error) {
		s := sessions.New(ctx)
		s.Login(user)
		s.SetExpiry(time.Now().Add(10 * time.Minute))
		if err := s.Save(ctx); err != nil {
			return nil, err
		}
		return s.Cookie(), nil
	}
	cookie, err := login(context.Background(), "alice")
	if err != nil {
		log.Fatal(err)
	}

	app := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", core.Get(r.Context()).User())
	}))
	req := httptest.NewRequest("GET", "/", nil)
	req.AddCookie(cookie)
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, req)
	fmt.Print(rec.Body)
	// Output: hello alice
}

// An API answers in JSON when a session cannot be read or saved.
func ExampleStatus() {
	sessions := core.MustNew(core.Config{
		Store: memorystore.New(memorystore.Config{MaxSessions: 1}),
		OnError: func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(core.Status(err))
			json.NewEncoder(w).Encode(map[string]bool{"retry": errors.Is(err, core.ErrUnavailable) || errors.Is(err, core.ErrFull)})
		},
	})
	login := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		core.Get(r.Context()).Login(r.FormValue("user"))
		io.WriteString(w, `{"ok":true}`)
	}))

	alice, bob := browser{app: login}, browser{app: login}
	alice.visit("POST", "/?user=alice")
	bob.visit("POST", "/?user=bob") // one too many for this store
	// Output:
	// {"ok":true}
	// 503 {"retry":true}
}

// A client without cookies keeps the token that it was sent last.
func ExampleHeaderTransport() {
	sessions := core.MustNew(core.Config{
		Store:     memorystore.New(memorystore.Config{}),
		Transport: core.HeaderTransport("X-Session"),
	})
	api := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		if r.Method == "POST" {
			s.Login("alice")
			return
		}
		fmt.Fprintf(w, "user %q\n", s.User())
	}))

	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	token := w.Header().Get("X-Session")

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Session", token)
	w = httptest.NewRecorder()
	api.ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output: user "alice"
}
