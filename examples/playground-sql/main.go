// The playground on SQL databases: the same program, with the stores that need
// a driver.
//
//	go run ./examples/playground-sql -store sqlite -dsn sessions.db
//	go run ./examples/playground-sql -store postgres -dsn 'postgres://user@localhost/db'
//	go run ./examples/playground-sql -store mysql -dsn 'user:password@tcp(localhost:3306)/db'
//
// It creates its table where that is missing. It is a module of its own, so
// that the library's users do not inherit the drivers.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/examples/playground/app"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

func main() { app.Main(stores()) }

func stores() map[string]app.OpenStore {
	all := maps.Clone(app.Stores())
	all["sqlite"] = open("sqlite", sqlstore.SQLite, sqliteDSN)
	all["postgres"] = open("pgx", sqlstore.PostgreSQL, asItIs)
	all["mysql"] = open("mysql", sqlstore.MySQL, asItIs)
	return all
}

// open returns how to open a store on a driver.
func open(driver string, dialect sqlstore.Dialect, dsn func(string) string) app.OpenStore {
	return func(o app.StoreOptions) (core.Store, error) {
		if o.DSN == "" {
			return nil, errors.New("-dsn is required for this store")
		}
		db, err := sql.Open(driver, dsn(o.DSN))
		if err != nil {
			return nil, fmt.Errorf("-dsn: %w", err)
		}
		db.SetMaxOpenConns(32)
		db.SetMaxIdleConns(32)
		store, err := sqlstore.New(db, sqlstore.Config{Dialect: dialect})
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err = store.Migrate(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return &database{store, db}, nil
	}
}

// database is a store that closes its pool of connections with itself.
type database struct {
	*sqlstore.Store
	db *sql.DB
}

func (d *database) Close() error { return errors.Join(d.Store.Close(), d.db.Close()) }

func asItIs(dsn string) string { return dsn }

// sqliteDSN makes of a file's name what lets several processes share it.
func sqliteDSN(file string) string {
	if strings.HasPrefix(file, "file:") {
		return file
	}
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100)"
}
