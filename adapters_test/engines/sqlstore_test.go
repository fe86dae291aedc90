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

func TestSQLite(t *testing.T) { storetest.Run(t, sqliteStore) }

func TestPostgreSQL(t *testing.T) { storetest.Run(t, postgresStore) }

func TestMariaDB(t *testing.T) { storetest.Run(t, mariadbStore) }

func sqliteStore(t testing.TB, clock func() time.Time) core.Store {
	return newStore(t, sqliteDB(t), sqlstore.Config{Dialect: sqlstore.SQLite, Clock: clock})
}

func postgresStore(t testing.TB, clock func() time.Time) core.Store {
	return newStore(t, open(t, "pgx", servers.Postgres(t).URL()), sqlstore.Config{Dialect: sqlstore.PostgreSQL, Clock: clock})
}

func mariadbStore(t testing.TB, clock func() time.Time) core.Store {
	return newStore(t, open(t, "mysql", servers.MariaDB(t).URL()), sqlstore.Config{Dialect: sqlstore.MySQL, Clock: clock})
}

// sqliteDB opens a database in a file of its own.
func sqliteDB(t testing.TB) *sql.DB {
	t.Helper()
	return open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "sessions.db")+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
}

func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return db
}

var tables atomic.Int64

// newStore makes a store on a table of its own, unless cfg names one.
func newStore(t testing.TB, db *sql.DB, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	if cfg.Table == "" {
		cfg.Table = fmt.Sprintf("sessions_%d_%d", time.Now().UnixNano(), tables.Add(1))
	}
	if cfg.SweepInterval == 0 {
		cfg.SweepInterval = -1
	}
	store, err := sqlstore.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		store.Drop(context.Background())
	})
	return store
}
