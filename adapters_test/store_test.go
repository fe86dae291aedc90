package adapters_test

import (
	"path/filepath"
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// powers are what a store can hold of the promises. A scenario says which it
// needs; what follows from that for each store is in testdata/withheld.golden.
type powers uint8

const (
	// revoking: a token that was ended or replaced is dead for whoever kept
	// a copy.
	revoking powers = 1 << iota
	// merging: of requests that change a session at the same time, none loses
	// what it wrote.
	merging
	// listing: the sessions are on the server, where they can be counted.
	listing
)

// kind is a store to run the scenarios on.
type kind struct {
	name string
	can  powers
	open func(t *testing.T, c *clock) core.Store
}

var kinds = []kind{
	{"memory", revoking | merging | listing, func(t *testing.T, c *clock) core.Store {
		return memorystore.New(memorystore.Config{Clock: c.Now})
	}},
	{"cookie", 0, func(t *testing.T, c *clock) core.Store {
		return cookiestore.New(cookiestore.Config{Clock: c.Now})
	}},
	{"cookie+revocations", revoking, func(t *testing.T, c *clock) core.Store {
		return cookiestore.New(cookiestore.Config{
			Clock:       c.Now,
			Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: c.Now}),
		})
	}},
	{"file", revoking | merging | listing, func(t *testing.T, c *clock) core.Store {
		store, err := filestore.New(filestore.Config{Dir: filepath.Join(t.TempDir(), "sessions"), Create: true, NoSync: true, Clock: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}},
}

func (p powers) String() string {
	var out string
	for i, name := range []string{"revoking", "merging", "listing"} {
		if p&(1<<i) != 0 {
			if out != "" {
				out += ", "
			}
			out += name
		}
	}
	return out
}
