package cookiestore_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

var (
	name    = core.NewKey[string]("name")
	account = core.NewKey[int64]("account")
)

// fill puts five keys into a session: 200 bytes.
func fill(s *core.Session) {
	name.Set(s, "Augusta Ada King, Countess of Lovelace, née Byron")
	account.Set(s, 4_711_000)
	s.Set("email", "ada.lovelace@analytical-engine.example")
	s.Set("roles", []string{"author", "reviewer", "administrator"})
	s.Set("csrf", "q8XIq0pT3hJ9mZ0aV5bKf2RwNc7eLdYu")
}

func reads(s *core.Session)  { name.Get(s); account.Get(s) }
func writes(s *core.Session) { account.Update(s, func(n int64) int64 { return n + 1 }) }

// request returns a function that serves one request of a session with five
// keys.
func request(seal func(core.SealConfig) (core.Sealer, error), cfg cookiestore.Config, use func(*core.Session)) (serve func()) {
	m := core.MustNew(core.Config{Store: cookiestore.New(cfg), Secrets: []core.Secret{core.GenerateSecret()}, Sealer: seal})
	first := httptest.NewRecorder()
	m.Serve(first, httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) { fill(core.Get(r.Context())) })
	cookie, _, _ := strings.Cut(first.Header().Get("Set-Cookie"), ";")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", cookie)
	w := &blank{header: http.Header{}}
	h := func(w http.ResponseWriter, r *http.Request) {
		use(core.Get(r.Context()))
		w.WriteHeader(http.StatusNoContent)
	}
	return func() {
		clear(w.header)
		m.Serve(w, r, h)
	}
}

// blank is a response nobody reads.
type blank struct{ header http.Header }

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(int)             {}

func BenchmarkRequest(b *testing.B) {
	for _, sealer := range sealers {
		for list, cfg := range map[string]cookiestore.Config{
			"":           {},
			"-revocable": {Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})},
		} {
			for verb, use := range map[string]func(*core.Session){"read": reads, "write": writes} {
				b.Run(sealer.name+list+"/"+verb, func(b *testing.B) {
					b.ReportAllocs()
					serve := request(sealer.make, cfg, use)
					for b.Loop() {
						serve()
					}
				})
			}
		}
	}
}
