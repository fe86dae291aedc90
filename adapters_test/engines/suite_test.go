package engines

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/adapters_test/suite"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/redisstore"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

// TestSuite runs every scenario of the adapters on every engine: what a client
// sees is the same as with sessions in memory, to the byte of a transcript.
func TestSuite(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { suite.Run(t, d.suiteStore(t), suite.Variant{}) })
	}
	t.Run("Redis", func(t *testing.T) {
		suite.Run(t, redisSuiteStore(t, "Redis", servers.Redis(t).URL()), suite.Variant{})
	})
	t.Run("Redis Cluster", func(t *testing.T) {
		c := servers.RedisCluster(t)
		c.Settle(t)
		suite.Run(t, redisSuiteStore(t, "Redis Cluster", c.URL()), suite.Variant{})
	})
}

// TestVariants runs the scenarios with exclusive use of a session, where a lock
// of the engine is what keeps requests apart, and with the token in a header.
func TestVariants(t *testing.T) {
	for _, v := range []struct {
		name    string
		variant suite.Variant
	}{
		{"exclusive", suite.Variant{Exclusive: true}},
		{"header", suite.Variant{Header: true}},
		{"exclusive header", suite.Variant{Exclusive: true, Header: true}},
	} {
		t.Run("SQLite/"+v.name, func(t *testing.T) {
			t.Parallel()
			suite.Run(t, sqlite.suiteStore(t), v.variant)
		})
		t.Run("Redis/"+v.name, func(t *testing.T) {
			t.Parallel()
			suite.Run(t, redisSuiteStore(t, "Redis", servers.Redis(t).URL()), v.variant)
		})
	}
}

// suiteStore returns the store of a database. Its tables are used again, once
// they are empty: making one takes longer than a scenario.
func (d database) suiteStore(t *testing.T) suite.Store {
	p := &tablePool{database: d, db: d.open(t, d.dsn(t))}
	t.Cleanup(p.drop)
	return suite.Store{Name: d.name, Open: p.store}
}

// tablePool are tables of one database that no test is using.
type tablePool struct {
	database
	db   *sql.DB
	mu   sync.Mutex
	free []string
}

func (p *tablePool) store(t testing.TB, clock func() time.Time) core.Store {
	t.Helper()
	cfg := sqlstore.Config{Dialect: p.dialect, SweepInterval: -1, Clock: clock}
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		p.free, cfg.Table = p.free[:n-1], p.free[n-1]
	}
	p.mu.Unlock()
	migrate := cfg.Table == ""
	if migrate {
		cfg.Table = newTable()
	}
	s, err := sqlstore.New(p.db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if migrate {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.Close()
		for _, table := range []string{cfg.Table, cfg.Table + "_locks"} {
			if _, err := p.db.Exec("DELETE FROM " + table); err != nil {
				t.Error(err)
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free = append(p.free, cfg.Table)
	})
	return s
}

func (p *tablePool) drop() {
	for _, table := range p.free {
		s, err := sqlstore.New(p.db, sqlstore.Config{Dialect: p.dialect, Table: table, SweepInterval: -1})
		if err == nil {
			s.Drop(context.Background())
			s.Close()
		}
	}
}

// redisSuiteStore returns the store of a server, with a prefix for each
// scenario.
func redisSuiteStore(t *testing.T, name, url string) suite.Store {
	spec := newSpec(name, url, newTable())
	client, err := newRedisClient(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		removeKeys(t, spec)
	})
	return suite.Store{Name: name, Open: func(t testing.TB, clock func() time.Time) core.Store {
		store, err := redisstore.New(client, redisstore.Config{Prefix: spec.Table + "-" + newTable(), Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}}
}
