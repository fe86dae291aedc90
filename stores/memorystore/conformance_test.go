package memorystore_test

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/memorystore"
	"github.com/coatcheck/sessions/stores/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
		store := memorystore.New(memorystore.Config{Clock: clock})
		t.Cleanup(func() { store.Close() })
		return store
	})
}
