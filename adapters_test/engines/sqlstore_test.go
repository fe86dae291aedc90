package engines

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
	_ "modernc.org/sqlite"             // registers "sqlite"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
	"github.com/coatcheck/sessions/stores/storetest"
)

func TestSQLite(t *testing.T)     { storetest.Run(t, sqlite.factory) }
func TestPostgreSQL(t *testing.T) { storetest.Run(t, postgres.factory) }
func TestMariaDB(t *testing.T)    { storetest.Run(t, mariadb.factory) }

func BenchmarkSQLite(b *testing.B)     { storetest.Bench(b, sqlite.factory) }
func BenchmarkPostgreSQL(b *testing.B) { storetest.Bench(b, postgres.factory) }
func BenchmarkMariaDB(b *testing.B)    { storetest.Bench(b, mariadb.factory) }

// database is an engine that sqlstore speaks to.
type database struct {
	name, driver string
	dialect      sqlstore.Dialect
	// dsn names the server that the tests share, or a new file.
	dsn func(t testing.TB) string
}

var (
	sqlite = database{"SQLite", "sqlite", sqlstore.SQLite, func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "sessions.db") + "?_pragma=busy_timeout(100)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	}}
	postgres  = database{"PostgreSQL", "pgx", sqlstore.PostgreSQL, func(t testing.TB) string { return servers.Postgres(t).URL() }}
	mariadb   = database{"MariaDB", "mysql", sqlstore.MySQL, func(t testing.TB) string { return servers.MariaDB(t).URL() }}
	databases = []database{sqlite, postgres, mariadb}
)

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

func (d database) factory(t testing.TB, clock func() time.Time) core.Store {
	return d.store(t, d.open(t, d.dsn(t)), sqlstore.Config{Clock: clock})
}

// store returns a store on a table that is gone when the test ends: a new one,
// unless cfg names one.
func (d database) store(t testing.TB, db *sql.DB, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	s := d.bare(t, db, cfg)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// bare is store without the table.
func (d database) bare(t testing.TB, db *sql.DB, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	cfg.Dialect = d.dialect
	if cfg.Table == "" {
		cfg.Table = newTable()
	}
	if cfg.SweepInterval == 0 {
		cfg.SweepInterval = -1
	}
	s, err := sqlstore.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Drop(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s
}

var tables atomic.Int64

// newTable returns a name that no table has, in this run or one before.
func newTable() string { return fmt.Sprintf("t%x_%d", time.Now().UnixNano(), tables.Add(1)) }

// open returns a pool of its own for each call.
func (d database) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return db
}
