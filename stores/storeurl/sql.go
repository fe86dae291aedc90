package storeurl

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

var (
	sqlParams   = []string{"table", "sweep_interval", "max_conns", "driver"}
	mysqlParams = append(slices.Clone(sqlParams), "socket")
)

const maxConns = 16

// driverParam tells of a parameter that is not ours whether it may be a driver's.
var driverParam = map[string]func(name string) bool{
	"postgres":   anything,
	"postgresql": anything,
	"mysql":      anything,
	"mariadb":    anything,
	"sqlite": func(name string) bool {
		// https://www.sqlite.org/uri.html
		return name[0] == '_' || slices.Contains([]string{"cache", "immutable", "mode", "modeof", "nolock", "psow", "vfs"}, name)
	},
}

func anything(string) bool { return true }

// engines are the databases by scheme.
var engines = map[string]engine{
	"postgres":   postgres,
	"postgresql": postgres,
	"mysql":      mysql,
	"mariadb":    mysql,
	"sqlite":     sqlite,
}

// engine is a database that sqlstore speaks to.
type engine struct {
	dialect sqlstore.Dialect
	drivers []string // by their names in database/sql, the first that is there is taken
	example string   // what to import for one
	dsn     func(*location) (string, error)
}

var (
	postgres = engine{sqlstore.PostgreSQL, []string{"pgx", "postgres"}, "github.com/jackc/pgx/v5/stdlib", (*location).postgresDSN}
	mysql    = engine{sqlstore.MySQL, []string{"mysql"}, "github.com/go-sql-driver/mysql", (*location).mysqlDSN}
	sqlite   = engine{sqlstore.SQLite, []string{"sqlite", "sqlite3"}, "modernc.org/sqlite", (*location).sqliteDSN}
)

// sqlStore is a store that closes its pool.
type sqlStore struct {
	*sqlstore.Store
	pool *sql.DB
}

func (s *sqlStore) Close() error { return errors.Join(s.Store.Close(), s.pool.Close()) }

func openSQL(ctx context.Context, l *location) (core.Store, error) {
	e := engines[l.scheme]
	conns := cmp.Or(int(l.number("max_conns")), maxConns)
	cfg := sqlstore.Config{Dialect: e.dialect, Table: l.text("table"), SweepInterval: l.duration("sweep_interval")}
	driver, err := l.driver(e)
	if err != nil || l.err != nil {
		return nil, errors.Join(err, l.err)
	}
	dsn, err := e.dsn(l)
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("storeurl: %s: %w", l.scheme, err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	store, err := sqlstore.New(pool, cfg)
	if err == nil {
		err = pool.PingContext(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("storeurl: %s: %w", l.scheme, err)
	}
	return &sqlStore{store, pool}, nil
}

// driver returns the name of a driver that the program has.
func (l *location) driver(e engine) (string, error) {
	there := sql.Drivers()
	if name := l.text("driver"); name != "" {
		if !slices.Contains(there, name) {
			return "", refuse("the program has no driver of the name that parameter driver gives; it has: %s", strings.Join(there, ", "))
		}
		return name, nil
	}
	for _, name := range e.drivers {
		if slices.Contains(there, name) {
			return name, nil
		}
	}
	return "", refuse("the program has no driver for %s; import one, such as _ %q, or name it: ?driver=", l.scheme, e.example)
}

// postgresDSN is the URL without what is ours.
func (l *location) postgresDSN() (string, error) {
	u := url.URL{Scheme: "postgres", Host: l.host, Path: l.path, RawPath: l.escapedPath, RawQuery: strings.Join(l.rest, "&")}
	if u.Host == "" && u.Path == "" {
		u.Path = "/" // else there is no // in its text
	}
	switch {
	case l.password != "":
		u.User = url.UserPassword(l.user, l.password)
	case l.user != "":
		u.User = url.User(l.user)
	}
	return u.String(), nil
}

// mysqlDSN is user:password@tcp(host)/database?parameters, where user and
// password stand as they are.
func (l *location) mysqlDSN() (string, error) {
	if strings.Contains(l.user, ":") {
		return "", refuse("MySQL's driver takes no user with a colon")
	}
	var b strings.Builder
	if l.user != "" || l.password != "" {
		b.WriteString(l.user + ":" + l.password + "@")
	}
	switch {
	case l.text("socket") != "":
		b.WriteString("unix(" + l.text("socket") + ")")
	case l.host != "":
		b.WriteString("tcp(" + withPort(l.host, "3306") + ")")
	}
	b.WriteString("/" + url.PathEscape(strings.TrimPrefix(l.path, "/")))
	if len(l.rest) > 0 {
		// The driver looks for the last slash.
		b.WriteString("?" + strings.ReplaceAll(strings.Join(l.rest, "&"), "/", "%2F"))
	}
	return b.String(), nil
}

// sqliteDSN is the name of a file as SQLite's URIs have it.
func (l *location) sqliteDSN() (string, error) {
	if l.path == "" || strings.HasSuffix(l.path, "/") {
		return "", refuse("the URL names no file; write sqlite:///var/lib/app/sessions.db")
	}
	dsn := "file:" + l.escapedPath
	if len(l.rest) > 0 {
		dsn += "?" + strings.Join(l.rest, "&")
	}
	return dsn, nil
}
