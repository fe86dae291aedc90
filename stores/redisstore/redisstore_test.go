package redisstore

import (
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/storetest"
	"github.com/redis/rueidis"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
		return newStore(t, sharedClient(t), clock)
	})
}

func TestStoreOnCluster(t *testing.T) {
	nodes := startCluster(t, 3)
	client := newClient(t, rueidis.ClientOption{InitAddress: []string{nodes[0].addr}, DisableCache: true})
	storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
		return newStore(t, client, clock)
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB, clock func() time.Time) core.Store {
		return newStore(t, sharedClient(t), clock)
	})
}
