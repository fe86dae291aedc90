package engines

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

// newRecord returns a record of a user, "" for none, that lives for an hour.
func newRecord(n int, user string) core.Record {
	now := time.Now()
	return core.Record{ID: core.ID{byte(n >> 16), byte(n >> 8), byte(n), 1}, Version: 1, Generation: 1, User: user, CreatedAt: now, LastAccess: now,
		IdleTimeout: time.Hour, ExpiresAt: now.Add(time.Hour), Deadline: now.Add(time.Hour), Horizon: now.Add(time.Hour),
		Values: fmt.Appendf(nil, "values %d", n)}
}

func create(t testing.TB, s core.Store, recs ...core.Record) {
	t.Helper()
	for _, rec := range recs {
		if err := s.Create(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
}

func wantCount(t testing.TB, s *sqlstore.Store, want int) {
	t.Helper()
	if n, err := s.Count(t.Context()); n != want || err != nil {
		t.Errorf("%d records, %v; want %d", n, err, want)
	}
}

// Features P18, P19, P20, QX14: Check names what is missing, Migrate may run
// any number of times and loses nothing, Drop drops, any number of times.
func TestSchema(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, table := t.Context(), newTable()
		s := d.bare(t, d.open(t, d.dsn(t)), sqlstore.Config{Table: table})
		err := s.Check(ctx)
		if !errors.Is(err, sqlstore.ErrSchema) {
			t.Errorf("Check of an empty database: %v", err)
		}
		for _, name := range []string{"table " + table + ",", table + "_expires_at_idx", table + "_user_id_idx", table + "_locks"} {
			if !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("Check of an empty database does not name %s: %v", name, err)
			}
		}
		for range 2 {
			if err := s.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(ctx); err != nil {
				t.Errorf("Check after Migrate: %v", err)
			}
		}
		for i := range 5 {
			create(t, s, newRecord(i, "ann"))
		}
		if err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		wantCount(t, s, 5)
		for range 2 {
			if err := s.Drop(ctx); err != nil {
				t.Errorf("Drop: %v", err)
			}
			if err := s.Check(ctx); !errors.Is(err, sqlstore.ErrSchema) {
				t.Errorf("Check after Drop: %v", err)
			}
		}
		if err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		wantCount(t, s, 0)
		create(t, s, newRecord(1, "ann"))
	})
}

// Feature P8, and the way of every later version of the schema: what is missing
// is added, and nothing else is touched, while sessions go on.
// Fails if Migrate drops or recreates the table.
func TestMigrateAdds(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, db, table := t.Context(), d.open(t, d.dsn(t)), newTable()
		s := d.store(t, db, sqlstore.Config{Table: table})
		for i := range 5 {
			create(t, s, newRecord(i, "ann"))
		}
		drop := "DROP INDEX " + table + "_user_id_idx"
		if d.dialect == sqlstore.MySQL {
			drop += " ON " + table
		}
		for _, statement := range []string{drop, "DROP TABLE " + table + "_locks"} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		want := "missing: index " + table + "_user_id_idx of table " + table + ", table " + table + "_locks"
		if err := s.Check(ctx); !errors.Is(err, sqlstore.ErrSchema) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Check: %v, want %s", err, want)
		}
		if err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(ctx); err != nil {
			t.Error(err)
		}
		wantCount(t, s, 5)
	})
}

// Any number of nodes may start, and migrate, at the same moment.
func TestMigrateTogether(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		for range 5 {
			table, dsn := newTable(), d.dsn(t)
			var wg sync.WaitGroup
			for range 8 {
				s := d.bare(t, d.open(t, dsn), sqlstore.Config{Table: table})
				wg.Go(func() {
					if err := s.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// A table that is another's is neither used nor changed.
func TestForeignTable(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, db, table := t.Context(), d.open(t, d.dsn(t)), newTable()
		s := d.bare(t, db, sqlstore.Config{Table: table})
		for _, statement := range []string{"CREATE TABLE " + table + " (id INT, version INT)", "INSERT INTO " + table + " VALUES (1, 2)"} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		for what, err := range map[string]error{"Check": s.Check(ctx), "Migrate": s.Migrate(ctx)} {
			if !errors.Is(err, sqlstore.ErrSchema) || !strings.Contains(err.Error(), "column user_id of table "+table) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var id, version int
		if err := db.QueryRowContext(ctx, "SELECT * FROM "+table).Scan(&id, &version); id != 1 || version != 2 || err != nil {
			t.Errorf("the other's table holds %d, %d; %v", id, version, err)
		}
		if err := s.Check(ctx); !strings.Contains(fmt.Sprint(err), table+"_locks") {
			t.Errorf("Migrate made other things before it refused: %v", err)
		}
	})
}

// Feature PX8: two tables in one database know nothing of each other.
// Fails if a statement has a table's name in it that is not the store's.
func TestTwoTables(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, db := t.Context(), d.open(t, d.dsn(t))
		a, b := d.store(t, db, sqlstore.Config{}), d.store(t, db, sqlstore.Config{Table: "Order_" + newTable()})
		for i := range 3 {
			create(t, a, newRecord(i, "ann"))
			create(t, b, newRecord(i, "ann"))
		}
		if n, err := a.Sweep(ctx, time.Time{}, time.Now().Add(24*time.Hour)); n != 3 || err != nil {
			t.Errorf("Sweep: %d, %v", n, err)
		}
		if _, err := a.Delete(ctx, newRecord(1, "").ID); err != nil {
			t.Error(err)
		}
		if recs, err := a.ListUser(ctx, "ann"); len(recs) != 0 || err != nil {
			t.Errorf("ListUser: %v, %v", recs, err)
		}
		wantCount(t, b, 3)
		unlock, err := a.Lock(ctx, core.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.Lock(ctx, core.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		other()
		if err := a.Drop(ctx); err != nil {
			t.Error(err)
		}
		if err := b.Check(ctx); err != nil {
			t.Error(err)
		}
		wantCount(t, b, 3)
	})
}

// Feature QX19 on PostgreSQL: the table may be in a schema outside the search
// path, and one of the same name inside it is another.
func TestQualifiedTable(t *testing.T) {
	ctx, db, name := t.Context(), postgres.open(t, postgres.dsn(t)), newTable()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA s"+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Exec("DROP SCHEMA s" + name + " CASCADE") })
	inside := postgres.store(t, db, sqlstore.Config{Table: name})
	s := postgres.bare(t, db, sqlstore.Config{Table: "s" + name + "." + name})
	if err := s.Check(ctx); !errors.Is(err, sqlstore.ErrSchema) {
		t.Errorf("Check: %v", err)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	rec := newRecord(1, "ann")
	create(t, s, rec)
	if err := s.Create(ctx, rec); !errors.Is(err, core.ErrExists) {
		t.Errorf("Create again: %v", err)
	}
	if unlock, err := s.Lock(ctx, rec.ID); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
	if n, err := s.Sweep(ctx, time.Time{}, time.Now()); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v", n, err)
	}
	wantCount(t, s, 1)
	wantCount(t, inside, 0)
}

// The statements of Schema, run by hand, are all that Check asks for.
func TestSchemaByHand(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t, d.dsn(t))
		s := d.bare(t, db, sqlstore.Config{})
		statements := s.Schema()
		if len(statements) != 4 || slices.Contains(statements, "") {
			t.Errorf("%q", statements)
		}
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
