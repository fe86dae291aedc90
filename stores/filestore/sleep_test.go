package filestore

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// sleepy opens a store that sees a lock which another has only if it is woken.
func (f *fixture) sleepy() *Store {
	f.Helper()
	s := f.open()
	s.locks.shortest, s.locks.longest = time.Hour, time.Hour
	return s
}

// lockName is the name of the lock of an ID.
func lockName(id core.ID) string { return filepath.Base(recordName(id)) }

// lock takes the lock of an ID.
func (f *fixture) lock(s *Store, id core.ID) (unlock func()) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 20*time.Second)
	defer cancel()
	unlock, err := s.Lock(ctx, id)
	f.must(err)
	return unlock
}

// outcome is how a wait for a lock ended.
type outcome struct {
	unlock func()
	err    error
}

// wait begins to wait for the lock of an ID.
func (f *fixture) wait(ctx context.Context, s *Store, id core.ID) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		unlock, err := s.Lock(ctx, id)
		ended <- outcome{unlock, err}
	}()
	return ended
}

// waitAsleep is wait, and returns when a sleeper of the store, on this name,
// does so for it.
func (f *fixture) waitAsleep(ctx context.Context, s *Store, id core.ID, name string) <-chan outcome {
	f.Helper()
	ended := f.wait(ctx, s, id)
	f.until(name+" is waited for", func() bool {
		s.locks.mu.Lock()
		defer s.locks.mu.Unlock()
		sleeper := s.locks.sleepers[name]
		return sleeper != nil && sleeper.wanted
	})
	return ended
}

// got returns what gives the lock up that was waited for.
func (f *fixture) got(ended <-chan outcome) (unlock func()) {
	f.Helper()
	select {
	case got := <-ended:
		f.must(got.err)
		return got.unlock
	case <-time.After(20 * time.Second):
		f.Fatal("the lock is not had, although it is free")
		return nil
	}
}

