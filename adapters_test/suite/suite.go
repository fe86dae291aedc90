// Package suite has what an application sees of its sessions, as scenarios:
// each is written once, in HTTP requests and answers, and runs through every
// adapter on any store. A test file of a few lines runs it:
//
//	func TestSuite(t *testing.T) {
//		suite.Run(t, suite.Store{Name: "mine", Open: newStore}, suite.Variant{})
//	}
//
// What a store does by itself is stores/storetest's to check. Here it is the
// whole: a framework, its adapter, the manager, and a store that is an engine
// with clocks and latencies of its own.
package suite

import (
	"embed"
	"fmt"
	"strings"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storetest"
)

// Store is a store to run the scenarios on.
type Store struct {
	// Name is that of the store, in what Withheld lists.
	Name string
	// Open returns a store without sessions, whose time is that of the
	// clock. It may be called from several tests at once. The clock begins
	// near the real time, since servers and seals have that as well, and moves
	// ahead by hours and days.
	Open storetest.Factory
	// Lacks is what the store cannot do of what the promises need. The
	// default, nothing, is right for a store that keeps records on a server.
	Lacks Power
}

// Power is something that scenarios need, of the store or of the variant.
type Power uint16

const (
	// Revoking: a token that was ended or replaced is dead for whoever kept
	// a copy.
	Revoking Power = 1 << iota
	// Merging: of requests that change a session at the same time, none loses
	// what it wrote.
	Merging
	// Listing: the sessions are on the server, where they can be counted.
	Listing

	// overlapping: requests of one session run at the same time.
	overlapping
	// queueing: requests of one session run one after another.
	queueing
	// cookies: the token travels in a cookie.
	cookies
)

var powerNames = []string{"revoking", "merging", "listing", "overlapping", "queueing", "in cookies"}

// String lists the powers: "revoking, merging".
func (p Power) String() string {
	var names []string
	for i, name := range powerNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Variant is a way to configure the application. The zero value is the default
// configuration.
type Variant struct {
	// Exclusive is core.Config's.
	Exclusive bool
	// Header has the token travel in a header instead of a cookie.
	Header bool
	// Config changes the configuration further, in ways that change nothing
	// of what a client sees. It may be nil.
	Config func(*core.Config)
}

// setting is where a scenario runs, besides the adapter.
type setting struct {
	Store
	Variant
	carriage carriage
	can      Power
}

func settingOf(s Store, v Variant) setting {
	can := (Revoking | Merging | Listing) &^ s.Lacks
	if v.Exclusive {
		can |= queueing
	} else {
		can |= overlapping
	}
	if v.Header {
		return setting{s, v, byHeader, can}
	}
	return setting{s, v, byCookie, can | cookies}
}

// configure makes the configuration that of the variant.
func (s setting) configure(cfg *core.Config) {
	cfg.Exclusive = s.Exclusive
	if s.Header {
		cfg.Transport = core.HeaderTransport(headerName)
	}
	if s.Config != nil {
		s.Config(cfg)
	}
}

// scenario is a behaviour that holds on every adapter, wherever it has the
// powers it needs.
type scenario struct {
	name  string
	needs Power
	// without is what must be missing: what a store then does instead.
	without Power
	run     func(f *fixture)
	tune    func(*core.Config)
}

// withheld says what keeps a scenario from running, if anything does.
func (s scenario) withheld(can Power) (why string, yes bool) {
	if lacks := s.needs &^ can; lacks != 0 {
		return "not " + lacks.String(), true
	}
	if has := s.without & can; has != 0 {
		return "is " + has.String(), true
	}
	return "", false
}

var groups = []struct {
	name      string
	scenarios []scenario
}{
	{"promises", promises},
	{"life", life},
	{"responses", responses},
	{"clients", clients},
	{"traps", traps},
	{"peers", peerScenarios()},
}

// Run runs every scenario that the store and the variant have the powers for,
// on every adapter. Subtests are named adapter/group/scenario; those of the
// adapters run in parallel.
func Run(t *testing.T, s Store, v Variant) {
	on := settingOf(s, v)
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for _, g := range groups {
				t.Run(g.name, func(t *testing.T) {
					for _, s := range g.scenarios {
						if _, yes := s.withheld(on.can); yes {
							continue
						}
						t.Run(s.name, func(t *testing.T) {
							s.run(newFixture(t, a, on, s.tune))
						})
					}
				})
			}
			t.Run("faults", func(t *testing.T) { faults(t, a, on) })
			t.Run("transcript", func(t *testing.T) {
				same(t, play(t, a, on), golden(t, on))
			})
		})
	}
}

// Withheld lists the scenarios that Run leaves out, and why: a scenario that
// quietly stops running somewhere shows there.
func Withheld(s Store, v Variant) string {
	on := settingOf(s, v)
	var out strings.Builder
	for _, g := range groups {
		for _, s := range g.scenarios {
			if why, yes := s.withheld(on.can); yes {
				fmt.Fprintf(&out, "%s: %s: %s\n", g.name, s.name, why)
			}
		}
	}
	return out.String()
}

// Transcript returns what net/http answers to a fixed script, and the name of
// the file in testdata with which Run compares what every adapter answers to
// it. Every store with the same powers shares one file.
func Transcript(t *testing.T, s Store, v Variant) (file, text string) {
	on := settingOf(s, v)
	return on.goldenFile(), play(t, adapters[0], on)
}

//go:embed testdata
var testdata embed.FS

func (s setting) goldenFile() string {
	name := "server"
	switch {
	case s.can&Listing != 0:
	case s.can&Revoking != 0:
		name = "cookie-revocable"
	default:
		name = "cookie"
	}
	if s.Header {
		name += "-header"
	}
	return name + ".golden"
}

func golden(t testing.TB, on setting) string {
	text, err := testdata.ReadFile("testdata/" + on.goldenFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same compares texts line by line.
func same(t testing.TB, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d\n got: %s\nwant: %s", i+1, a, b)
			return
		}
	}
}
