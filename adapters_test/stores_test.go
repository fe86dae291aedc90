package adapters_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/suite"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// The stores that need no server. The others are in the module engines.
var (
	memory = suite.Store{Name: "memory", Open: func(t testing.TB, clock func() time.Time) core.Store {
		return memorystore.New(memorystore.Config{Clock: clock})
	}}
	file = suite.Store{Name: "file", Open: func(t testing.TB, clock func() time.Time) core.Store {
		store, err := filestore.New(filestore.Config{Dir: filepath.Join(t.TempDir(), "sessions"), Create: true, NoSync: true, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}}
	cookie = suite.Store{Name: "cookie", Lacks: suite.Revoking | suite.Merging | suite.Listing, Open: func(t testing.TB, clock func() time.Time) core.Store {
		return cookiestore.New(cookiestore.Config{Clock: clock})
	}}
	revocable = suite.Store{Name: "cookie with revocations", Lacks: suite.Merging | suite.Listing, Open: func(t testing.TB, clock func() time.Time) core.Store {
		return cookiestore.New(cookiestore.Config{
			Clock:       clock,
			Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: clock}),
		})
	}}

	stores = []suite.Store{memory, file, cookie, revocable}
)

// TestSuite runs every scenario on every adapter and on every store.
func TestSuite(t *testing.T) {
	for _, s := range stores {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			suite.Run(t, s, suite.Variant{})
		})
	}
}

// variants are the configurations under which the promises hold besides the
// default: the ways to keep requests of one session apart, times the ways to
// carry its token; and the other seal.
var variants = map[string]suite.Variant{
	"exclusive":        {Exclusive: true},
	"header":           {Header: true},
	"exclusive header": {Exclusive: true, Header: true},
	"AES-GCM":          {Config: func(c *core.Config) { c.Sealer = core.AESGCM }},
}

// TestVariants runs every scenario with exclusive use of a session, with the
// token in a header, and with the other seal.
func TestVariants(t *testing.T) {
	for _, s := range []suite.Store{memory, cookie} {
		for name, v := range variants {
			t.Run(s.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				if v.Exclusive && s.Lacks&suite.Listing != 0 {
					_, err := core.New(core.Config{Store: s.Open(t, time.Now), Secrets: []core.Secret{core.GenerateSecret()}, Exclusive: true})
					if !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "Exclusive") {
						t.Errorf("exclusive use of what every client has a copy of: %v, want ErrConfig about Exclusive", err)
					}
					return
				}
				suite.Run(t, s, v)
			})
		}
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("line %d of %s, which -update rewrites\n got: %s\nwant: %s", i+1, file, g[i], w[i])
			return
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d lines, want the %d of %s, which -update rewrites", len(g), len(w), file)
	}
}

// TestTranscript keeps the files with which suite.Run, here and on the engines,
// compares what every adapter answers to one fixed script.
func TestTranscript(t *testing.T) {
	for _, s := range []suite.Store{memory, cookie, revocable} {
		for _, v := range []suite.Variant{{}, {Header: true}} {
			name, text := suite.Transcript(t, s, v)
			golden(t, filepath.Join("suite", "testdata", name), text)
		}
	}
}

// TestWithheld lists which scenarios do not run where, and for want of what: one
// that quietly stops running shows as a line.
func TestWithheld(t *testing.T) {
	var out strings.Builder
	list := func(where, what string) {
		fmt.Fprintf(&out, "%s\n\t%s\n", where, strings.ReplaceAll(strings.TrimSpace(what), "\n", "\n\t"))
	}
	for _, s := range stores {
		list(s.Name, suite.Withheld(s, suite.Variant{}))
	}
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		list("memory, "+name, suite.Withheld(memory, variants[name]))
	}
	golden(t, filepath.Join("testdata", "withheld.golden"), out.String())
}

// TestPromises12 is the promise that needs no adapter: wrong configuration
// fails in New, with the names of the fields.
func TestPromises12(t *testing.T) {
	t.Parallel()
	store := memory.Open(t, time.Now)
	for _, c := range []struct {
		name   string
		cfg    core.Config
		fields []string
	}{
		{"no store", core.Config{}, []string{"Store"}},
		{"idle beyond absolute", core.Config{Store: store, IdleTimeout: 2 * time.Hour, AbsoluteTimeout: time.Hour}, []string{"IdleTimeout", "AbsoluteTimeout"}},
		{"touch beyond idle", core.Config{Store: store, IdleTimeout: time.Minute, TouchInterval: time.Hour}, []string{"TouchInterval", "IdleTimeout"}},
		{"no secrets", core.Config{Store: cookie.Open(t, time.Now)}, []string{"Secrets"}},
		{"None without Secure", core.Config{Store: store, Cookie: core.CookieConfig{SameSite: http.SameSiteNoneMode, Insecure: true}}, []string{"SameSite", "Insecure"}},
		{"__Host- with Domain", core.Config{Store: store, Cookie: core.CookieConfig{Name: "__Host-s", Domain: "example.org"}}, []string{"Name", "Domain"}},
		{"negative", core.Config{Store: store, MaxBytes: -1}, []string{"MaxBytes"}},
	} {
		_, err := core.New(c.cfg)
		if !errors.Is(err, core.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", c.name, err)
			continue
		}
		for _, field := range c.fields {
			if !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %v does not name %s", c.name, err, field)
			}
		}
	}
}
