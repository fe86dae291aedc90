// Package sqlstore keeps sessions in a SQL database: PostgreSQL, MySQL, MariaDB
// or SQLite. It speaks database/sql and brings no driver.
//
//	db, err := sql.Open("pgx", "postgres://localhost/app")
//	store, err := sqlstore.New(db, sqlstore.Config{Dialect: sqlstore.PostgreSQL})
//	err = store.Migrate(ctx) // or Check(ctx), where another hand keeps the schema
//	sessions, err := core.New(core.Config{Store: store, Secrets: secrets})
//
// Any number of processes may use one table at once. A session that one of them
// writes, the others read, merge, list and end at once.
//
// # Statements
//
// Each verb is one statement by primary key, outside any transaction. Update
// names the version it was made from, and the number of rows affected decides.
// Only a verb that finds no row costs a second statement: to tell a conflict
// from an absent record, or to make sure that what was deleted is gone. Every
// value is a parameter.
//
// The store expects the database's default isolation, but is right under every
// other: a statement that the engine rolled back because of another (SQLSTATE
// 40001 and 40P01: a stricter isolation, a deadlock, a Galera cluster) is
// repeated a few times. All statements must go to the primary: a replica that
// lags would serve sessions that were ended.
//
// # Connections
//
// The pool is the caller's, and so are its limits: [sql.DB.SetMaxOpenConns] and
// [sql.DB.SetMaxIdleConns], of which the second, 2 by default, should not be
// far below the first. [Store.Close] leaves the pool open.
//
//   - PostgreSQL, tested with github.com/jackc/pgx/v5/stdlib, which prepares
//     statements by itself. Through a pooler in transaction mode choose a mode
//     without, such as default_query_exec_mode=exec.
//   - MySQL and MariaDB, tested with github.com/go-sql-driver/mysql. The store
//     prepares each statement once for each connection. clientFoundRows may be
//     on or off. A session must fit into the server's max_allowed_packet.
//   - SQLite, tested with modernc.org/sqlite. The store prepares statements
//     here too, and lets its writers queue up. Readers go on beside a writer
//     with a write-ahead log; a short busy timeout covers other processes. For
//     modernc.org/sqlite:
//     file:sessions.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(100).
//     No driver ends a busy wait with its context, so a long one delays that.
//     A database in memory needs SetMaxOpenConns(1).
//
// # Time
//
// [Config].Clock decides what has expired, not the database's clock. The clocks
// of all nodes should agree to within a second or so (NTP): a session ends that
// much early or late on a node whose clock is off.
//
// # Durability
//
// What a verb reported is as durable as the engine makes a commit: for
// PostgreSQL see synchronous_commit, for InnoDB innodb_flush_log_at_trx_commit,
// for SQLite the pragma synchronous.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/internal/expiry"
)

// Config describes a [Store]. Only Dialect is required.
type Config struct {
	// Dialect is the SQL that the database speaks. Required.
	Dialect Dialect
	// Table is the name of the table: a letter or underscore, then letters,
	// digits and underscores, at most 40 in all; in PostgreSQL after the name
	// of a schema and a dot, if wanted. Stores with different tables in one
	// database know nothing of each other. Default: "sessions".
	Table string
	// SweepInterval is how often this store removes expired records, give or
	// take a half. It begins with the first Create and ends with
	// [Store.Close]. Of all nodes that use the table, one sweeps at a time, and
	// for the next half of the interval no other. Negative: never; call
	// [Store.Sweep] from elsewhere. Default: 5 minutes.
	SweepInterval time.Duration
	// SweepBatch is how many records one statement of a sweep removes at
	// most. Default: 500.
	SweepBatch int
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
	// Logger is told of sweeps that failed. Default: slog.Default.
	Logger *slog.Logger
}

const (
	defaultTable         = "sessions"
	defaultSweepInterval = 5 * time.Minute
	defaultSweepBatch    = 500
	maxSweepBatch        = 10_000

	maxUser = 255       // bytes: what core lets pass, and the width of MySQL's column
	maxData = 1<<24 - 1 // bytes: the width of MySQL's column
	maxRuns = 8         // of a statement that the engine rolls back
	listed  = 500       // records per statement of List
	header  = 512       // bytes of a stored record that hold all but its Values
)

