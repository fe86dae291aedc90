package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
)

// leases is a fake of the table of locks, in every dialect.
type leases struct {
	fake
	rows    map[string]leaseRow // by ID
	failing bool
	look    func(ctx context.Context) error // called with each look, if not nil
}

type leaseRow struct {
	owner   string
	expires int64
}

func newLeases() *leases {
	l := &leases{rows: map[string]leaseRow{}}
	l.answer = func(ctx context.Context, query string, args []driver.NamedValue) (r reply) {
		text := func(i int) string { return args[i].Value.(string) }
		number := func(i int) int64 { return args[i].Value.(int64) }
		verb, _, _ := strings.Cut(query, " ")
		if !strings.Contains(query, "locks") {
			return reply{affected: 1}
		}
		l.mu.Lock()
		look := l.look
		l.mu.Unlock()
		if verb == "SELECT" && look != nil {
			if err := look(ctx); err != nil {
				return reply{err: err}
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.failing {
			return reply{err: errors.New("connection refused")}
		}
		r.affected = 1
		switch last := len(args) - 1; {
		case verb == "SELECT":
			asked := map[string]bool{}
			for i := range last {
				if row, ok := l.rows[text(i)]; ok && row.expires > number(last) && !asked[text(i)] {
					r.rows = append(r.rows, []driver.Value{text(i)})
				}
				asked[text(i)] = true
			}
		case verb == "INSERT":
			row, ok := l.rows[text(0)]
			if ok && (last == 2 || row.expires > number(3)) { // MySQL's, or over an expired one
				return reply{}
			}
			l.rows[text(0)] = leaseRow{text(1), number(2)}
		case verb == "UPDATE" && last == 3: // MySQL's, over an expired one
			if row, ok := l.rows[text(2)]; !ok || row.expires > number(3) {
				return reply{}
			}
			l.rows[text(2)] = leaseRow{text(0), number(1)}
		case verb == "UPDATE":
			if l.rows[text(1)].owner != text(2) {
				return reply{}
			}
			l.rows[text(1)] = leaseRow{text(2), number(0)}
		case verb == "DELETE":
			if l.rows[text(0)].owner != text(1) {
				return reply{}
			}
			delete(l.rows, text(0))
		}
		return r
	}
	return l
}

func (l *leases) set(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

// give makes a lock somebody's.
func (l *leases) give(id, owner string, d time.Duration) {
	l.set(func() { l.rows[id] = leaseRow{owner, time.Now().Add(d).UnixMilli()} })
}

// owner returns who has a lock now.
func (l *leases) owner(id core.ID) (owner string) {
	l.set(func() {
		if row := l.rows[id.String()]; row.expires > time.Now().UnixMilli() {
			owner = row.owner
		}
	})
	return owner
}

// ran returns how many statements there were while fn ran: looks for locks, and
// others.
func (l *leases) ran(fn func()) (looks, others int) {
	before := l.count()
	fn()
	l.set(func() {
		for _, query := range l.calls[before:] {
			if strings.HasPrefix(query, "SELECT") {
				looks++
			} else {
				others++
			}
		}
	})
	return looks, others
}

// A lock is kept for as long as it is held, however long, through failures of
// the database shorter than the lease, and given back at once.
// Fails if keep does not renew.
func TestLockIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeases()
		db := l.open(t)
		defer db.Close()
		a, _ := New(db, Config{Dialect: PostgreSQL})
		b, _ := New(db, Config{Dialect: PostgreSQL})
		unlock, err := a.Lock(t.Context(), core.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*lease)
		defer cancel()
		if _, err := b.Lock(ctx, core.ID{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second lock while the first is held: %v", err)
		}
		l.set(func() { l.failing = true })
		time.Sleep(lease * 2 / 3)
		l.set(func() { l.failing = false })
		time.Sleep(lease)
		if l.owner(core.ID{1}) == "" {
			t.Error("the lease ended while the lock was held")
		}
		begun := time.Now()
		time.AfterFunc(time.Minute, unlock)
		again, err := b.Lock(t.Context(), core.ID{1})
		if waited := time.Since(begun); err != nil || waited < time.Minute || waited > time.Minute+watchPause {
			t.Errorf("the lock came after %v: %v", waited, err)
		}
		unlock() // does nothing
		if l.owner(core.ID{1}) == "" {
			t.Error("a second unlock ended the lock of another")
		}
		again()
	})
}

// The lock of a process that died is free after its lease.
func TestLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeases()
		db := l.open(t)
		defer db.Close()
		l.give(core.ID{1}.String(), "the dead", lease)
		s, _ := New(db, Config{Dialect: PostgreSQL})
		begun := time.Now()
		unlock, err := s.Lock(t.Context(), core.ID{1})
		if waited := time.Since(begun); err != nil || waited < lease || waited > lease+watchPause {
			t.Fatalf("the lock came after %v: %v", waited, err)
		}
		unlock()
	})
}

