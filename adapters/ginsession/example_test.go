package ginsession_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/gin-gonic/gin"
)

var visits = core.NewKey[int]("visits")

func Example() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	defer sessions.Close()

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery(), ginsession.New(sessions))
	r.GET("/", func(c *gin.Context) {
		s := ginsession.Get(c)
		n := visits.Update(s, func(n int) int { return n + 1 })
		c.String(http.StatusOK, "visit %d\n", n)
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

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	tenant := r.Group("/t/:tenant")
	tenant.Use(ginsession.NewAt(sessions, tenant.BasePath()))
	tenant.GET("/cart", func(c *gin.Context) { ginsession.Get(c).Set("items", 1) })

	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/t/acme/cart", nil))
	fmt.Println(w.Result().Cookies()[0].Path)
	// Output: /t/acme/
}
