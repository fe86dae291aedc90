package engines

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/redisstore"
)

func redisSpec(t testing.TB) appSpec {
	t.Helper()
	spec := newSpec("Redis", servers.Redis(t).URL(), newTable())
	t.Cleanup(func() { removeKeys(t, spec) })
	return spec
}

func openRedis(spec appSpec) (core.Store, error) {
	client, err := newRedisClient(spec)
	if err != nil {
		return nil, err
	}
	return redisstore.New(client, redisstore.Config{Prefix: spec.Table})
}

// newRedisClient returns a client of one server, or of the Cluster that the
// server is part of.
func newRedisClient(spec appSpec) (rueidis.Client, error) {
	option, err := rueidis.ParseURL(spec.DSN)
	if err != nil {
		return nil, err
	}
	option.DisableCache = true
	return rueidis.NewClient(option)
}

// removeKeys removes what a test left on a server.
func removeKeys(t testing.TB, spec appSpec) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := newRedisClient(spec)
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	for _, node := range client.Nodes() {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(spec.Table+":*").Count(1000).Build()).AsScanEntry()
			if err != nil {
				t.Error(err)
				return
			}
			for _, key := range page.Elements {
				if err := client.Do(ctx, client.B().Del().Key(key).Build()).Error(); err != nil {
					t.Error(err)
				}
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
}
