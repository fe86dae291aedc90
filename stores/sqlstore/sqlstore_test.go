package sqlstore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

var dialects = []Dialect{PostgreSQL, MySQL, SQLite}

// newStore returns a store over a fake database.
func newStore(t testing.TB, f *fake, cfg Config) *Store {
	t.Helper()
	if cfg.SweepInterval == 0 {
		cfg.SweepInterval = -1
	}
	s, err := New(f.open(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func record() core.Record {
	now := time.Now()
	return core.Record{ID: core.ID{1}, Version: 2, User: "secret user", CreatedAt: now, LastAccess: now,
		ExpiresAt: now.Add(time.Hour), Deadline: now.Add(time.Hour), Values: []byte("secret value")}
}

// The text of every statement, so that a change of one is seen by a reviewer.
// To accept it: go test ./stores/sqlstore -update
func TestStatements(t *testing.T) {
	for _, d := range dialects {
		for _, table := range []string{"sessions", "app.sessions"} {
			s, err := New((&fake{}).open(t), Config{Dialect: d, Table: table, SweepBatch: 3})
			if err != nil {
				if d == PostgreSQL || !strings.Contains(table, ".") {
					t.Error(err)
				}
				continue
			}
			var got strings.Builder
			for _, text := range s.Schema() {
				fmt.Fprintf(&got, "%s;\n", text)
			}
			for _, q := range s.sql.all() {
				if *q.text != "" {
					fmt.Fprintf(&got, "\n-- %s\n%s;\n", q.name, *q.text)
				}
			}
			file := filepath.Join("testdata", strings.ToLower(d.String())+"-"+table+".sql")
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s differs from what the store runs:\n%s", file, got.String())
			}
		}
	}
}

// B4: a name that is no plain identifier never reaches a statement.
// Fails if New does not check Table.
func TestTableNames(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for _, c := range []struct {
		name string
		ok   []Dialect
	}{
		{"sessions", dialects},
		{"_1", dialects},
		{"User", dialects},
		{"order", dialects},
		{long, dialects},
		{long + "x", nil},
		{"app.sessions", []Dialect{PostgreSQL}},
		{"a.b.c", nil},
		{".sessions", nil},
		{"app.", nil},
		{"1st", nil},
		{`a"b`, nil},
		{"a`b", nil},
		{"a;DROP TABLE a", nil},
		{"a b", nil},
		{"a-b", nil},
		{"a\x00", nil},
		{"é", nil},
		{"?", nil},
		{"{locks}", nil},
	} {
		for _, d := range dialects {
			want := false
			for _, ok := range c.ok {
				want = want || ok == d
			}
			_, err := New((&fake{}).open(t), Config{Dialect: d, Table: c.name})
			if (err == nil) != want {
				t.Errorf("%v: Table %q: %v", d, c.name, err)
			}
			if err != nil && (!errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), "Table")) {
				t.Errorf("%v: Table %q: %v, want ErrConfig that names the field", d, c.name, err)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	db := (&fake{}).open(t)
	for field, cfg := range map[string]Config{
		"Dialect":       {},
		"Dialect(4)":    {Dialect: 4},
		"SweepBatch":    {Dialect: SQLite, SweepBatch: -1},
		"SweepInterval": {Dialect: SQLite, SweepInterval: time.Microsecond},
	} {
		if _, err := New(db, cfg); !errors.Is(err, core.ErrConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := New(nil, Config{Dialect: SQLite}); !errors.Is(err, core.ErrConfig) {
		t.Errorf("no database: %v", err)
	}
}

// Listings fetch the head of a stored record, which must hold all but Values.
// Fails if header is less than 423.
func TestHeader(t *testing.T) {
	far := time.Now().Add(90 * 366 * 24 * time.Hour)
	rec := core.Record{ID: core.ID{1}, Version: 1<<64 - 1, Generation: 1<<64 - 1, Proof: [32]byte{1}, Previous: [32]byte{1}, PreviousUntil: far,
		User: strings.Repeat("u", maxUser), CreatedAt: time.Now(), LoginAt: time.Time{}.Add(1), LastAccess: far, ExpiresAt: far,
		IdleTimeout: core.MaxLifetime, Deadline: far, Horizon: far.Add(1e9), Persistent: true, Requests: 1<<64 - 1}
	data, err := rec.MarshalBinary()
	if err != nil || len(data) > header {
		t.Errorf("%d bytes, more than %d; %v", len(data), header, err)
	}
}

func TestTooLarge(t *testing.T) {
	s := newStore(t, &fake{}, Config{Dialect: SQLite})
	user, values := record(), record()
	user.User = strings.Repeat("u", 256)
	values.Values = make([]byte, 1<<24)
	for _, rec := range []core.Record{user, values} {
		var tooLarge *core.TooLargeError
		if err := s.Create(t.Context(), rec); !errors.As(err, &tooLarge) {
			t.Errorf("Create: %v", err)
		}
		if err := s.Update(t.Context(), rec); !errors.As(err, &tooLarge) {
			t.Errorf("Update: %v", err)
		}
	}
}

type pgError string

func (e pgError) Error() string    { return "the engine rolled back" }
func (e pgError) SQLState() string { return string(e) }

// A statement that the engine rolled back because of another is run again; a
// failure is not, because its outcome is unknown.
// Fails if run does not ask rolledBack, or if that says yes to everything.
func TestRolledBack(t *testing.T) {
	for _, c := range []struct {
		err    error
		repeat bool
	}{
		{pgError("40001"), true},
		{pgError("40P01"), true},
		{pgError("08006"), false},
		{errors.New("Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction"), true},
		{errors.New("Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction"), false},
		{errors.New("connection reset by peer"), false},
	} {
		f := &fake{}
		f.answer = func(context.Context, string, []driver.NamedValue) reply {
			if len(f.calls) < 3 {
				return reply{err: c.err}
			}
			return reply{affected: 1}
		}
		err := newStore(t, f, Config{Dialect: PostgreSQL}).Update(t.Context(), record())
		if repeated := err == nil && f.count() == 3; repeated != c.repeat {
			t.Errorf("%v: after %d runs: %v", c.err, f.count(), err)
		}
	}

	f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply { return reply{err: pgError("40001")} }}
	if err := newStore(t, f, Config{Dialect: PostgreSQL}).Update(t.Context(), record()); err == nil || f.count() != maxRuns {
		t.Errorf("rolled back for ever: after %d runs: %v", f.count(), err)
	}
}

// SQLite has one writer at a time: the writers of a store queue up, in order,
// and readers do not.
// Fails if exec takes no turn.
func TestWritersQueueUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers = 5
		step := make(chan struct{})
		f := &fake{}
		f.answer = func(_ context.Context, query string, _ []driver.NamedValue) reply {
			if strings.HasPrefix(query, "SELECT") {
				return reply{}
			}
			<-step
			return reply{affected: 1}
		}
		db := f.open(t)
		defer db.Close()
		s, err := New(db, Config{Dialect: SQLite})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		defer close(step)
		for range writers {
			go func() {
				if err := s.Update(t.Context(), record()); err != nil {
					t.Error(err)
				}
			}()
		}
		for i := range writers {
			synctest.Wait()
			if n := f.count(); n != i+1 {
				t.Fatalf("%d statements are under way or done, want %d", n, i+1)
			}
			step <- struct{}{}
		}
		synctest.Wait()

		go s.Update(t.Context(), record())
		synctest.Wait()
		if _, err := s.Load(t.Context(), core.ID{1}); err != core.ErrNotFound {
			t.Errorf("Load beside a writer: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Update(ctx, record()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a writer in the queue whose context ended: %v", err)
		}
		step <- struct{}{}
	})
}

// While another process writes, a statement is tried again, until its context
// ends, or for long.
// Fails if run does not ask busy.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := time.Now().Add(10 * time.Second)
		f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply {
			if time.Now().Before(free) {
				return reply{err: errors.New("database is locked (5) (SQLITE_BUSY)")}
			}
			return reply{affected: 1}
		}}
		db := f.open(t)
		defer db.Close()
		s, err := New(db, Config{Dialect: SQLite})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Update(ctx, record()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("busy for longer than the context: %v", err)
		}
		if err := s.Update(t.Context(), record()); err != nil || time.Now().Before(free) {
			t.Errorf("busy for a while: %v", err)
		}
		free = free.Add(time.Hour)
		if err := s.Update(t.Context(), record()); err == nil {
			t.Error("busy for an hour: no error")
		}
	})
}

