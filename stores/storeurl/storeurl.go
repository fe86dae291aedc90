// Package storeurl opens the store that a URL names, for programs whose store is
// a matter of configuration:
//
//	store, err := storeurl.Open(ctx, os.Getenv("SESSION_STORE"))
//	...
//	sessions, err := core.New(core.Config{Store: store, Secrets: secrets})
//	err = sessions.Migrate(ctx) // the tables, if it is SQL
//
// The store owns what was opened for it: [core.Manager.Close] closes the
// connections too.
//
//	memory://
//	file:///var/lib/app/sessions?create=1
//	redis://user:password@localhost:6379/0?prefix=shop
//	rediss://user:password@redis.internal?prefix=shop
//	postgres://user:password@localhost/app?sslmode=require
//	mysql://user:password@localhost/app
//	sqlite:///var/lib/app/sessions.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100)
//
// User, password and path are percent-encoded, as in every URL. A URL that cannot
// be understood is an error that wraps [core.ErrConfig]. No error of this package
// quotes a password.
//
// # Parameters
//
// They are the fields of the stores' Config, with the same defaults. A duration is
// written as 90s or 5m, a boolean as 1 or 0. An unknown parameter is an error:
// most likely it is misspelt.
//
//	memory          max_sessions, max_bytes, sweep_interval
//	file            create, no_sync, sweep_interval
//	redis, rediss   prefix (required), addr, master_set, socket
//	SQL             table, sweep_interval, max_conns, driver; mysql: socket
//
// For Redis, addr is another node of a Cluster, or another Sentinel, and may be
// repeated; master_set is the name that Sentinels know the master by. The scheme
// rediss means TLS. The path is the number of the database. A socket, for Redis and
// MySQL, is a file to connect to in place of a host:
//
//	redis:///0?prefix=shop&socket=/run/redis.sock
//
// # SQL
//
// The schemes are postgres or postgresql, mysql or mariadb, and sqlite. The program
// imports a driver, as always with database/sql; this package imports none. It
// looks for one that is registered as pgx, postgres, mysql, sqlite or sqlite3, or
// takes the one that the parameter driver names. The pool has at most max_conns
// connections, 16 by default.
//
// All other parameters are passed to the driver. A server refuses those that it
// does not know. SQLite would ignore them, so here they are errors, except its own
// and those that begin with an underscore.
//
// # What it costs
//
// The program contains every store, the Redis client included: some 2 MB more than
// with one of the others. A program that will only ever use one store calls the New
// of that one.
package storeurl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/filestore"
	"github.com/coatcheck/sessions/stores/memorystore"
)

// schemes tells how to open what the scheme of a URL names, and which parameters
// that takes.
var schemes = map[string]struct {
	open   func(context.Context, *location) (core.Store, error)
	params []string
	server bool // the URL names one, by host, user and password
}{
	"memory":     {openMemory, []string{"max_sessions", "max_bytes", "sweep_interval"}, false},
	"file":       {openFile, []string{"create", "no_sync", "sweep_interval"}, false},
	"redis":      {openRedis, redisParams, true},
	"rediss":     {openRedis, redisParams, true},
	"postgres":   {openSQL, sqlParams, true},
	"postgresql": {openSQL, sqlParams, true},
	"mysql":      {openSQL, mysqlParams, true},
	"mariadb":    {openSQL, mysqlParams, true},
	"sqlite":     {openSQL, sqlParams, false},
}

// Open opens the store that a URL names, and sees whether its server answers
// before ctx ends. It does not look at the schema: see [core.Manager.Migrate] and
// [core.Manager.Check]. Close the store, or the manager over it, in the end.
func Open(ctx context.Context, url string) (core.Store, error) {
	l, err := parse(url)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("storeurl: %w", err)
	}
	store, err := schemes[l.scheme].open(ctx, l)
	if err != nil {
		return nil, l.redact(err)
	}
	return store, nil
}

func openMemory(_ context.Context, l *location) (core.Store, error) {
	if l.path != "" {
		return nil, refuse("memory:// takes no path")
	}
	cfg := memorystore.Config{
		MaxSessions:   int(l.number("max_sessions")),
		MaxBytes:      l.number("max_bytes"),
		SweepInterval: l.duration("sweep_interval"),
	}
	if l.err != nil {
		return nil, l.err
	}
	return memorystore.New(cfg), nil
}

func openFile(_ context.Context, l *location) (core.Store, error) {
	cfg := filestore.Config{
		Dir:           l.path,
		Create:        l.yes("create"),
		NoSync:        l.yes("no_sync"),
		SweepInterval: l.duration("sweep_interval"),
	}
	if l.err != nil {
		return nil, l.err
	}
	if l.path == "" || l.path == "/" {
		return nil, refuse("the URL names no directory; write file:///var/lib/app/sessions")
	}
	return filestore.New(cfg)
}

// known are the schemes.
func known() string { return strings.Join(slices.Sorted(maps.Keys(schemes)), ", ") }

// refuse is an error about the URL.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: storeurl: "+format, append([]any{core.ErrConfig}, args...)...)
}

// redact takes the password out of the text of an error, in all its spellings:
// drivers quote what they were given.
func (l *location) redact(err error) error {
	text := err.Error()
	slices.SortFunc(l.secrets, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	for _, secret := range l.secrets {
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// redacted is an error without the password in its text.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }

// Is and As see through it; the error inside is not handed out, since its text
// quotes the password.
func (e *redacted) Is(target error) bool { return errors.Is(e.err, target) }
func (e *redacted) As(target any) bool   { return errors.As(e.err, target) }
