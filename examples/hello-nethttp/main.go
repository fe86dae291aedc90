// hello-nethttp counts visits with nothing but the standard library.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

var visits = core.NewKey[int]("visits")

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := core.Get(r.Context())
		n := visits.Update(s, func(n int) int { return n + 1 })
		fmt.Fprintf(w, "visit %d\n", n)
	})
	return sessions.Handler(mux)
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
