// hello-chi counts visits with Chi.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/coatcheck/sessions/adapters/chisession"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/go-chi/chi/v5"
)

var visits = core.NewKey[int]("visits")

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	r := chi.NewRouter()
	r.Use(chisession.New(sessions))
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		s := chisession.Get(r)
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "visit %d\n", n)
	})
	return r
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