// until waits until something is so.
func (f *fixture) until(what string, is func() bool) {
	f.Helper()
	for giveUp := time.Now().Add(20 * time.Second); !is(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(giveUp) {
			f.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// wantNobodyLeft checks that the sleepers of stores end, and leave no file behind.
func (f *fixture) wantNobodyLeft(stores ...*Store) {
	f.Helper()
	for _, s := range stores {
		f.until("all sleepers are gone", func() bool {
			s.locks.mu.Lock()
			defer s.locks.mu.Unlock()
			return len(s.locks.sleepers)+len(s.locks.slots) == 0
		})
	}
	if left := f.leftovers(); left != nil {
		f.Errorf("left over: %v", left)
	}
}

// Fails if flock returns before the file is free, as it does for who polls.
func TestFlockSleeps(t *testing.T) {
	f := newFixture(t)
	l := f.locks()
	const name = "of a session"
	first, err := l.try(name)
	f.must(err)
	second, err := l.dir.Open(name)
	f.must(err)
	defer second.Close()
	locked := make(chan error, 1)
	go func() {
		ok, err := flock(second, true)
		if err == nil && !ok {
			err = errors.New("it is not free")
		}
		locked <- err
	}()
	select {
	case err := <-locked:
		t.Errorf("while another has it: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	f.must(<-locked)
}

// Feature S4. Who waits for the lock of another process is woken when it is free.
// Fails if the waiter looks, however often.
func TestLockWakes(t *testing.T) {
	f := newFixture(t)
	a, b := f.sleepy(), f.sleepy()
	id := core.ID{1}
	for range 100 {
		unlock := f.lock(a, id)
		ended := f.waitAsleep(f.ctx, b, id, lockName(id))
		unlock()
		f.got(ended)()
		a, b = b, a
	}
	f.wantNobodyLeft(a, b)
}

// Of three processes, each waiter is woken, the one that came first before the
// other, and a process that takes the lock again comes after both.
// Fails if who waits for the place next in line is not woken.
func TestLockWakesInOrder(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.sleepy(), f.sleepy(), f.sleepy()
	id := core.ID{1}
	for range 30 {
		unlock := f.lock(a, id)
		first := f.waitAsleep(f.ctx, b, id, lockName(id))
		second := f.waitAsleep(f.ctx, c, id, lockName(id)+waiting)
		unlock()
		unlock = f.got(first)
		select {
		case <-second:
			t.Fatal("two processes have the lock")
		default:
		}
		// Whether c or a is next is open, since b gave up its place just now.
		third := f.wait(f.ctx, a, id)
		unlock()
		for second != nil || third != nil {
			select {
			case got := <-second:
				f.must(got.err)
				got.unlock()
				second = nil
			case got := <-third:
				f.must(got.err)
				got.unlock()
				third = nil
			}
		}
	}
	f.wantNobodyLeft(a, b, c)
}

// A waiter that gave up, before the lock or before the place next in line, is in
// nobody's way, though its sleeper wakes only when the lock is free.
// Fails if the sleeper keeps what it gets, or if the waiter keeps its place.
func TestLockWaiterLeaves(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.sleepy(), f.sleepy(), f.sleepy()
	id := core.ID{1}
	name := lockName(id)
	open := openFiles(t, f.dir)
	// How the holder ends; its file is left where it is if it is killed.
	for what, end := range map[string]func(unlock func()){
		"released": func(unlock func()) { unlock() },
		"killed": func(func()) {
			a.locks.queue[name].file.Close()
			<-a.locks.queue[name].turn
			a.locks.leave(name, a.locks.queue[name])
		},
	} {
		for range 20 {
			unlock := f.lock(a, id)
			ctx, cancel := context.WithCancel(f.ctx)
			left := f.waitAsleep(ctx, b, id, name)
			cancel()
			f.want(what+": before the lock", (<-left).err, context.Canceled)
			if _, err := os.Lstat(filepath.Join(f.dir, "locks", name+waiting)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: who gave up is next in line (error %v)", what, err)
			}

			ended := f.waitAsleep(f.ctx, c, id, name)
			ctx, cancel = context.WithCancel(f.ctx)
			left = f.waitAsleep(ctx, b, id, name+waiting)
			cancel()
			f.want(what+": before the place next in line", (<-left).err, context.Canceled)

			end(unlock)
			unlock = f.got(ended)
			if what == "released" { // otherwise the file is the lock's still
				f.until("who gave up does not sleep on", func() bool {
					b.locks.mu.Lock()
					defer b.locks.mu.Unlock()
					return len(b.locks.sleepers) == 0
				})
			}
			unlock()
			f.lock(a, id)()
			f.lock(b, id)()
			f.wantNobodyLeft(a, b, c)
		}
	}
	if now := openFiles(t, f.dir); now != open {
		t.Errorf("%d files are open, %d were before", now, open)
	}
}

// Waiters who come after one that left have its sleeper, so that a lock which is
// held for long costs a process no more than one for itself and one for the place
// next in line.
// Fails if each waiter has a sleeper of its own.
func TestSleeperIsTakenOver(t *testing.T) {
	f := newFixture(t)
	a, b := f.sleepy(), f.sleepy()
	b.locks.slots = make(chan struct{}, 1)
	id := core.ID{1}
	open := openFiles(t, f.dir)
	unlock := f.lock(a, id)
	for range 50 {
		ctx, cancel := context.WithCancel(f.ctx)
		left := f.waitAsleep(ctx, b, id, lockName(id))
		cancel()
		f.want("a waiter whose context ended", (<-left).err, context.Canceled)
	}
	ended := f.waitAsleep(f.ctx, b, id, lockName(id))
	unlock()
	f.got(ended)()
	f.wantNobodyLeft(a, b)
	if now := openFiles(t, f.dir); now != open {
		t.Errorf("%d files are open, %d were before", now, open)
	}
}

// Fails if a lock is kept that came at the moment when its waiter gave up.
func TestSleeperWakesTooLate(t *testing.T) {
	f := newFixture(t)
	l := f.open().locks
	const name = "of a session"
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	for range 50 {
		file, err := l.try(name)
		f.must(err)
		s := &sleeper{woke: make(chan woken, 1)}
		s.woke <- woken{file, nil}
		l.sleepers[name] = s
		file, err = l.sleep(ctx, name)
		delete(l.sleepers, name)
		if file == nil {
			f.want("a waiter whose context ended", err, context.Canceled)
			if file, err = l.try(name); file == nil || err != nil {
				t.Fatalf("the lock is not free (error %v)", err)
			}
		}
		l.drop(name, file)
	}
}

// Whoever is woken for the place next in line sleeps for the lock in the same slot.
// Fails if the slot is free only some time after.
func TestSleeperFreesSlotFirst(t *testing.T) {
	f := newFixture(t)
	l := f.open().locks
	const name = "of a session"
	for range 1000 {
		s, err := l.sleeper(name)
		f.must(err)
		w := <-s.woke
		f.must(w.err)
		if n := len(l.slots); n != 0 {
			t.Fatalf("%d slots are taken", n)
		}
		l.drop(name, w.file)
	}
}

// Fails if there are more sleepers than slots, or if who finds none waits in vain.
func TestMoreWaitersThanSlots(t *testing.T) {
	f := newFixture(t)
	a, b := f.open(), f.open()
	const locks, slots = 7, 2
	open := openFiles(t, f.dir)
	b.locks.slots = make(chan struct{}, slots)
	for range 5 {
		var unlocks []func()
		var waits []<-chan outcome
		for i := range locks {
			id := core.ID{1, byte(i)}
			unlocks = append(unlocks, f.lock(a, id))
			waits = append(waits, f.wait(f.ctx, b, id))
			f.waitForWaiter(lockName(id))
		}
		f.until("all slots are taken", func() bool { return len(b.locks.slots) == slots })
		b.locks.mu.Lock()
		if n := len(b.locks.sleepers); n > slots {
			t.Errorf("%d sleepers in %d slots", n, slots)
		}
		b.locks.mu.Unlock()
		for i, unlock := range unlocks {
			unlock()
			f.got(waits[i])()
		}
		f.wantNobodyLeft(a, b)
	}
	if now := openFiles(t, f.dir); now != open {
		t.Errorf("%d files are open, %d were before", now, open)
	}
}

// Close does not wait for sleepers, and one that wakes later does no harm.
// Fails if Close waits, or a sleeper keeps what it gets after it.
func TestCloseWhileAsleep(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.sleepy(), f.sleepy(), f.sleepy()
	id := core.ID{1}
	unlock := f.lock(a, id)
	before := f.waitAsleep(f.ctx, b, id, lockName(id))
	next := f.waitAsleep(f.ctx, c, id, lockName(id)+waiting)
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		f.must(err)
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits for the lock of another")
	}
	f.want("a waiter of a store that was closed", (<-before).err, errClosed)
	f.until("the other is next in line", func() bool {
		c.locks.mu.Lock()
		defer c.locks.mu.Unlock()
		return c.locks.sleepers[lockName(id)] != nil
	})
	f.must(c.Close())
	f.want("another", (<-next).err, errClosed)
	d := f.sleepy()
	ended := f.waitAsleep(f.ctx, d, id, lockName(id))
	unlock()
	f.got(ended)()
	f.wantNobodyLeft(a, b, c, d)
}

// However waiters come, leave and meet, one at a time has the lock, and nobody
// waits for one that is free.
// Fails if the file of a lock is removed by who does not have it.
func TestLockWithWaitersThatLeave(t *testing.T) {
	f := newFixture(t)
	var stores []*Store
	for range 3 {
		s := f.sleepy()
		s.locks.slots = make(chan struct{}, 100)
		stores = append(stores, s)
	}
	ids := []core.ID{{1}, {2}}
	inside := make([]atomic.Int64, len(ids))
	var had, left atomic.Int64
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for range 100 {
				n := rand.IntN(len(ids))
				ctx, cancel := context.WithTimeout(f.ctx, rand.N(3*time.Millisecond))
				if rand.IntN(4) == 0 {
					cancel()
					ctx, cancel = context.WithTimeout(f.ctx, 30*time.Second) // for ever
				}
				deadline, _ := ctx.Deadline()
				unlock, err := stores[i%len(stores)].Lock(ctx, ids[n])
				if cancel(); err != nil {
					left.Add(1)
					if !errors.Is(err, context.DeadlineExceeded) || time.Until(deadline) < -20*time.Second {
						t.Errorf("Lock: %v, %v after the deadline", err, -time.Until(deadline))
					}
					continue
				}
				if inside[n].Add(1) != 1 {
					t.Error("two have the lock")
				}
				had.Add(1)
				if rand.IntN(2) == 0 {
					time.Sleep(rand.N(time.Millisecond))
				}
				inside[n].Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("the lock was had %d times, and %d left before", had.Load(), left.Load())
	for _, s := range stores {
		for _, id := range ids {
			f.lock(s, id)()
		}
	}
	f.wantNobodyLeft(stores...)
}

// Fails if a lock whose file cannot be opened, or not be told from another, is
// waited for in vain.
func TestSleeperFails(t *testing.T) {
	f := newFixture(t)
	a, b := f.sleepy(), f.sleepy()
	id := core.ID{1}
	unlock := f.lock(a, id)
	ended := f.waitAsleep(f.ctx, b, id, lockName(id))
	f.must(os.RemoveAll(filepath.Join(f.dir, "locks")))
	unlock()
	if got := <-ended; !errors.Is(got.err, os.ErrNotExist) || !strings.HasPrefix(got.err.Error(), "filestore: ") {
		t.Errorf("a waiter when the directory is removed: %v", got.err)
	}
	f.until("the sleeper is gone", func() bool { return len(b.locks.slots) == 0 })

	l := f.locks()
	file, err := l.open("of a session")
	f.must(err)
	f.must(l.dir.Close())
	_, err = l.take(file, "of a session", true)
	f.want("a file whose name cannot be looked up", err, os.ErrClosed)
}
