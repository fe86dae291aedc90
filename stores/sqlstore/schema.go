package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrSchema means that the database lacks something that the store needs. The
// error names it. Call [Store.Migrate], or run the statements of
// [Store.Schema]; if columns are missing, the table is another's: choose
// another [Config].Table.
var ErrSchema = errors.New("sqlstore: the database lacks what the store needs; call Migrate")

const (
	locksSuffix  = "_locks"
	expirySuffix = "_expires_at_idx"
	userSuffix   = "_user_id_idx"

	maxMigrations = 8 // attempts
)

// object is one thing that a store needs in its database. A new version of the
// schema is a new object at the end of the list, with the statement that adds
// it to a database of any version before: a column that may be NULL or has a
// default, an index, a table. Nothing is ever changed or removed, so that
// processes of the old version go on beside the new.
type object struct {
	table string
	// kind and name are of a column or an index; both are empty for the
	// table itself.
	kind, name string
	// add is "" for what comes with its table.
	add string
}

func (o object) String() string {
	if o.kind == "" {
		return "table " + o.table
	}
	return o.kind + " " + o.name + " of table " + o.table
}

// ddl is what makes each object, by dialect. Users are bytes everywhere: their
// order and equality must not depend on a collation. Where an index can leave
// out rows, that of users leaves out sessions without one.
var ddl = map[Dialect]struct{ records, expiry, user, locks string }{
	PostgreSQL: {
		records: `CREATE TABLE IF NOT EXISTS {table} (
	id TEXT COLLATE "C" PRIMARY KEY,
	version BIGINT NOT NULL,
	user_id BYTEA,
	last_access BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	data BYTEA NOT NULL
)`,
		expiry: `CREATE INDEX IF NOT EXISTS {expiry} ON {table} (expires_at)`,
		user:   `CREATE INDEX IF NOT EXISTS {user} ON {table} (user_id) WHERE user_id IS NOT NULL`,
		locks: `CREATE TABLE IF NOT EXISTS {locks} (
	id TEXT COLLATE "C" PRIMARY KEY,
	owner TEXT NOT NULL,
	expires_at BIGINT NOT NULL
)`,
	},
	MySQL: {
		records: `CREATE TABLE IF NOT EXISTS {table} (
	id CHAR(22) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
	version BIGINT NOT NULL,
	user_id VARBINARY(255),
	last_access BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	data MEDIUMBLOB NOT NULL
) ENGINE=InnoDB`,
		expiry: `CREATE INDEX {expiry} ON {table} (expires_at)`,
		user:   `CREATE INDEX {user} ON {table} (user_id)`,
		locks: `CREATE TABLE IF NOT EXISTS {locks} (
	id CHAR(22) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
	owner CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	expires_at BIGINT NOT NULL
) ENGINE=InnoDB`,
	},
	SQLite: {
		records: `CREATE TABLE IF NOT EXISTS {table} (
	id TEXT PRIMARY KEY NOT NULL,
	version INTEGER NOT NULL,
	user_id BLOB,
	last_access INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	data BLOB NOT NULL
)`,
		expiry: `CREATE INDEX IF NOT EXISTS {expiry} ON {table} (expires_at)`,
		user:   `CREATE INDEX IF NOT EXISTS {user} ON {table} (user_id) WHERE user_id IS NOT NULL`,
		locks: `CREATE TABLE IF NOT EXISTS {locks} (
	id TEXT PRIMARY KEY NOT NULL,
	owner TEXT NOT NULL,
	expires_at INTEGER NOT NULL
)`,
	},
}

// objects are all things that the store needs, in the order of their making.
func (s *Store) objects() []object {
	table, locks, text := s.table, s.table+locksSuffix, ddl[s.dialect]
	all := []object{{table: table, add: text.records}}
	for _, name := range []string{"id", "version", "user_id", "last_access", "expires_at", "data"} {
		all = append(all, object{table: table, kind: "column", name: name})
	}
	all = append(all,
		object{table: table, kind: "index", name: unqualified(table) + expirySuffix, add: text.expiry},
		object{table: table, kind: "index", name: unqualified(table) + userSuffix, add: text.user},
		object{table: locks, add: text.locks})
	for _, name := range []string{"id", "owner", "expires_at"} {
		all = append(all, object{table: locks, kind: "column", name: name})
	}
	for i := range all {
		all[i].add = s.dialect.render(all[i].add, table)
	}
	return all
}

