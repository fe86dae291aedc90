//go:build !race

package suite

import (
	"net/http"
	"net/http/httptest"
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
// over net/http itself, one allocation, which the copy of the request shares
// with the rest; over that of chisession, at most three more.
func TestCost(t *testing.T) {
	const most = 1
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

// TestCostOfUse guards what each kind of use costs on each adapter beyond a page
// that does not use its session: exactly what it costs in core. The numbers are
// those of core's own test, less the one allocation of such a page.
func TestCostOfUse(t *testing.T) {
	text, count := core.NewKey[string]("text"), core.NewKey[int64]("count")
	uses := []struct {
		path   string
		cookie bool
		most   float64
		use    handler
	}{
		{"/s2", true, 0, func(*call) {}},
		{"/s3", true, 1, func(x *call) { text.Get(x); count.Get(x) }},
		{"/s4", true, 2, func(x *call) { n, _ := count.Get(x); count.Set(x, n+1) }},
		{"/s5", false, 5, func(x *call) { x.Login("user-42") }},
	}
	for _, a := range adapters {
		for sealer, newSealer := range map[string]func(core.SealConfig) (core.Sealer, error){"SecureCookie": core.SecureCookie, "AESGCM": core.AESGCM} {
			m := core.MustNew(core.Config{Store: memorystore.New(memorystore.Config{}), Sealer: newSealer})
			t.Cleanup(func() { m.Close() })
			routes := map[string]handler{
				"/s1":   func(x *call) { x.status(204) },
				"/fill": func(x *call) { text.Set(x, "of twenty characters"); count.Set(x, 1); x.status(204) },
			}
			for _, u := range uses {
				routes[u.path] = func(x *call) { u.use(x); x.status(204) }
			}
			h := a.build(app{managers: []*core.Manager{m}, routes: routes})
			filled := httptest.NewRecorder()
			h.ServeHTTP(filled, httptest.NewRequest("GET", "/fill", nil))
			measure := func(path string, cookie bool) float64 {
				r, _ := http.NewRequest("GET", path, nil)
				if cookie {
					r.AddCookie(filled.Result().Cookies()[0])
				}
				w := &reusable{http.Header{}}
				serve := func() {
					clear(w.header)
					h.ServeHTTP(w, r)
				}
				if !cookie {
					for range 5000 { // where the tables of the store seldom grow
						serve()
					}
				}
				return testing.AllocsPerRun(200, serve)
			}
			untouched := measure("/s1", true)
			for _, u := range uses {
				n := measure(u.path, u.cookie) - untouched
				t.Logf("%s, %s, %s: %v", a.name, sealer, u.path, n)
				if n > u.most {
					t.Errorf("%s, %s, %s: %v allocations more than for a page that does not use its session, at most %v", a.name, sealer, u.path, n, u.most)
				}
			}
		}
	}
}
