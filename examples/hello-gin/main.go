// hello-gin counts visits with Gin.
package main

import (
	"log"
	"net/http"

	"github.com/coatcheck/sessions/adapters/ginsession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/gin-gonic/gin"
)

var visits = core.NewKey[int]("visits")

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	r := gin.New()
	r.Use(ginsession.New(sessions))
	r.GET("/", func(c *gin.Context) {
		s := ginsession.Get(c)
		n := visits.Update(s, func(n int) int { return n + 1 })
		c.String(http.StatusOK, "visit %d\n", n)
	})
	return r
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
