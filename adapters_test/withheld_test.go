package adapters_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestWithheld lists which scenarios a store cannot hold, and for want of what,
// in testdata/withheld.golden: a scenario that quietly stops running on a store
// shows there as a line.
func TestWithheld(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&out, "%s\n", k.name)
		for _, suite := range []struct {
			name      string
			scenarios []scenario
		}{{"promises", promises}, {"life", life}, {"responses", responses}, {"clients", clients}} {
			for _, s := range suite.scenarios {
				if lacks := s.needs &^ k.can; lacks != 0 {
					fmt.Fprintf(&out, "\t%s: %s: not %s\n", suite.name, s.name, lacks)
				}
			}
		}
	}
	golden(t, "withheld.golden", out.String())
}
