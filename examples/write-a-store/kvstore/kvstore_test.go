package kvstore_test

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/examples/write-a-store/kvstore"
	"github.com/coatcheck/sessions/stores/storetest"
)

func newStore(_ testing.TB, clock func() time.Time) core.Store { return kvstore.New(clock) }

func TestStore(t *testing.T)      { storetest.Run(t, newStore) }
func BenchmarkStore(b *testing.B) { storetest.Bench(b, newStore) }
