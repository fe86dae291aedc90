// typed-keys is a shop that keeps a cart, preferences and a one-time code in
// the session, each under a key with a type:
//
//	go run ./examples/typed-keys
//	curl -c jar -b jar -d item=hat http://127.0.0.1:8080/cart
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"slices"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// Keys are declared once. A type that could not be stored is refused here, at
// start.
var (
	cart  = core.NewKey[map[string]int]("cart")
	look  = core.NewKey[preferences]("look")
	total = core.NewKey[int]("total")
	code  = core.NewKey[string]("code")
)

type preferences struct {
	Dark     bool
	Language string
}

func handler() http.Handler {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart", add)
	mux.HandleFunc("POST /cart/remove", removeItem)
	mux.HandleFunc("GET /cart", show)
	mux.HandleFunc("POST /look", setLook)
	mux.HandleFunc("POST /code", newCode)
	mux.HandleFunc("POST /code/redeem", redeem)
	return http.NewCrossOriginProtection().Handler(sessions.Handler(mux))
}

func add(w http.ResponseWriter, r *http.Request) {
	s, item := core.Get(r.Context()), r.FormValue("item")

	// Update is atomic: two tabs that add the same item add two.
	items := cart.Update(s, func(items map[string]int) map[string]int {
		if items == nil {
			items = map[string]int{}
		}
		items[item]++
		return items
	})
	n := total.Update(s, func(n int) int { return n + 1 })
	fmt.Fprintf(w, "%d of %s, %d in all\n", items[item], item, n)
}

func removeItem(w http.ResponseWriter, r *http.Request) {
	items, _ := cart.Get(core.Get(r.Context()))
	delete(items, r.FormValue("item")) // a change in place is found and saved
	w.WriteHeader(http.StatusNoContent)
}

func show(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	items, _ := cart.Get(s)
	p := look.GetOr(s, preferences{Language: "en"})
	fmt.Fprintf(w, "language %s, dark %v\n", p.Language, p.Dark)
	for _, item := range slices.Sorted(maps.Keys(items)) {
		fmt.Fprintf(w, "%s: %d\n", item, items[item])
	}
}

func setLook(w http.ResponseWriter, r *http.Request) {
	look.Set(core.Get(r.Context()), preferences{r.FormValue("dark") == "yes", r.FormValue("language")})
	w.WriteHeader(http.StatusNoContent)
}

func newCode(w http.ResponseWriter, r *http.Request) {
	c := rand.Text()
	code.Set(core.Get(r.Context()), c)
	fmt.Fprintln(w, c)
}

// redeem accepts a code once. Pop gives it to one request only: of two at the
// same time, the other is answered with 409.
func redeem(w http.ResponseWriter, r *http.Request) {
	s := core.Get(r.Context())
	want, err := code.Lookup(s)
	if errors.Is(err, core.ErrNoValue) || r.FormValue("code") != want {
		http.Error(w, "no such code", http.StatusForbidden)
		return
	}
	code.Pop(s)
	fmt.Fprintln(w, "welcome")
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler()))
}