// Schema returns the statements that make everything the store needs in an
// empty database, in order, for those who keep their schema by other means.
// They are what [Store.Migrate] runs.
func (s *Store) Schema() []string {
	var out []string
	for _, o := range s.objects() {
		if o.add != "" {
			out = append(out, o.add)
		}
	}
	return out
}

// Check reports whether the database has everything that the store needs, or
// an error that wraps [ErrSchema] and names what is missing. It changes
// nothing. Call it at start if another hand keeps the schema.
func (s *Store) Check(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if err != nil {
		return err
	}
	return schemaError(missing)
}

func schemaError(missing []object) error {
	if len(missing) == 0 {
		return nil
	}
	names := make([]string, len(missing))
	for i, o := range missing {
		names[i] = o.String()
	}
	return fmt.Errorf("%w: missing: %s", ErrSchema, strings.Join(names, ", "))
}

// Migrate adds what the database lacks: tables, columns, indexes. It never
// changes or removes anything, so it may run at every start, on all nodes at
// once, beside nodes of an older version. A table of the same name that is not
// the store's is left alone: [ErrSchema].
//
// To add an index to a large table without holding up its writers, make it by
// hand first, with the text from [Store.Schema] and the engine's own means, such
// as CREATE INDEX CONCURRENTLY; Migrate then finds it.
func (s *Store) Migrate(ctx context.Context) error {
	var failed error
	for range maxMigrations {
		missing, err := s.missing(ctx)
		if err != nil || len(missing) == 0 {
			return err
		}
		if slices.ContainsFunc(missing, func(o object) bool { return o.add == "" }) {
			return schemaError(missing)
		}
		// Another node may be doing the same. Whoever comes second may fail
		// even where the statement says IF NOT EXISTS, so look again.
		if failed = s.add(ctx, missing); failed == nil {
			failed = schemaError(missing)
		}
	}
	return failed
}

func (s *Store) add(ctx context.Context, missing []object) error {
	for _, o := range missing {
		if _, err := s.exec(ctx, "migrate: "+o.String(), o.add); err != nil {
			return err
		}
	}
	return nil
}

// missing asks the engine's catalog. Columns and indexes of a missing table are
// missing with it, but only the indexes are listed: the columns come with it.
func (s *Store) missing(ctx context.Context) ([]object, error) {
	var missing []object
	var table string
	var columns, indexes []string
	for _, o := range s.objects() {
		var err error
		if o.table != table {
			table = o.table
			if columns, err = s.names(ctx, catalog[s.dialect].columns, table); err != nil {
				return nil, err
			}
			if indexes, err = s.names(ctx, catalog[s.dialect].indexes, table); err != nil {
				return nil, err
			}
		}
		switch {
		case o.kind == "" && len(columns) > 0,
			o.kind == "column" && (len(columns) == 0 || slices.Contains(columns, o.name)),
			o.kind == "index" && slices.Contains(indexes, o.name):
		default:
			missing = append(missing, o)
		}
	}
	return missing, nil
}

// names runs a query of the catalog about a table.
func (s *Store) names(ctx context.Context, query, table string) ([]string, error) {
	if s.dialect == PostgreSQL {
		table = s.dialect.quote(table)
	}
	return collect(ctx, s, "check", query, []any{table}, func(name *string) []any { return []any{name} })
}

// catalog is where an engine tells what there is.
var catalog = map[Dialect]struct{ columns, indexes string }{
	PostgreSQL: {
		"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
		"SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = to_regclass($1) AND indisvalid",
	},
	MySQL: {
		"SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?",
		"SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ?",
	},
	SQLite: {
		"SELECT name FROM pragma_table_info(?)",
		"SELECT name FROM pragma_index_list(?)",
	},
}

// Drop removes the store's tables and every session in them. It is no error if
// they are not there.
func (s *Store) Drop(ctx context.Context) error {
	for _, table := range []string{s.table, s.table + locksSuffix} {
		if _, err := s.exec(ctx, "drop", "DROP TABLE IF EXISTS "+s.dialect.quote(table)); err != nil {
			return err
		}
	}
	return nil
}
