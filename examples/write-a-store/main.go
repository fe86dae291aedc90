// write-a-store is a page that counts visits, over a store of its own, kvstore:
//
//	go run ./examples/write-a-store
//
// Then open http://127.0.0.1:8080. docs/write-a-store.md walks through the store.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/examples/write-a-store/kvstore"
)

var visits = core.NewKey[int]("visits")

func newManager() *core.Manager {
	return core.MustNew(core.Config{
		Store:   kvstore.New(time.Now),
		Secrets: []core.Secret{core.GenerateSecret()}, // gone with the process, as its sessions are
	})
}

func handler(sessions *core.Manager) http.Handler {
	return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := visits.Update(core.Get(r.Context()), func(n int) int { return n + 1 })
		fmt.Fprintf(w, "<!doctype html><title>Visits</title><p>This is your visit number %d.</p>\n", n)
	}))
}

func main() {
	sessions := newManager()
	go func() {
		for range time.Tick(time.Minute) {
			if _, err := sessions.Sweep(context.Background()); err != nil {
				log.Print(err)
			}
		}
	}()
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler(sessions)))
}
