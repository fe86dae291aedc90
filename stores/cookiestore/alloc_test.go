//go:build !race

package cookiestore_test

import (
	"testing"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// Fails if New does not tell the manager that the store cannot block, which
// saves a timer per call, or if opening a cookie copies it once more. The race
// detector allocates too, so it is not for this test.
func TestAllocations(t *testing.T) {
	revocable := cookiestore.Config{Revocations: cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})}
	for i, most := range []struct{ read, write float64 }{{18, 48}, {6, 17}} {
		for _, cfg := range []cookiestore.Config{{}, revocable} {
			for _, c := range []struct {
				use  func(*core.Session)
				most float64
			}{{reads, most.read}, {writes, most.write}} {
				if n := testing.AllocsPerRun(200, request(sealers[i].make, cfg, c.use)); n > c.most {
					t.Errorf("%s: %v allocations, at most %v", sealers[i].name, n, c.most)
				}
			}
		}
	}
}
