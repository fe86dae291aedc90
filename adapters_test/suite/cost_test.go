//go:build !race

package suite

import (
	"net/http"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// reusable is a writer that costs nothing.
type reusable struct{ header http.Header }

func (w *reusable) Header() http.Header         { return w.header }
func (w *reusable) Write(p []byte) (int, error) { return len(p), nil }
func (w *reusable) WriteHeader(int)             {}

// allocations returns what the middleware adds to a request that does not use
// its session.
func allocations(t *testing.T, a adapter) float64 {
	m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{})})
	t.Cleanup(func() { m.Close() })
	measure := func(managers ...*core.Manager) float64 {
		h := a.build(app{managers: managers, raw: func(w http.ResponseWriter) { w.WriteHeader(204) }})
		r, _ := http.NewRequest("GET", "/raw", nil)
		w := &reusable{http.Header{}}
		return testing.AllocsPerRun(500, func() { h.ServeHTTP(w, r) })
	}
	return measure(m) - measure()
}

// TestCost guards what an adapter costs a page that does not use its session:
// over net/http itself, two allocations (the copy of the request, and the
// exchange); over those of chisession, at most three more.
func TestCost(t *testing.T) {
	const most = 2
	for _, a := range adapters {
		n := allocations(t, a)
		t.Logf("%s: %v", a.name, n)
		limit := most + 3.0
		if a.name == "nethttp" || a.name == "chi" {
			limit = most
		}
		if n > limit {
			t.Errorf("%s: %v allocations more than without the middleware, at most %v", a.name, n, limit)
		}
	}
}