// Whatever a driver says when its context ended, the context's error is there.
// Fails if run does not add it.
func TestContextError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply {
		cancel()
		return reply{err: errors.New("broken pipe")}
	}}
	_, err := newStore(t, f, Config{Dialect: PostgreSQL}).Load(ctx, core.ID{1})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
}

// Promise 14: an error tells the verb and what the driver said, and no value.
func TestQuietErrors(t *testing.T) {
	refused := errors.New("connection refused")
	f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply { return reply{err: refused} }}
	s := newStore(t, f, Config{Dialect: SQLite})
	ctx, rec := t.Context(), record()
	_, load := s.Load(ctx, rec.ID)
	_, del := s.Delete(ctx, rec.ID)
	_, user := s.ListUser(ctx, rec.User)
	_, lock := s.Lock(ctx, rec.ID)
	for verb, err := range map[string]error{
		"load": load, "create": s.Create(ctx, rec), "update": s.Update(ctx, rec), "touch": s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt),
		"delete": del, "list user": user, "lock": lock,
	} {
		if !errors.Is(err, refused) || err.Error() != "sqlstore: "+verb+": connection refused" {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// A logout holds even if, by this clock, the session had expired, while a node
// whose clock is behind prolongs it between the statements.
// Fails if the second statement asks for the expiry.
func TestDeleteInAnyCase(t *testing.T) {
	expires := time.Now().Add(-time.Second).UnixMilli()
	gone := false
	f := &fake{answer: func(_ context.Context, query string, args []driver.NamedValue) reply {
		_, condition, found := strings.Cut(query, "expires_at ")
		matches := !found || strings.HasPrefix(condition, "<=") == (expires <= args[1].Value.(int64))
		expires += 10_000 // the other node's Touch
		if !matches {
			return reply{}
		}
		gone = true
		return reply{affected: 1}
	}}
	existed, err := newStore(t, f, Config{Dialect: PostgreSQL}).Delete(t.Context(), core.ID{1})
	if existed || err != nil || !gone {
		t.Errorf("existed: %t, %v; gone: %t", existed, err, gone)
	}
}

// A row that was written by hand, or whose bytes are damaged, is corrupt: an
// answer, not a failure of the engine.
func TestCorrupt(t *testing.T) {
	rec := record()
	data, _ := rec.MarshalBinary()
	expires := rec.ExpiresAt.UnixMilli()
	for name, row := range map[string][]driver.Value{
		"damaged bytes":    {int64(1), int64(0), expires, []byte("junk")},
		"no bytes":         {int64(1), int64(0), expires, nil},
		"cut short":        {int64(1), int64(0), expires, data[:20]},
		"of another's row": {int64(1), int64(0), expires, data},
	} {
		f := &fake{answer: func(context.Context, string, []driver.NamedValue) reply { return reply{rows: [][]driver.Value{row}} }}
		if _, err := newStore(t, f, Config{Dialect: SQLite}).Load(t.Context(), core.ID{2}); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The sweeper begins with the first Create, runs at the interval give or take a
// half, goes on after a failure, which it logs, and ends with Close.
func TestSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		sweeps := 0
		f := &fake{answer: func(_ context.Context, query string, _ []driver.NamedValue) reply {
			if strings.HasPrefix(query, "DELETE") && strings.Contains(query, "LIMIT") {
				if sweeps++; sweeps == 1 {
					return reply{err: errors.New("connection refused")}
				}
				return reply{}
			}
			return reply{affected: 1}
		}}
		db := f.open(t)
		defer db.Close()
		s, err := New(db, Config{Dialect: PostgreSQL, SweepInterval: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Hour)
		if sweeps != 0 {
			t.Errorf("%d sweeps before the first Create", sweeps)
		}
		if err := s.Create(t.Context(), record()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if sweeps < 66 || sweeps > 200 {
			t.Errorf("%d sweeps in 100 hours", sweeps)
		}
		if got := log.String(); strings.Count(got, "sweep failed") != 1 || !strings.Contains(got, "connection refused") {
			t.Errorf("log: %s", got)
		}
		s.Close()
		s.Close()
		before := sweeps
		time.Sleep(10 * time.Hour)
		if sweeps != before {
			t.Errorf("%d sweeps after Close", sweeps-before)
		}
	})
}

// A batch that is full calls for another.
func TestSweepBatches(t *testing.T) {
	left := []int64{3, 3, 1}
	f := &fake{answer: func(_ context.Context, query string, args []driver.NamedValue) reply {
		if strings.Contains(query, "locks") {
			return reply{}
		}
		if batch := args[2].Value; batch != int64(3) {
			t.Errorf("the batch is %v", batch)
		}
		n := left[0]
		left = left[1:]
		return reply{affected: n}
	}}
	n, err := newStore(t, f, Config{Dialect: PostgreSQL, SweepBatch: 3}).Sweep(t.Context(), time.Time{}, time.Now())
	if n != 7 || err != nil || len(left) != 0 {
		t.Errorf("%d, %v; %d batches left", n, err, len(left))
	}
}

// Feature F46: of many nodes one sweeps at a time, and the others need not for a
// while, unless it failed or died.
// Fails if the sweeper does not claim its lease, gives it back at once, keeps it
// after a failure, or holds it for ever.
func TestOneNodeSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Hour
		var mu sync.Mutex
		var sweeps []time.Time
		running, failing, slow := 0, false, time.Duration(0)
		l := newLeases()
		locks := l.answer
		l.answer = func(ctx context.Context, query string, args []driver.NamedValue) reply {
			switch {
			case !strings.Contains(query, "locks"):
			case strings.HasPrefix(query, "DELETE") && len(args) == 1:
				return reply{} // of dead leases
			default:
				if strings.HasPrefix(query, "INSERT") && args[2].Value.(int64) > time.Now().Add(interval).UnixMilli() {
					t.Error("a node that dies now holds up the others for more than an interval")
				}
				return locks(ctx, query, args)
			}
			if !strings.Contains(query, "LIMIT") {
				return reply{affected: 1}
			}
			mu.Lock()
			defer mu.Unlock()
			if sweeps = append(sweeps, time.Now()); running > 0 {
				t.Error("two nodes sweep at once")
			}
			running++
			mu.Unlock()
			time.Sleep(slow)
			mu.Lock()
			running--
			if failing {
				return reply{err: errors.New("connection refused")}
			}
			return reply{}
		}
		db := l.open(t)
		defer db.Close()
		var nodes []*Store
		for range 5 {
			s, err := New(db, Config{Dialect: PostgreSQL, SweepInterval: interval, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			s.sweeper.start(s)
			nodes = append(nodes, s)
		}
		// during returns how many sweeps there were in so many hours.
		during := func(hours int) int {
			mu.Lock()
			before := len(sweeps)
			mu.Unlock()
			time.Sleep(time.Duration(hours) * time.Hour)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(sweeps) - before
		}
		slow = 10 * time.Minute
		if n := during(100); n < 90 || n > 200 {
			t.Errorf("5 nodes swept %d times in 100 intervals, want 90 to 200", n)
		}
		for i := range sweeps[1:] {
			if gap := sweeps[i+1].Sub(sweeps[i]); gap < interval/2 {
				t.Errorf("two sweeps within %v", gap)
			}
		}
		mu.Lock()
		failing, slow = true, 0
		mu.Unlock()
		if n := during(100); n < 400 {
			t.Errorf("5 nodes tried %d times in 100 intervals while all failed, want about 500", n)
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		l.give(sweepLease, "a node that died", interval)
		if n := during(3); n < 1 {
			t.Error("nobody sweeps after a node died at it")
		}
		for _, s := range nodes {
			s.Close()
		}
		if n := during(10); n > 0 {
			t.Errorf("%d sweeps after Close", n)
		}
	})
}