// Store is a [core.Store] in a SQL database. Make one with [New]; it is safe
// for concurrent use.
type Store struct {
	db      *sql.DB
	dialect Dialect
	table   string
	sql     statements
	clock   func() time.Time
	batch   int
	sweeper *sweeper
	queues  queues
	watcher *watcher
	told    expiry.Listeners // of records that expired

	prepared sync.Map      // from a text to its *sql.Stmt
	writer   chan struct{} // has room for one; nil where many can write
}

var (
	_ core.Store          = (*Store)(nil)
	_ core.UserLister     = (*Store)(nil)
	_ core.Lister         = (*Store)(nil)
	_ core.Counter        = (*Store)(nil)
	_ core.Sweeper        = (*Store)(nil)
	_ core.VersionDeleter = (*Store)(nil)
	_ core.Locker         = (*Store)(nil)
	_ core.Expirer        = (*Store)(nil)
	_ core.Checker        = (*Store)(nil)
	_ core.Migrator       = (*Store)(nil)
)

// New returns a store over db. It does not touch the database: call
// [Store.Migrate] or [Store.Check] before the first use. An error wraps
// [core.ErrConfig] and names the field.
func New(db *sql.DB, cfg Config) (*Store, error) {
	bad := func(format string, args ...any) (*Store, error) {
		return nil, fmt.Errorf("%w: sqlstore: "+format, append([]any{core.ErrConfig}, args...)...)
	}
	if db == nil {
		return bad("db is nil; use sql.Open")
	}
	if cfg.Table == "" {
		cfg.Table = defaultTable
	}
	if cfg.SweepInterval == 0 {
		cfg.SweepInterval = defaultSweepInterval
	}
	if cfg.SweepBatch == 0 {
		cfg.SweepBatch = defaultSweepBatch
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	switch {
	case !cfg.Dialect.valid():
		return bad("Dialect is %v; use PostgreSQL, MySQL or SQLite", cfg.Dialect)
	case !cfg.Dialect.tableName(cfg.Table):
		return bad("Table is %q; use at most %d letters, digits and underscores, the first no digit, in PostgreSQL after a schema and a dot if wanted", cfg.Table, maxName)
	case cfg.SweepInterval > 0 && cfg.SweepInterval < time.Millisecond:
		return bad("SweepInterval is %v; use seconds or more", cfg.SweepInterval)
	case cfg.SweepBatch < 0 || cfg.SweepBatch > maxSweepBatch:
		return bad("SweepBatch is %d; use 1 to %d", cfg.SweepBatch, maxSweepBatch)
	}
	s := &Store{
		db:      db,
		dialect: cfg.Dialect,
		table:   cfg.Table,
		sql:     cfg.Dialect.statements(cfg.Table, cfg.SweepBatch),
		clock:   cfg.Clock,
		batch:   cfg.SweepBatch,
		sweeper: newSweeper(cfg.SweepInterval, cfg.Logger),
	}
	s.watcher = newWatcher(s.locked)
	if s.dialect == SQLite {
		s.writer = make(chan struct{}, 1)
	}
	return s, nil
}

// Close ends the sweeping, waits for one under way, ends the waits for locks of
// other processes, and gives up the prepared statements: the store is of no use
// afterwards. The pool stays open. Calling Close again does nothing.
func (s *Store) Close() error {
	s.sweeper.close()
	s.watcher.close()
	s.closeStatements()
	return nil
}

// String names the store without its database.
func (s *Store) String() string { return "sqlstore.Store(" + s.dialect.String() + " " + s.table + ")" }

func (s *Store) now() int64 { return s.clock().UnixMilli() }

// Load returns the live record of id: [core.ErrNotFound], [core.ErrExpired],
// [core.ErrCorrupt].
func (s *Store) Load(ctx context.Context, id core.ID) (core.Record, error) {
	r := row{id: id.String()}
	err := s.query(ctx, "load", s.sql.load, []any{r.id}, &r.version, &r.access, &r.expires, &r.data)
	if err != nil {
		return core.Record{}, err
	}
	if r.expires <= s.now() {
		return core.Record{}, core.ErrExpired
	}
	return r.record()
}

// Create stores a new record: [core.ErrExists]. A user of more than 255 bytes,
// or a record beyond 16 MB, is a [*core.TooLargeError].
func (s *Store) Create(ctx context.Context, rec core.Record) error {
	data, err := encode(rec)
	if err != nil {
		return err
	}
	s.sweeper.start(s)
	created, err := s.claim(ctx, "create", s.sql.create, s.sql.replace,
		[]any{rec.ID.String()},
		[]any{int64(rec.Version), user(rec.User), rec.LastAccess.UnixMilli(), rec.ExpiresAt.UnixMilli(), data})
	if err == nil && !created {
		err = core.ErrExists
	}
	return err
}

// Update replaces the live record of version rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict]. Its limits are those of Create.
func (s *Store) Update(ctx context.Context, rec core.Record) error {
	data, err := encode(rec)
	if err != nil {
		return err
	}
	now, from := s.now(), rec.Version-1
	n, err := s.exec(ctx, "update", s.sql.update,
		int64(rec.Version), user(rec.User), rec.LastAccess.UnixMilli(), rec.ExpiresAt.UnixMilli(), data,
		rec.ID.String(), int64(from), now)
	if err == nil && n == 0 {
		err = s.missed(ctx, "update", rec.ID, from, now)
	}
	return err
}

// Touch moves the times of a live record forward: [core.ErrNotFound].
func (s *Store) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	now := s.now()
	n, err := s.exec(ctx, "touch", s.sql.touch, access.UnixMilli(), expires.UnixMilli(), id.String(), now)
	if err != nil || n > 0 {
		return err
	}
	if s.dialect == MySQL {
		// It counts the rows that changed, unless clientFoundRows is set.
		_, err = s.version(ctx, "touch", id, now)
		return err
	}
	return core.ErrNotFound
}

