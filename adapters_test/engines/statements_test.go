package engines

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/adapters_test/engines/internal/servers"
	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
	"github.com/coatcheck/sessions/stores/storetest"
)

// What a driver can be told in its DSN must not change what the store does.
func TestDriverModes(t *testing.T) {
	run := func(d database, name, dsn string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
				return d.store(t, d.open(t, dsn), sqlstore.Config{Clock: clock})
			})
		})
	}
	plain, _, _ := strings.Cut(servers.MariaDB(t).URL(), "?")
	var version string
	if err := mariadb.open(t, plain).QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	isolation := "transaction_isolation" // in MySQL
	if strings.Contains(version, "MariaDB") {
		isolation = "tx_isolation"
	}
	run(mariadb, "MariaDB/clientFoundRows", plain+"?clientFoundRows=true")
	run(mariadb, "MariaDB/interpolateParams", plain+"?interpolateParams=true&charset=latin1")
	run(mariadb, "MariaDB/serializable", plain+"?"+isolation+"=%27SERIALIZABLE%27&sql_mode=%27%27")
	pg := servers.Postgres(t).URL()
	run(postgres, "PostgreSQL/simple", pg+"&default_query_exec_mode=simple_protocol")
	run(postgres, "PostgreSQL/serializable", pg+"&default_transaction_isolation=serializable")
}

// The statements that look for records by user or by expiry go by an index, not
// through the table, and those of the requests by the primary key.
// Fails without either index.
func TestIndexes(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, db, table := t.Context(), d.open(t, d.dsn(t)), newTable()
		s := d.store(t, db, sqlstore.Config{Table: table})
		for i := range 3000 {
			rec := newRecord(i, fmt.Sprintf("user %d", i))
			rec.ExpiresAt = rec.ExpiresAt.Add(time.Duration(i) * time.Minute)
			create(t, s, rec)
			if _, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s_locks VALUES ('%s', 'somebody', %d)", table, rec.ID, i)); err != nil {
				t.Fatal(err)
			}
		}
		analyze := map[sqlstore.Dialect]string{sqlstore.MySQL: "ANALYZE TABLE "}[d.dialect]
		if analyze == "" {
			analyze = "ANALYZE "
		}
		for _, table := range []string{table, table + "_locks"} {
			if _, err := db.ExecContext(ctx, analyze+table); err != nil {
				t.Fatal(err)
			}
		}
		user, expiry := table+"_user_id_idx", table+"_expires_at_idx"
		primary := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: table + "_pkey", sqlstore.MySQL: "PRIMARY", sqlstore.SQLite: "sqlite_autoindex_" + table + "_1"}[d.dialect]
		primaryOfLocks := strings.Replace(primary, table, table+"_locks", 1)
		bytes := map[sqlstore.Dialect]string{sqlstore.SQLite: "x'6162'"}[d.dialect]
		if bytes == "" {
			bytes = "'ab'"
		}
		ids := []string{"'" + newRecord(1, "").ID.String() + "'", "'" + newRecord(2, "").ID.String() + "'"}
		for statement, index := range map[string]string{
			"SELECT id FROM %s WHERE user_id = " + bytes + " AND expires_at > 1":                                                                      user,
			"SELECT id FROM %s WHERE expires_at >= 1 AND expires_at < 2 ORDER BY expires_at LIMIT 500":                                                expiry,
			"UPDATE %s SET version = 2 WHERE id = " + ids[0] + " AND version = 1 AND expires_at > 1":                                                  primary,
			"DELETE FROM %s WHERE expires_at + 0 >= 1 AND expires_at + 0 < 99999999999999 AND id IN (" + ids[0] + ", " + ids[1] + ", " + ids[1] + ")": primary,
			"SELECT id FROM %s_locks WHERE id IN (" + ids[0] + ", " + ids[1] + ") AND expires_at > 1":                                                 primaryOfLocks,
		} {
			statement = fmt.Sprintf(statement, table)
			if plan := explain(t, db, d, statement); !strings.Contains(plan, index) {
				t.Errorf("%s does not go by %s:\n%s", statement, index, plan)
			}
		}
	})
}

