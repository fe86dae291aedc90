package peers

import (
	"testing"
)

// TestColumns checks every library with every content that a scenario gives it.
func TestColumns(t *testing.T) {
	for _, c := range Columns {
		t.Run(c.Name(), func(t *testing.T) {
			for _, sc := range Scenarios {
				if !sc.Applies(c) {
					continue
				}
				if err := Check(c, sc.Setup()); err != nil {
					t.Errorf("%s: %v", sc.ID, err)
				}
			}
		})
	}
}
