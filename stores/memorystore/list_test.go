package memorystore

import (
	"context"
	"errors"
	"testing"

	"github.com/coatcheck/sessions/core"
)

// Fails if List holds a lock while it yields: the loop would hang.
func TestListHoldsNoLock(t *testing.T) {
	const n = 1000
	f := newFixture(t, Config{})
	for i := range n {
		f.create(i, "")
	}
	seen := map[core.ID]bool{}
	for rec, err := range f.List(f.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[rec.ID] {
			t.Errorf("%v comes twice", rec.ID)
		}
		seen[rec.ID] = true
		if existed, _ := f.Delete(f.ctx, rec.ID); !existed {
			t.Errorf("%v was not there", rec.ID)
		}
		f.create(n+len(seen), "")
	}
	for i := range n {
		if !seen[makeID(i)] {
			t.Errorf("%d is missing", i)
		}
	}
}

func TestListStops(t *testing.T) {
	f := newFixture(t, Config{})
	for i := range 1000 {
		f.create(i, "")
	}
	for range f.List(f.ctx) {
		break
	}
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	n := 0
	var last error
	for _, err := range f.List(ctx) {
		if last != nil {
			t.Fatal("List went on after its error")
		}
		if n++; n == 10 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || n > 10+batch {
		t.Errorf("%d records, then %v", n, last)
	}
}