// explain returns the plan of a statement.
func explain(t *testing.T, db *sql.DB, d database, statement string) string {
	t.Helper()
	how := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "EXPLAIN ", sqlstore.MySQL: "EXPLAIN ", sqlstore.SQLite: "EXPLAIN QUERY PLAN "}[d.dialect]
	rows, err := db.QueryContext(t.Context(), how+statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var plan strings.Builder
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(sql.NullString)
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		for _, c := range cells {
			plan.WriteString(c.(*sql.NullString).String + " ")
		}
		plan.WriteByte('\n')
	}
	return plan.String()
}

// Feature B26: a sweep goes in batches, nodes that sweep at once share the work
// and remove nothing twice, and sessions in use are not disturbed meanwhile.
func TestSweepTogether(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const expired, live, nodes = 2000, 20, 3
		ctx, table, dsn := t.Context(), newTable(), d.dsn(t)
		var stores []*sqlstore.Store
		for range nodes {
			stores = append(stores, d.store(t, d.open(t, dsn), sqlstore.Config{Table: table, SweepBatch: 50}))
		}
		for i := range expired {
			rec := newRecord(i, "ann")
			rec.ExpiresAt = rec.CreatedAt.Add(-time.Second - time.Duration(i)*time.Millisecond)
			create(t, stores[0], rec)
		}
		var users, sweeps sync.WaitGroup
		var done, removed atomic.Int64
		for i := range live {
			rec := newRecord(1<<20+i, "bob")
			create(t, stores[0], rec)
			if i >= 4 {
				continue
			}
			users.Go(func() {
				for done.Load() == 0 {
					rec.Version++
					rec.ExpiresAt = rec.ExpiresAt.Add(time.Millisecond)
					if err := stores[i%nodes].Update(ctx, rec); err != nil {
						t.Errorf("Update during a sweep: %v", err)
						return
					}
				}
			})
		}
		for _, s := range stores {
			sweeps.Go(func() {
				n, err := s.Sweep(ctx, time.Time{}, time.Now())
				if err != nil {
					t.Errorf("Sweep: %v", err)
				}
				removed.Add(int64(n))
			})
		}
		sweeps.Wait()
		done.Add(1)
		users.Wait()
		if removed.Load() != expired {
			t.Errorf("%d removed, want %d", removed.Load(), expired)
		}
		wantCount(t, stores[0], live)
	})
}

