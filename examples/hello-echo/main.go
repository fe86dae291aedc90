// hello-echo counts visits with Echo, version 4.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/coatcheck/sessions/adapters/echosession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/labstack/echo/v4"
)

var visits = core.NewKey[int]("visits")

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	e := echo.New()
	e.Use(echosession.New(sessions))
	e.GET("/", func(c echo.Context) error {
		s := echosession.Get(c)
		n := visits.Update(s, func(n int) int { return n + 1 })
		return c.String(http.StatusOK, fmt.Sprintf("visit %d\n", n))
	})
	return e
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