// Waiters of one process do not all ask the database.
// Fails if Lock does not enter the queue.
func TestLockQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeases()
		db := l.open(t)
		defer db.Close()
		s, _ := New(db, Config{Dialect: PostgreSQL})
		unlock, err := s.Lock(t.Context(), core.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		before := l.count()
		got := make(chan func())
		for range 10 {
			go func() {
				unlock, err := s.Lock(t.Context(), core.ID{1})
				if err != nil {
					t.Error(err)
				}
				got <- unlock
			}()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Lock(ctx, core.ID{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a waiter whose context ended: %v", err)
		}
		if n := l.count() - before; n != 0 {
			t.Errorf("%d statements while another of the process had the lock", n)
		}
		unlock()
		for range 10 {
			(<-got)()
		}
		synctest.Wait()
		if s.queues.of[core.ID{1}] != nil {
			t.Error("the queue stays when nobody waits")
		}
	})
}

// waiters is processes, each a store with a pool of its own, that wait for locks
// of one database, in a bubble.
type waiters struct {
	*testing.T
	*leases
	stores []*Store
}

// inBubble runs a test with n processes, in each dialect.
func inBubble(t *testing.T, n int, test func(w *waiters)) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &waiters{T: t, leases: newLeases()}
				for range n {
					w.stores = append(w.stores, newStore(t, &w.fake, Config{Dialect: d}))
				}
				test(w)
			})
		})
	}
}

// hold has a process take a lock, which must be free.
func (w *waiters) hold(s *Store, id core.ID) (unlock func()) {
	w.Helper()
	unlock, err := s.Lock(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(unlock)
	return unlock
}

// outcome is how a wait ended.
type outcome struct {
	id     core.ID
	at     time.Time
	unlock func()
	err    error
}

// wait has a process wait for a lock, until ctx ends.
func (w *waiters) wait(ctx context.Context, s *Store, id core.ID) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		unlock, err := s.Lock(ctx, id)
		ended <- outcome{id, time.Now(), unlock, err}
	}()
	return ended
}

// wantGot checks that a lock was had within d of a time, and gives it back.
func (w *waiters) wantGot(what string, ended <-chan outcome, since time.Time, d time.Duration) {
	w.Helper()
	got := <-ended
	if got.err != nil {
		w.Errorf("%s: %v", what, got.err)
		return
	}
	if late := got.at.Sub(since); late < 0 || late > d {
		w.Errorf("%s: the lock was had after %v, want at most %v", what, late, d)
	}
	got.unlock()
}

// wantQuiet checks that no statement runs any more.
func (w *waiters) wantQuiet() {
	w.Helper()
	if looks, others := w.ran(func() { time.Sleep(time.Hour) }); looks+others > 0 {
		w.Errorf("in an hour when nobody waits: %d looks, %d other statements", looks, others)
	}
	for _, s := range w.stores {
		s.watcher.running.Wait()
	}
}

func ids(n int) (out []core.ID) {
	for i := range n {
		out = append(out, core.ID{1, byte(i >> 8), byte(i)})
	}
	return out
}

// Feature S4. A process that waits for the lock of another sees within 12 ms that
// it is free, however long it waited.
// Fails if the pause between two looks grows.
func TestLockHandover(t *testing.T) {
	inBubble(t, 2, func(w *waiters) {
		for i := range 20 {
			a, b := w.stores[i%2], w.stores[(i+1)%2]
			unlock := w.hold(a, core.ID{1})
			ended := w.wait(w.Context(), b, core.ID{1})
			time.Sleep(time.Duration(i*i)*30*time.Millisecond + rand.N(50*time.Millisecond))
			begun := time.Now()
			unlock()
			w.wantGot(fmt.Sprintf("round %d", i), ended, begun, 12*time.Millisecond)
		}
		w.wantQuiet()
	})
}

