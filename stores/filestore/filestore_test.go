package filestore_test

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
		return open(t, filestore.Config{Dir: t.TempDir() + "/sessions", Create: true, NoSync: true, Clock: clock})
	})
}

func BenchmarkStore(b *testing.B) {
	for name, noSync := range map[string]bool{"sync": false, "nosync": true} {
		b.Run(name, func(b *testing.B) {
			storetest.Bench(b, func(t testing.TB, clock func() time.Time) core.Store {
				return open(t, filestore.Config{Dir: t.TempDir() + "/sessions", Create: true, NoSync: noSync, Clock: clock})
			})
		})
	}
}

func open(t testing.TB, cfg filestore.Config) *filestore.Store {
	t.Helper()
	store, err := filestore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
