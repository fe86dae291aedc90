package sweep_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/core/sweep"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// A program that is started for a few requests sweeps on the way.
func ExampleSometimes() {
	sessions := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })

	handler := sweep.Sometimes(sessions, 0.01)(sessions.Handler(hello))

	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	fmt.Println(rec.Body)
	// Output: hello
}