// How often a process asks the database does not depend on how many sessions it
// waits for, and who waits for one that is taken claims nothing.
// Fails if each waiter looks, or if all are woken when one may go.
func TestOneLooksForAll(t *testing.T) {
	const most, least = 10*time.Second/(watchPause/2) + 1, 10*time.Second/watchPause - 1
	inBubble(t, 2, func(w *waiters) {
		a, b := w.stores[0], w.stores[1]
		for _, c := range []struct{ waiters, statements int }{{1, 1}, {watched, 1}, {watched + 1, 2}, {200, 2}} {
			var unlocks []func()
			var waits []<-chan outcome
			for _, id := range ids(c.waiters) {
				unlocks = append(unlocks, w.hold(a, id))
				waits = append(waits, w.wait(w.Context(), b, id))
			}
			time.Sleep(time.Second)
			looks, others := w.ran(func() { time.Sleep(10 * time.Second) })
			others -= c.waiters // renewed once in that time
			if n := time.Duration(looks / c.statements); n < least || n > most || others != 0 {
				w.Errorf("%d waiters: %d looks and %d other statements in 10 s, want %d times %d to %d looks",
					c.waiters, looks, others, c.statements, least, most)
			}
			one := rand.IntN(c.waiters)
			begun := time.Now()
			_, others = w.ran(func() {
				unlocks[one]()
				w.wantGot("the one", waits[one], begun, watchPause)
			})
			if others != 3 {
				w.Errorf("%d waiters: %d statements to release, claim and release one of the locks", c.waiters, others)
			}
			begun = time.Now()
			for i := range waits {
				unlocks[i]()
			}
			for i, ended := range waits {
				if i != one {
					w.wantGot("all", ended, begun, watchPause)
				}
			}
		}
		w.wantQuiet()
	})
}

// A database that answers slowly is looked at by one statement at a time, and
// for no more than half of the time. The others of its connections, or the only
// one, are free for the holder meanwhile.
// Fails if a look begins when the pause is over.
func TestSlowLooks(t *testing.T) {
	const slow = time.Second
	inBubble(t, 2, func(w *waiters) {
		a, b := w.stores[0], w.stores[1]
		b.db.SetMaxOpenConns(1)
		var under atomic.Int64
		w.set(func() {
			w.look = func(context.Context) error {
				if under.Add(1) > 1 {
					w.Error("two looks at once")
				}
				time.Sleep(slow)
				under.Add(-1)
				return nil
			}
		})
		var unlocks []func()
		var waits []<-chan outcome
		for _, id := range ids(10) {
			unlocks = append(unlocks, w.hold(a, id))
			waits = append(waits, w.wait(w.Context(), b, id))
		}
		time.Sleep(time.Second)
		if looks, _ := w.ran(func() { time.Sleep(100 * slow) }); looks < 49 || looks > 51 {
			w.Errorf("%d looks of %v in %v", looks, slow, 100*slow)
		}
		begun := time.Now()
		if err := b.Touch(w.Context(), core.ID{9}, begun, begun); err != nil || time.Since(begun) > slow {
			w.Errorf("another statement waited for %v: %v", time.Since(begun), err)
		}
		begun = time.Now()
		for _, unlock := range unlocks {
			unlock()
		}
		for _, ended := range waits {
			w.wantGot("after all", ended, begun, 3*slow)
		}
		w.wantQuiet()
	})
}

