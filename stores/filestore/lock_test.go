package filestore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Two stores lock against each other as two processes do, since a lock belongs
// to the file that was opened.

func (f *fixture) locks() *locks {
	f.Helper()
	s := f.open()
	return s.locks
}

// count adds one to a counter in a record, n times.
func count(ctx context.Context, s *Store, id core.ID, n int) error {
	for n > 0 {
		r, err := s.Load(ctx, id)
		if err != nil {
			return err
		}
		r.Version++
		r.Values = binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(r.Values)+1)
		switch err := s.Update(ctx, r); {
		case err == nil:
			n--
		case !errors.Is(err, core.ErrConflict):
			return err
		}
	}
	return nil
}

// Fails without the flock, or without the queue before it.
func TestUpdatesOfTwoStoresAllCount(t *testing.T) {
	f := newFixture(t)
	stores := []*Store{f.open(), f.open()}
	r := f.record("")
	r.Values = make([]byte, 8)
	f.must(stores[0].Create(f.ctx, r))
	const workers, each = 6, 25
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			if err := count(f.ctx, stores[i%2], r.ID, each); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := stores[0].Load(f.ctx, r.ID)
	f.must(err)
	if n := binary.BigEndian.Uint64(got.Values); n != workers*each {
		t.Errorf("counted %d, want %d", n, workers*each)
	}
}

// Fails if a lock is waited for without looking at the context, in either
// place: before the file, and in the queue of the process.
func TestLockWaitEndsWithContext(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	r := f.create(s, "")
	release, err := other.hold(f.ctx, r.ID) // as a process that is stopped would
	f.must(err)
	defer release()
	next := r
	next.Version++
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(f.ctx, 30*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	f.want("Update, before the file", s.Update(short(), next), context.DeadlineExceeded)
	ahead, cancel := context.WithCancel(f.ctx)
	done := make(chan error)
	go func() { done <- s.Update(ahead, next) }()
	f.waitForWaiter(bucketName(r.ID[15]))
	f.want("Update, in the queue", s.Update(short(), next), context.DeadlineExceeded)
	_, err = s.Delete(short(), r.ID)
	f.want("Delete, in the queue", err, context.DeadlineExceeded)
	cancel()
	f.want("Update that was ahead", <-done, context.Canceled)
	f.wantVersion(s, r.ID, 1) // to read needs no lock
	if len(s.locks.queue) != 0 {
		t.Errorf("%d queues are left", len(s.locks.queue))
	}
}

// Fails if a file that its holder removed counts as the lock: without the
// comparison in locks.try.
func TestLockFileRemovedMeanwhile(t *testing.T) {
	f := newFixture(t)
	a, b := f.locks(), f.locks()
	const name = "of a session"
	f.must(a.acquire(f.ctx, name, a.sleep))
	stale, err := b.dir.OpenFile(name, os.O_RDWR, 0) // on the way to wait for it
	f.must(err)
	defer stale.Close()
	a.release(name)
	if ok, err := b.own(stale, name, false); ok || err != nil {
		t.Errorf("a file without a name is taken for the lock (error %v)", err)
	}
	f.must(a.acquire(f.ctx, name, a.sleep))
	if ok, err := b.own(stale, name, false); ok || err != nil {
		t.Errorf("a file is taken for the lock, which another has (error %v)", err)
	}
	a.release(name)
}

// Fails without the lock of who is next in line: a process that takes a lock
// again and again would starve the others.
func TestLockIsFairBetweenProcesses(t *testing.T) {
	f := newFixture(t)
	restless := f.open()
	busy, patient := restless.locks, f.locks()
	const name = "of a session"
	f.must(busy.acquire(f.ctx, name, busy.sleep))
	next, err := patient.try(name + waiting) // it came while busy had the lock
	f.must(err)
	busy.release(name)
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Millisecond)
	defer cancel()
	f.want("to take the lock again before the one who waits", busy.acquire(ctx, name, busy.sleep), context.DeadlineExceeded)
	file, err := patient.try(name)
	if file == nil || err != nil {
		t.Fatalf("the one who waits does not get the lock (error %v)", err)
	}
	patient.drop(name+waiting, next)
	patient.drop(name, file)
	f.must(busy.acquire(f.ctx, name, busy.sleep))
	busy.release(name)
	f.wantNobodyLeft(restless)
}

