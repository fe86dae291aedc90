package sqlstore

import (
	"strconv"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect int

// The dialects. There is no default.
const (
	// PostgreSQL is PostgreSQL 12 or later.
	PostgreSQL Dialect = iota + 1
	// MySQL is MySQL 8.0 or MariaDB 10.5, or later, with InnoDB.
	MySQL
	// SQLite is SQLite 3.24 or later; 3.35 to tell of what expired, see
	// [Store.NotifyExpired].
	SQLite
)

func (d Dialect) valid() bool { return d >= PostgreSQL && d <= SQLite }

// String returns the name.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// maxName leaves room for the suffixes of other names: PostgreSQL cuts them
// after 63 bytes.
const maxName = 40

// tableName reports whether name can be a table's.
func (d Dialect) tableName(name string) bool {
	if schema, table, found := strings.Cut(name, "."); found && d == PostgreSQL {
		return identifier(schema) && identifier(table)
	}
	return identifier(name)
}

func identifier(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// quote quotes a name, so that it is taken as it is written.
func (d Dialect) quote(name string) string {
	q := `"`
	if d == MySQL {
		q = "`"
	}
	return q + strings.ReplaceAll(name, ".", q+"."+q) + q
}

// unqualified is a table's name without its schema.
func unqualified(table string) string { return table[strings.LastIndexByte(table, '.')+1:] }

// render puts a table's names and the dialect's words into a text.
func (d Dialect) render(text, table string) string {
	greatest := "GREATEST"
	if d == SQLite {
		greatest = "max"
	}
	return strings.NewReplacer(
		"{table}", d.quote(table),
		"{locks}", d.quote(table+locksSuffix),
		"{expiry}", d.quote(unqualified(table)+expirySuffix),
		"{user}", d.quote(unqualified(table)+userSuffix),
		"{greatest}", greatest,
		"{head}", "substr(data, 1, "+strconv.Itoa(header)+")",
		"{listed}", strconv.Itoa(listed),
		"{watched}", strings.Repeat("?, ", watched-1)+"?",
	).Replace(text)
}

// bind numbers the parameters where the dialect wants that.
func (d Dialect) bind(text string) string {
	if d != PostgreSQL {
		return text
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// statements are what a store runs. Arguments are given in the order in which
// the parameters stand.
type statements struct {
	load, create, replace, update, touch    string
	deleteLive, deleteAny, deleteVersion    string
	version, listUser, list, count          string
	expire, expireTell                      string
	sweep, sweepFind, sweepFound            string
	sweepTell, sweepOne                     string
	lock, relock, renew, unlock, sweepLocks string
	locked, lockedMany                      string
}

// common are the statements that all dialects share.
var common = statements{
	load: "SELECT version, last_access, expires_at, data FROM {table} WHERE id = ?",
	update: "UPDATE {table} SET version = ?, user_id = ?, last_access = ?, expires_at = ?, data = ?" +
		" WHERE id = ? AND version = ? AND expires_at > ?",
	touch: "UPDATE {table} SET last_access = {greatest}(last_access, ?), expires_at = {greatest}(expires_at, ?)" +
		" WHERE id = ? AND expires_at > ?",
	deleteLive:    "DELETE FROM {table} WHERE id = ? AND expires_at > ?",
	deleteAny:     "DELETE FROM {table} WHERE id = ?",
	deleteVersion: "DELETE FROM {table} WHERE id = ? AND version = ? AND expires_at > ?",

	version:  "SELECT version FROM {table} WHERE id = ? AND expires_at > ?",
	listUser: "SELECT " + listedColumns + " FROM {table} WHERE user_id = ? AND expires_at > ?",
	list: "SELECT " + listedColumns + " FROM {table} WHERE id > ? AND expires_at > ?" +
		" ORDER BY id LIMIT {listed}",
	expire:     "DELETE FROM {table} WHERE id = ? AND expires_at <= ?",
	expireTell: "DELETE FROM {table} WHERE id = ? AND expires_at <= ? RETURNING " + listedColumns,

	count: "SELECT COUNT(*) FROM {table} WHERE expires_at > ?",

	renew:      "UPDATE {locks} SET expires_at = ? WHERE id = ? AND owner = ?",
	unlock:     "DELETE FROM {locks} WHERE id = ? AND owner = ?",
	sweepLocks: "DELETE FROM {locks} WHERE expires_at <= ?",
	locked:     "SELECT id FROM {locks} WHERE id = ? AND expires_at > ?",
	lockedMany: "SELECT id FROM {locks} WHERE id IN ({watched}) AND expires_at > ?",
}

const (
	listedColumns = "id, version, user_id, last_access, expires_at, {head}" // see row.columns

	insertRecord = "INTO {table} AS old (id, version, user_id, last_access, expires_at, data) VALUES (?, ?, ?, ?, ?, ?)"
	insertLock   = "INTO {locks} AS old (id, owner, expires_at) VALUES (?, ?, ?)"

	overExpiredRecord = " ON CONFLICT (id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id," +
		" last_access = excluded.last_access, expires_at = excluded.expires_at, data = excluded.data WHERE old.expires_at <= ?"
	overExpiredLock = " ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at" +
		" WHERE old.expires_at <= ?"
)

// statements returns the statements for a table and for sweeps of at most
// batch records at a time.
func (d Dialect) statements(table string, batch int) statements {
	q := common
	switch d {
	case PostgreSQL:
		q.create = "INSERT " + insertRecord + overExpiredRecord
		q.lock = "INSERT " + insertLock + overExpiredLock
		// SKIP LOCKED leaves to another node what it is removing already.
		// ARRAY makes sure that the subquery runs once.
		q.sweep = "DELETE FROM {table} WHERE id = ANY (ARRAY(SELECT id FROM {table}" +
			" WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
		q.sweepTell = q.sweep + " RETURNING " + listedColumns
	case SQLite:
		q.create = "INSERT " + insertRecord + overExpiredRecord
		q.lock = "INSERT " + insertLock + overExpiredLock
		q.sweep = "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}" +
			" WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?)"
		q.sweepTell = q.sweep + " RETURNING " + listedColumns
	case MySQL:
		// ON DUPLICATE KEY UPDATE would not tell, with clientFoundRows, a
		// row inserted from one left alone. IGNORE makes a taken key no
		// error; nothing else that it forgives can happen, as no value is
		// too long for its column.
		q.create = "INSERT IGNORE " + strings.Replace(insertRecord, " AS old", "", 1)
		q.replace = "UPDATE {table} SET version = ?, user_id = ?, last_access = ?, expires_at = ?, data = ? WHERE id = ? AND expires_at <= ?"
		q.lock = "INSERT IGNORE " + strings.Replace(insertLock, " AS old", "", 1)
		q.relock = "UPDATE {locks} SET owner = ?, expires_at = ? WHERE id = ? AND expires_at <= ?"
		// A DELETE along the index of expiry locks the gap at the end of
		// its range, where requests write. By primary key, in order, it
		// meets nobody; the sums keep the optimizer off that index.
		q.sweepFind = "SELECT id FROM {table} WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
		q.sweepFound = "DELETE FROM {table} WHERE expires_at + 0 >= ? AND expires_at + 0 < ? AND id IN (" +
			strings.Repeat("?, ", batch-1) + "?)"
		q.expireTell = "SELECT " + listedColumns + " FROM {table} WHERE id = ? AND expires_at <= ?"
		q.sweepTell = "SELECT " + listedColumns + " FROM {table} WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
		q.sweepOne = "DELETE FROM {table} WHERE id = ? AND expires_at >= ? AND expires_at < ?"
	}
	for _, s := range q.all() {
		*s.text = d.bind(d.render(*s.text, table))
	}
	return q
}

// all are the statements by name.
func (q *statements) all() []struct {
	name string
	text *string
} {
	return []struct {
		name string
		text *string
	}{
		{"load", &q.load}, {"create", &q.create}, {"replace", &q.replace}, {"update", &q.update}, {"touch", &q.touch},
		{"deleteLive", &q.deleteLive}, {"deleteAny", &q.deleteAny}, {"deleteVersion", &q.deleteVersion},
		{"version", &q.version}, {"listUser", &q.listUser}, {"list", &q.list}, {"count", &q.count},
		{"expire", &q.expire}, {"expireTell", &q.expireTell}, {"sweepTell", &q.sweepTell}, {"sweepOne", &q.sweepOne},
		{"sweep", &q.sweep}, {"sweepFind", &q.sweepFind}, {"sweepFound", &q.sweepFound},
		{"lock", &q.lock}, {"relock", &q.relock}, {"renew", &q.renew}, {"unlock", &q.unlock}, {"sweepLocks", &q.sweepLocks},
		{"locked", &q.locked}, {"lockedMany", &q.lockedMany},
	}
}
