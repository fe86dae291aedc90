package echosession_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/labstack/echo/v4"
)

var visits = core.NewKey[int]("visits")

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	defer sessions.Close()

	e := echo.New()
	e.Use(echosession.New(sessions))
	e.GET("/", func(c echo.Context) error {
		s := echosession.Get(c)
		n := visits.Update(s, func(n int) int { return n + 1 })
		return c.String(http.StatusOK, fmt.Sprintf("visit %d\n", n))
	})

	// A browser comes twice.
	first := httptest.NewRecorder()
	e.ServeHTTP(first, httptest.NewRequest("GET", "/", nil))
	fmt.Print(first.Body)

	again := httptest.NewRequest("GET", "/", nil)
	again.AddCookie(first.Result().Cookies()[0])
	second := httptest.NewRecorder()
	e.ServeHTTP(second, again)
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

	e := echo.New()
	tenant := e.Group("/t/:tenant")
	tenant.Use(echosession.NewAt(sessions, "/t/:tenant"))
	tenant.GET("/cart", func(c echo.Context) error {
		echosession.Get(c).Set("items", 1)
		return c.NoContent(http.StatusNoContent)
	})

	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/t/acme/cart", nil))
	fmt.Println(w.Result().Cookies()[0].Path)
	// Output: /t/acme/
}