// Delete removes a record and reports whether it was live.
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	n, err := s.exec(ctx, "delete", s.sql.deleteLive, id.String(), s.now())
	if err != nil || n > 0 {
		return n > 0, err
	}
	if s.told.Any() {
		if err := s.Expire(ctx, id); err != nil {
			return false, err
		}
	}
	// By a clock that is behind this one it may be live still, and be
	// prolonged at this moment: it goes in any case.
	_, err = s.exec(ctx, "delete", s.sql.deleteAny, id.String())
	return false, err
}

// DeleteVersion removes a live record of this version: [core.ErrNotFound],
// [core.ErrConflict].
func (s *Store) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	now := s.now()
	n, err := s.exec(ctx, "delete", s.sql.deleteVersion, id.String(), int64(version), now)
	if err == nil && n == 0 {
		err = s.missed(ctx, "delete", id, version, now)
	}
	return err
}

// missed tells why a statement found no live record of a version.
func (s *Store) missed(ctx context.Context, verb string, id core.ID, version uint64, now int64) error {
	got, err := s.version(ctx, verb, id, now)
	if err != nil {
		return err
	}
	if got == version {
		return core.ErrNotFound // it was created after the statement had run
	}
	return core.ErrConflict
}

// version returns the version of the live record of id, or ErrNotFound.
func (s *Store) version(ctx context.Context, verb string, id core.ID, now int64) (uint64, error) {
	var version int64
	err := s.query(ctx, verb, s.sql.version, []any{id.String(), now}, &version)
	return uint64(version), err
}

// claim inserts a row, unless a live one has its key, and reports whether it
// did. An expired one it replaces: where there is a statement replace, with
// that, otherwise insert does both.
func (s *Store) claim(ctx context.Context, verb, insert, replace string, key, values []any) (bool, error) {
	now := s.now()
	both := slices.Concat(key, values)
	if replace == "" {
		n, err := s.exec(ctx, verb, insert, append(both, now)...)
		return n > 0, err
	}
	n, err := s.exec(ctx, verb, insert, both...)
	if err != nil || n > 0 {
		return n > 0, err
	}
	n, err = s.exec(ctx, verb, replace, append(slices.Concat(values, key), now)...)
	if err != nil || n > 0 {
		return n > 0, err
	}
	// It is live, or was removed a moment ago.
	n, err = s.exec(ctx, verb, insert, both...)
	return n > 0, err
}