// If the database fails, who waits is told by the claim; if only looks fail, the
// claims make progress all the same.
// Fails if a look that failed wakes nobody, or is repeated at once.
func TestLookFails(t *testing.T) {
	inBubble(t, 2, func(w *waiters) {
		a, b := w.stores[0], w.stores[1]
		refused := errors.New("look refused")
		w.set(func() { w.look = func(context.Context) error { return refused } })
		unlock := w.hold(a, core.ID{1})
		ended := w.wait(w.Context(), b, core.ID{1})
		time.Sleep(time.Second)
		if looks, _ := w.ran(func() { time.Sleep(time.Second) }); looks < 5 || time.Duration(looks) > time.Second/watchRest+1 {
			w.Errorf("%d looks in a second while they failed", looks)
		}
		begun := time.Now()
		unlock()
		w.wantGot("without looks", ended, begun, watchRest+watchPause)

		// One that hangs holds nobody up for long.
		w.set(func() { w.look = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		unlock = w.hold(a, core.ID{1})
		begun = time.Now()
		ended = w.wait(w.Context(), b, core.ID{1})
		time.Sleep(time.Second)
		unlock()
		w.wantGot("with a look that hangs", ended, begun, lookTimeout+watchRest+watchPause)
		w.set(func() { w.look = nil })
		time.Sleep(lookTimeout)

		var waits []<-chan outcome
		for _, id := range ids(150) {
			w.hold(a, id)
			waits = append(waits, w.wait(w.Context(), b, id))
		}
		time.Sleep(time.Second)
		begun = time.Now()
		w.set(func() { w.failing = true })
		for _, ended := range waits {
			got := <-ended
			if got.err == nil || got.err.Error() != "sqlstore: lock: connection refused" || got.at.Sub(begun) > watchPause {
				w.Fatalf("a waiter while the database fails, after %v: %v", got.at.Sub(begun), got.err)
			}
		}
		time.Sleep(lease)
		w.set(func() { w.failing = false })
		b.watcher.running.Wait()
	})
}

// A waiter whose context ends is answered at once, and the last takes the look
// under way with it.
// Fails if a look goes on for nobody, or counts as failed if it was given up.
func TestWaitEndsWithContext(t *testing.T) {
	inBubble(t, 2, func(w *waiters) {
		a, b := w.stores[0], w.stores[1]
		var ended atomic.Int64
		hang := func(ctx context.Context) error { <-ctx.Done(); ended.Add(1); return ctx.Err() }
		w.set(func() { w.look = hang })
		var unlocks []func()
		var waits []<-chan outcome
		for i, id := range ids(2) {
			unlocks = append(unlocks, w.hold(a, id))
			ctx, cancel := context.WithTimeout(w.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			waits = append(waits, w.wait(ctx, b, id))
		}
		begun := time.Now()
		for i, wait := range waits {
			got := <-wait
			if d := time.Duration(i+1) * time.Second; !errors.Is(got.err, context.DeadlineExceeded) || got.at.Sub(begun) != d {
				w.Errorf("a waiter whose context ends after %v: after %v, %v", d, got.at.Sub(begun), got.err)
			}
			synctest.Wait()
			if n := int(ended.Load()); n != i {
				w.Errorf("%d looks ended when %d of 2 had left", n, i+1)
			}
		}
		w.set(func() { w.look = nil })
		next := w.wait(w.Context(), b, core.ID{1})
		time.Sleep(watchRest / 2)
		begun = time.Now()
		unlocks[0]()
		w.wantGot("the next", next, begun, watchPause)
		unlocks[1]()
		w.wantQuiet()
	})
}

// Of those of several processes who wait for one lock, and see at the same moment
// that it is free, one gets it, and the others go on waiting.
// Fails if a waiter whose claim comes too late gives up.
func TestWaitersThatLose(t *testing.T) {
	const processes = 5
	inBubble(t, processes, func(w *waiters) {
		// Who sees that the lock is free is told when the gate opens.
		gate := make(chan struct{})
		answer := w.answer
		w.answer = func(ctx context.Context, query string, args []driver.NamedValue) reply {
			r := answer(ctx, query, args)
			if strings.HasPrefix(query, "SELECT") && len(r.rows) == 0 {
				var closed chan struct{}
				w.set(func() { closed = gate })
				<-closed
			}
			return r
		}
		unlock := w.hold(w.stores[0], core.ID{1})
		all := make(chan outcome)
		for _, s := range w.stores[1:] {
			go func() { all <- <-w.wait(w.Context(), s, core.ID{1}) }()
		}
		for left := processes - 1; left > 0; left-- {
			time.Sleep(time.Second)
			unlock()
			time.Sleep(time.Second)
			begun := time.Now()
			var got outcome
			_, claims := w.ran(func() {
				w.set(func() {
					close(gate)
					gate = make(chan struct{})
				})
				got = <-all
				synctest.Wait()
			})
			if got.err != nil || got.at != begun {
				w.Fatalf("after %v: %v", got.at.Sub(begun), got.err)
			}
			if claims < left {
				w.Errorf("%d statements to claim the lock by %d", claims, left)
			}
			select {
			case <-all:
				w.Fatal("two have the lock")
			default:
			}
			unlock = got.unlock
		}
		unlock()
		w.wantQuiet()
	})
}

// Close ends the waits for locks of other processes, and waits for the look under
// way, which it cut short.
// Fails if it leaves either to go on.
func TestCloseEndsWaits(t *testing.T) {
	inBubble(t, 2, func(w *waiters) {
		a, b := w.stores[0], w.stores[1]
		var looked atomic.Bool
		w.set(func() {
			w.look = func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				looked.Store(true)
				return ctx.Err()
			}
		})
		w.hold(a, core.ID{1})
		ended := w.wait(w.Context(), b, core.ID{1})
		time.Sleep(time.Second)
		begun := time.Now()
		b.Close()
		if !looked.Load() {
			w.Error("a look goes on after Close")
		}
		if got := <-ended; got.err != errClosed || got.at != begun {
			w.Errorf("a waiter when the store is closed: after %v, %v", got.at.Sub(begun), got.err)
		}
		looks, _ := w.ran(func() {
			if got := <-w.wait(w.Context(), b, core.ID{1}); got.err == nil {
				w.Error("the lock of another was had from a closed store")
			}
		})
		if looks > 0 {
			w.Errorf("%d looks after Close", looks)
		}
	})
}
