package suite

import (
	"fmt"
	"strings"
	"testing"
)

// TestPeers runs what needs no request; the others are scenarios.
func TestPeers(t *testing.T) {
	for _, p := range peers {
		if p.unit != nil {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.unit(t)
			})
		}
	}
}

// TestPeersAreAll checks that no behaviour of the survey was forgotten.
func TestPeersAreAll(t *testing.T) {
	t.Parallel()
	var names strings.Builder
	for _, p := range peers {
		names.WriteString(" " + p.name + " ")
		if p.there == "" || p.here == "" || (p.run == nil) == (p.unit == nil) {
			t.Errorf("%s is incomplete", p.name)
		}
	}
	for prefix, numbers := range map[string][]int{
		"S": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19},
		"G": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24},
		"E": {1, 2}, "F": {1, 2, 3, 4, 5, 6, 7, 8}, "R": {1, 2}, "X": {1, 2, 3},
	} {
		for _, n := range numbers {
			if label := fmt.Sprintf(" %s%d ", prefix, n); !strings.Contains(names.String(), label) {
				t.Errorf("no test for%s", label)
			}
		}
	}
}