// row is a record as its columns hold it. What Touch moves is in columns alone,
// so they overrule the stored form.
type row struct {
	id                       string
	version, access, expires int64
	user, data               []byte
}

func (r *row) record() (rec core.Record, err error) {
	if err = rec.UnmarshalBinary(r.data); err != nil {
		return core.Record{}, fmt.Errorf("sqlstore: %w", err)
	}
	if rec.ID.String() != r.id {
		return core.Record{}, fmt.Errorf("sqlstore: %w: the row of another", core.ErrCorrupt)
	}
	rec.Version, rec.LastAccess, rec.ExpiresAt = uint64(r.version), instant(r.access), instant(r.expires)
	return rec, nil
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// user is a column's value: an opaque string is bytes, and nobody is NULL.
func user(u string) any {
	if u == "" {
		return nil
	}
	return []byte(u)
}

func encode(rec core.Record) ([]byte, error) {
	if len(rec.User) > maxUser {
		return nil, &core.TooLargeError{What: "user", Size: len(rec.User), Limit: maxUser}
	}
	data, err := rec.MarshalBinary()
	if len(data) > maxData {
		return nil, &core.TooLargeError{What: "session", Size: len(data), Limit: maxData}
	}
	return data, err
}

// exec runs a statement and returns how many rows it affected.
func (s *Store) exec(ctx context.Context, verb, query string, args ...any) (n int64, err error) {
	err = s.run(ctx, verb, func() error {
		done, err := s.turn(ctx)
		if err != nil {
			return err
		}
		defer done()
		res, err := s.execContext(ctx, query, args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	return n, err
}

// query runs a query for one row: ErrNotFound if there is none.
func (s *Store) query(ctx context.Context, verb, query string, args []any, dest ...any) error {
	return s.run(ctx, verb, func() error {
		rows, err := s.queryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return cmp.Or(rows.Err(), core.ErrNotFound)
		}
		return cmp.Or(rows.Scan(dest...), rows.Close())
	})
}

// collect runs a query for any number of rows; columns tells where those of
// one row go.
func collect[T any](ctx context.Context, s *Store, verb, query string, args []any, columns func(*T) []any) (all []T, err error) {
	err = s.run(ctx, verb, func() error {
		rows, err := s.queryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for all = nil; rows.Next(); {
			var one T
			if err := rows.Scan(columns(&one)...); err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	return all, err
}

// run calls fn again while the engine did nothing and asks to try again, and
// names the verb in its error. No value of a session is in the text that it adds.
func (s *Store) run(ctx context.Context, verb string, fn func() error) error {
	begun := time.Now()
	for n := 1; ; n++ {
		err := fn()
		switch {
		case err == nil, err == core.ErrNotFound:
			return err
		case n < maxRuns && ctx.Err() == nil && rolledBack(err):
		case time.Since(begun) < maxBusy && ctx.Err() == nil && s.busy(err):
			pause(ctx, 5*time.Millisecond)
		case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
			// Some drivers tell of a lost connection instead.
			return fmt.Errorf("sqlstore: %s: %w (%w)", verb, ctx.Err(), err)
		default:
			return fmt.Errorf("sqlstore: %s: %w", verb, err)
		}
	}
}

// rolledBack reports whether the engine undid a statement because of another
// and asks to repeat it.
func rolledBack(err error) bool {
	var e interface{ SQLState() string } // both drivers for PostgreSQL have it
	if errors.As(err, &e) {
		return e.SQLState() == "40001" || e.SQLState() == "40P01"
	}
	// github.com/go-sql-driver/mysql tells it in the text alone.
	return strings.HasPrefix(err.Error(), "Error 1213 (40001)")
}
