//go:build !race

package core_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// scenario is one kind of request, the one whose cost is guarded.
type scenario struct {
	name string
	keys int // that the session holds, besides the counter
	with bool
	h    func(s *core.Session)
}

var (
	nameKey  = core.NewKey[string]("key00")
	countKey = core.NewKey[int64]("count")
)

var scenarios = []scenario{
	{"S1 no cookie, untouched", 0, false, nil},
	{"S2 cookie, untouched", 4, true, nil},
	{"S3 reads a string and an int64", 4, true, func(s *core.Session) { nameKey.Get(s); countKey.Get(s) }},
	{"S4 counts", 4, true, func(s *core.Session) {
		n, _ := countKey.Get(s)
		countKey.Set(s, n+1)
	}},
	{"S4u counts with Update", 4, true, func(s *core.Session) { countKey.Update(s, func(n int64) int64 { return n + 1 }) }},
	{"S5 new session", 0, false, func(s *core.Session) { s.Login("user-42") }},
	{"S6 reads of 100 keys", 99, true, func(s *core.Session) { nameKey.Get(s); countKey.Get(s) }},
}

// discard is a ResponseWriter that can be used again.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// request prepares a scenario: serve runs it once, as a server would.
func (sc scenario) request(tb testing.TB, sealer func(core.SealConfig) (core.Sealer, error)) (serve func()) {
	mem := memorystore.New(memorystore.Config{})
	tb.Cleanup(func() { mem.Close() })
	m := core.MustNew(core.Config{Store: mem, Sealer: sealer})
	r := httptest.NewRequest("GET", "/", nil)
	if sc.with {
		rec := httptest.NewRecorder()
		m.Serve(rec, r, func(_ http.ResponseWriter, r *http.Request) {
			s := core.Get(r.Context())
			for i := range sc.keys {
				s.Set(fmt.Sprintf("key%02d", i), "forty bytes of text, more or less, here")
			}
			countKey.Set(s, 0)
		})
		r = httptest.NewRequest("GET", "/", nil)
		for _, c := range rec.Result().Cookies() {
			r.AddCookie(c)
		}
	}
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sc.h != nil {
			sc.h(core.Get(r.Context()))
		}
		w.WriteHeader(200)
	}))
	w := &discard{h: http.Header{}}
	return func() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// The allocations of each kind of request, counted without the race detector,
// which adds its own. A change that raises one of them
// makes every request of every user pay.
func TestAllocations(t *testing.T) {
	most := map[string][2]float64{ // with SecureCookie, with AESGCM
		"S1":  {1, 1},
		"S2":  {1, 1},
		"S3":  {2, 2},
		"S4":  {3, 3},
		"S4u": {5, 5},
		"S5":  {6, 6},
		"S6":  {2, 2},
	}
	for _, sc := range scenarios {
		var id string
		fmt.Sscan(sc.name, &id)
		for i, sealer := range []func(core.SealConfig) (core.Sealer, error){core.SecureCookie, core.AESGCM} {
			serve := sc.request(t, sealer)
			for range 5000 { // where the tables of the store seldom grow
				serve()
			}
			got := testing.AllocsPerRun(200, serve)
			if got > most[id][i] {
				t.Errorf("%s, %s: %v allocations, at most %v", sc.name, []string{"SecureCookie", "AESGCM"}[i], got, most[id][i])
			} else {
				t.Logf("%s, %s: %v allocations", sc.name, []string{"SecureCookie", "AESGCM"}[i], got)
			}
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, sc := range scenarios {
		for i, sealer := range []func(core.SealConfig) (core.Sealer, error){core.SecureCookie, core.AESGCM} {
			b.Run(sc.name+"/"+[]string{"securecookie", "aesgcm"}[i], func(b *testing.B) {
				serve := sc.request(b, sealer)
				b.ReportAllocs()
				for b.Loop() {
					serve()
				}
			})
		}
	}
}