// Fails without the waits on closing, in either place.
func TestCloseFreesWaiters(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	r := f.create(s, "")
	release, err := other.hold(f.ctx, r.ID)
	f.must(err)
	defer release()
	unlock, err := other.Lock(f.ctx, r.ID)
	f.must(err)
	defer unlock()
	errs := make(chan error, 2)
	go func() { errs <- s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt.Add(time.Minute)) }()
	go func() {
		_, err := s.Lock(f.ctx, r.ID)
		errs <- err
	}()
	f.waitForWaiter(bucketName(r.ID[15]))
	f.waitForWaiter(filepath.Base(recordName(r.ID)))
	f.must(s.Close())
	for range cap(errs) {
		if err := <-errs; err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("a waiter of a store that was closed: %v, want a failure", err)
		}
	}

	l := f.locks()
	closing := make(chan struct{})
	l.closing = closing
	f.must(l.acquire(f.ctx, "lock", l.poll))
	go func() { errs <- l.acquire(f.ctx, "lock", l.poll) }()
	close(closing)
	f.want("one in the queue", <-errs, errClosed)
	l.release("lock")
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	f := newFixture(t)
	// Security H16. Fails if Close leaves a file open, or the sweeper's timer.
	open := openFiles(t, f.dir)
	s := f.open(func(c *Config) { c.SweepInterval = time.Hour })
	r := f.create(s, "ann")
	_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	unlock, err := s.Lock(f.ctx, r.ID)
	f.must(err)
	for range 2 {
		f.must(s.Close())
	}
	unlock()
	unlock()
	if got := openFiles(t, f.dir); got != open {
		t.Errorf("%d files are open after Close, want %d", got, open)
	}
	if s.sweeper.timer.Stop() {
		t.Error("the sweeper's timer runs after Close")
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines after Close, %d before New", after, before)
	}
	_, load := s.Load(f.ctx, r.ID)
	_, list := s.ListUser(f.ctx, "ann")
	_, sweep := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	_, lock := s.Lock(f.ctx, r.ID)
	for what, err := range map[string]error{
		"Load": load, "ListUser": list, "Sweep": sweep, "Lock": lock,
		"Create": s.Create(f.ctx, f.record("")),
		"Touch":  s.Touch(f.ctx, r.ID, r.LastAccess, r.ExpiresAt),
	} {
		f.want(what+" after Close", err, errClosed)
	}
}

// openFiles counts the files below dir that this process has open.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("open files are not counted on this system: %v", err)
		return 0
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}

// Feature QX17. Fails if records are written in place.
func TestReadersDuringSaves(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	fill := func(r core.Record) core.Record {
		r.Values = []byte(strings.Repeat(string(rune('a'+r.Version%26)), 200+int(r.Version%7)*3000))
		return r
	}
	r := fill(f.record("ann"))
	id := r.ID
	f.must(s.Create(f.ctx, r))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for last := uint64(0); ; {
				select {
				case <-done:
					return
				default:
				}
				got, err := []*Store{s, other}[i%2].Load(f.ctx, id)
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				if got.Version < last || string(got.Values) != string(fill(got).Values) {
					t.Errorf("Load: version %d after %d, with %d bytes of %q", got.Version, last, len(got.Values), got.Values[0])
					return
				}
				last = got.Version
			}
		})
	}
	for range 1000 {
		r.Version++
		r = fill(r)
		f.must(s.Update(f.ctx, r))
	}
	close(done)
	wg.Wait()
	if left := f.leftovers(r); left != nil {
		t.Errorf("left over: %v", left)
	}
}
