package chisession_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

var visits = core.NewKey[int]("visits")

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	defer sessions.Close()

	r := chi.NewRouter()
	r.Use(middleware.Recoverer, chisession.New(sessions))
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		s := chisession.Get(r)
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "visit %d\n", n)
	})

	// A browser comes twice.
	first := httptest.NewRecorder()
	r.ServeHTTP(first, httptest.NewRequest("GET", "/", nil))
	fmt.Print(first.Body)

	again := httptest.NewRequest("GET", "/", nil)
	again.AddCookie(first.Result().Cookies()[0])
	second := httptest.NewRecorder()
	r.ServeHTTP(second, again)
	fmt.Print(second.Body)
	// Output:
	// visit 1
	// visit 2
}

func ExampleNewAt() {
	sessions := core.MustNew(core.Config{
		Store:  memorystore.New(memorystore.Config{}),
		Cookie: core.CookieConfig{Name: "__Secure-tenant"}, // which may have a path, unlike __Host-
	})
	defer sessions.Close()

	r := chi.NewRouter()
	r.Route("/t/{tenant}", func(r chi.Router) {
		r.Use(chisession.NewAt(sessions, "/t/{tenant}"))
		r.Get("/cart", func(w http.ResponseWriter, r *http.Request) { chisession.Get(r).Set("items", 1) })
	})

	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/t/acme/cart", nil))
	fmt.Println(w.Result().Cookies()[0].Path)
	// Output: /t/acme/
}
