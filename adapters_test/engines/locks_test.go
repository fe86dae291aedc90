package engines

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/sqlstore"
)

// The lock of an ID is one for all processes: each store here has a queue and a
// pool of its own.
func TestLockBetweenProcesses(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		table, dsn := newTable(), d.dsn(t)
		var inside, most, rounds atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			s := d.store(t, d.open(t, dsn), sqlstore.Config{Table: table})
			for range 2 {
				wg.Go(func() {
					for range 10 {
						unlock, err := s.Lock(t.Context(), core.ID{1})
						if err != nil {
							t.Error(err)
							return
						}
						if n := inside.Add(1); n > most.Load() {
							most.Store(n)
						}
						s.Count(t.Context()) // takes a while
						rounds.Add(1)
						inside.Add(-1)
						unlock()
					}
				})
			}
		}
		wg.Wait()
		if most.Load() != 1 || rounds.Load() != 60 {
			t.Errorf("%d at once had the lock; %d rounds", most.Load(), rounds.Load())
		}
	})
}

// twoProcesses returns two stores on one table, as two processes have them: the
// second with a clock of its own, and a single connection.
func twoProcesses(t *testing.T, d database, clock func() time.Time) (a, b *sqlstore.Store) {
	table, dsn := newTable(), d.dsn(t)
	a = d.store(t, d.open(t, dsn), sqlstore.Config{Table: table})
	db := d.open(t, dsn)
	db.SetMaxOpenConns(1)
	return a, d.store(t, db, sqlstore.Config{Table: table, Clock: clock})
}

// hold takes a lock, which must be free.
func hold(t *testing.T, s *sqlstore.Store, id core.ID) (unlock func()) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	return unlock
}

// wait waits for a lock, gives it back, and tells when it was had.
func wait(t *testing.T, s *sqlstore.Store, id core.ID) (had <-chan time.Time) {
	got := make(chan time.Time, 1)
	go func() {
		unlock, err := s.Lock(t.Context(), id)
		got <- time.Now()
		if err != nil {
			t.Error(err)
			return
		}
		unlock()
	}()
	return got
}

// Feature S4. A process sees soon that another released a lock, however long it
// waited.
// Fails if the pause between two looks grows.
func TestLockHandover(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const rounds, within = 30, 20 * time.Millisecond // on a machine that is busy, not each time
		a, b := twoProcesses(t, d, nil)
		var took []time.Duration
		for i := range rounds {
			id := core.ID{byte(i)}
			unlock := hold(t, a, id)
			had := wait(t, b, id)
			select {
			case <-had:
				t.Fatal("two processes have a lock")
			case <-time.After(200 * time.Millisecond):
			}
			begun := time.Now()
			unlock()
			if took = append(took, (<-had).Sub(begun)); took[i] < within {
				return
			}
		}
		t.Errorf("a lock was had later than %v after its release each time: %v", within, took)
	})
}

// One look is enough for all locks that a process waits for, and one connection.
// Fails if those who wait claim what is not free: if a look fails, or misses some.
func TestOneLooksForAll(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const locks = 130
		var asked atomic.Int64 // once by a look at up to 100 locks, twice by a claim
		a, b := twoProcesses(t, d, func() time.Time { asked.Add(1); return time.Now() })
		begun := time.Now()
		var unlocks []func()
		var waits []<-chan time.Time
		for i := range locks {
			id := core.ID{byte(i)}
			unlocks = append(unlocks, hold(t, a, id))
			waits = append(waits, wait(t, b, id))
		}
		time.Sleep(time.Second)
		looks, claims := 2*int64(time.Since(begun)/(6*time.Millisecond)), int64(2*locks)
		if n := asked.Load(); n > looks+2*claims {
			t.Errorf("in %v the time was asked for %d times, want at most %d by looks and %d by claims", time.Since(begun), n, looks, 2*claims)
		}
		for _, unlock := range unlocks {
			unlock()
		}
		for _, had := range waits {
			<-had
		}
	})
}

// The lease of a process that died ends by the clock of who waits.
// Fails if a look takes every row for a lock.
func TestLockOfTheDead(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		var ahead atomic.Int64
		a, b := twoProcesses(t, d, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		hold(t, a, core.ID{1})
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := b.Lock(short, core.ID{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock within the lease of another: %v", err)
		}
		got := make(chan error)
		go func() {
			unlock, err := b.Lock(t.Context(), core.ID{1})
			if err == nil {
				unlock()
			}
			got <- err
		}()
		select {
		case err := <-got:
			t.Fatalf("a lock within the lease of another: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		ahead.Store(int64(time.Minute))
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// Who waits for a lock is told if the database is lost meanwhile, or the store is
// closed.
// Fails if a look that failed wakes nobody.
func TestLockWithoutDatabase(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		table, dsn := newTable(), d.dsn(t)
		a := d.store(t, d.open(t, dsn), sqlstore.Config{Table: table})
		for what, end := range map[string]func(s *sqlstore.Store, lose func() error) error{
			"lost":   func(_ *sqlstore.Store, lose func() error) error { return lose() },
			"closed": func(s *sqlstore.Store, _ func() error) error { return s.Close() },
		} {
			db := d.open(t, dsn)
			b, err := sqlstore.New(db, sqlstore.Config{Dialect: d.dialect, Table: table, SweepInterval: -1})
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error)
			for i := range 5 {
				id := core.ID{byte(len(what)), byte(i)}
				hold(t, a, id)
				go func() {
					_, err := b.Lock(t.Context(), id)
					got <- err
				}()
			}
			time.Sleep(50 * time.Millisecond) // by then they wait; a claim would fail, too
			if err := end(b, db.Close); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			for range 5 {
				if err := <-got; err == nil {
					t.Errorf("%s: a waiter got the lock", what)
				}
			}
			b.Close()
		}
	})
}