// Feature W24: of many nodes that meet and sweep the same expired records, one
// tells of each, and once.
func TestExpiredToldOnce(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const expired, nodes = 300, 3
		ctx, table, dsn := t.Context(), newTable(), d.dsn(t)
		var mu sync.Mutex
		told := map[core.ID]int{}
		var stores []*sqlstore.Store
		for range nodes {
			s := d.store(t, d.open(t, dsn), sqlstore.Config{Table: table, SweepBatch: 20})
			s.NotifyExpired(func(_ context.Context, rec core.Record, _ bool) {
				mu.Lock()
				defer mu.Unlock()
				told[rec.ID]++
				if rec.User != "ann" {
					t.Errorf("told of a record of %q", rec.User)
				}
			})
			stores = append(stores, s)
		}
		var ids []core.ID
		for i := range expired {
			rec := newRecord(i, "ann")
			rec.ExpiresAt = rec.CreatedAt.Add(-time.Second - time.Duration(i)*time.Millisecond)
			create(t, stores[0], rec)
			ids = append(ids, rec.ID)
		}
		live := newRecord(1<<20, "ann")
		create(t, stores[0], live)
		var all sync.WaitGroup
		for i, s := range stores {
			all.Go(func() {
				if _, err := s.Sweep(ctx, time.Time{}, time.Now()); err != nil {
					t.Errorf("Sweep: %v", err)
				}
			})
			all.Go(func() {
				for n := range ids {
					id := ids[(n*7+i*100)%len(ids)]
					var err error
					if n%3 == 0 {
						_, err = s.Delete(ctx, id)
					} else {
						err = s.Expire(ctx, id)
					}
					if err != nil {
						t.Errorf("Expire or Delete during a sweep: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			if told[id] != 1 {
				t.Fatalf("told of a record %d times", told[id])
			}
		}
		if len(told) != expired {
			t.Errorf("told of %d records, want %d", len(told), expired)
		}
		wantCount(t, stores[0], 1)
	})
}

// A sweep on PostgreSQL does not wait for a record that somebody else has locked.
// Fails without SKIP LOCKED.
func TestSweepSkipsLocked(t *testing.T) {
	ctx, db, table := t.Context(), postgres.open(t, postgres.dsn(t)), newTable()
	s := postgres.store(t, db, sqlstore.Config{Table: table})
	for i := range 10 {
		rec := newRecord(i, "ann")
		rec.ExpiresAt = rec.CreatedAt.Add(-time.Second)
		create(t, s, rec)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE "+table+" SET version = 2 WHERE id = '"+newRecord(3, "").ID.String()+"'"); err != nil {
		t.Fatal(err)
	}
	sweep, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n, err := s.Sweep(sweep, time.Time{}, time.Now()); n != 9 || err != nil {
		t.Errorf("%d, %v; want 9", n, err)
	}
}

// "Log out everywhere" also ends a session whose record a newer version of the
// library wrote, which this one cannot read: it is listed by its columns.
// Fails if listing leaves out what it cannot read.
func TestUnreadableIsListed(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, db, table := t.Context(), d.open(t, d.dsn(t)), newTable()
		s := d.store(t, db, sqlstore.Config{Table: table})
		recs := []core.Record{newRecord(1, "ann"), newRecord(2, "ann"), newRecord(3, "Ann")}
		create(t, s, recs...)
		future := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: `'\xff00'`}[d.dialect]
		if future == "" {
			future = "x'ff00'"
		}
		if _, err := db.ExecContext(ctx, "UPDATE "+table+" SET data = "+future+" WHERE id = '"+recs[1].ID.String()+"'"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(ctx, recs[1].ID); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("Load: %v", err)
		}
		m := core.MustNew(core.Config{Store: s, Secrets: []core.Secret{core.GenerateSecret()}})
		infos, err := m.UserSessions(ctx, "ann")
		if err != nil || len(infos) != 2 {
			t.Fatalf("UserSessions: %v, %v", infos, err)
		}
		if n, err := m.RevokeUser(ctx, "ann"); n != 2 || err != nil {
			t.Errorf("RevokeUser: %d, %v", n, err)
		}
		wantCount(t, s, 1)
	})
}

// Listings are complete beyond one statement's worth, and in order.
func TestListPages(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const n = 1203
		s := d.store(t, d.open(t, d.dsn(t)), sqlstore.Config{})
		for i := range n {
			create(t, s, newRecord(i, ""))
		}
		var ids []string
		for rec, err := range s.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, rec.ID.String())
		}
		if len(ids) != n || !slices.IsSorted(ids) || len(slices.Compact(ids)) != n {
			t.Errorf("%d records, want %d, each once", len(ids), n)
		}
		for range s.List(t.Context()) {
			break
		}
		wantCount(t, s, n)
	})
}

// A verb that waits for a lock of the database ends with its context.
func TestContextEndsWait(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, table := d.open(t, d.dsn(t)), newTable()
		s := d.store(t, db, sqlstore.Config{Table: table})
		rec := newRecord(1, "ann")
		create(t, s, rec)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(t.Context(), "UPDATE "+table+" SET version = version + 1"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		rec.Version++
		begun := time.Now()
		err = s.Update(ctx, rec)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if _, err := s.Load(t.Context(), rec.ID); err != nil {
			t.Errorf("Load beside a writer: %v", err)
		}
	})
}
