package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/adapters_test/testclock"
	"github.com/coatcheck/sessions/core"
)

// Fails if entries are trusted or forgotten: without pass.entry, or the call of
// enlist in pass.record.
func TestSweepSetsEntriesRight(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	kept, lost := f.create(s, "ann"), f.create(s, "ann")
	f.must(os.Remove(filepath.Join(f.dir, "users", entryName("ann", lost.ID))))
	gone := f.record("ann")
	f.must(s.enlist("ann", gone.ID))
	f.must(s.enlist("bob", kept.ID)) // of another user now
	f.wantListed(s, "bob")
	_, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	f.wantListed(s, "ann", kept.ID, lost.ID)
	f.wantListed(s, "bob")
	want := []string{"users/" + entryName("bob", kept.ID)} // goes with the record
	if left := f.leftovers(kept, lost); strings.Join(left, " ") != want[0] {
		t.Errorf("left over: %v, want %v", left, want)
	}
}

// Fails without the lock in pass.entry: the entry of a record that is being
// created would be removed, and the record never be listed.
func TestSweepLeavesEntryOfRecordBeingCreated(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	r := f.record("ann")
	swept := make(chan error, 1)
	s.disk.step = func(change, name string) error {
		if change == "create" && strings.HasSuffix(name, temporary) { // the entry is there, nothing else
			go func() {
				_, err := other.Sweep(f.ctx, time.Time{}, f.clock.Now())
				swept <- err
			}()
			f.waitForWaiter(bucketName(r.ID[15]))
		}
		return nil
	}
	f.must(s.Create(f.ctx, r))
	f.must(<-swept)
	f.wantListed(s, "ann", r.ID)
	if left := f.leftovers(r); left != nil {
		t.Errorf("left over: %v", left)
	}
}

// Fails if the sweep believes what it read without the lock.
func TestSweepLeavesRecordProlongedMeanwhile(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	r := f.create(s, "")
	release, err := other.hold(f.ctx, r.ID)
	f.must(err)
	done := make(chan int)
	go func() {
		n, _ := s.Sweep(f.ctx, time.Time{}, r.ExpiresAt.Add(time.Millisecond))
		done <- n
	}()
	f.waitForWaiter(bucketName(r.ID[15]))
	prolonged := r
	prolonged.ExpiresAt = r.ExpiresAt.Add(time.Hour)
	f.must(other.write(prolonged, &r))
	release()
	if n := <-done; n != 0 {
		t.Errorf("%d removed, want none", n)
	}
	f.wantVersion(s, r.ID, 1)
}

// Fails without locks.clear; or, if that does not take the lock, by its second
// half.
func TestSweepClearsLocks(t *testing.T) {
	f := newFixture(t)
	s, other := f.open(), f.open()
	dead, held := f.record(""), f.record("")
	lockFile := func(id core.ID, ending string) string {
		return filepath.Join(f.dir, "locks", filepath.Base(recordName(id))+ending)
	}
	f.write(lockFile(dead.ID, ""), nil)
	f.write(lockFile(dead.ID, waiting), nil)
	unlock, err := s.Lock(f.ctx, held.ID)
	f.must(err)
	_, err = other.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	for _, name := range []string{lockFile(dead.ID, ""), lockFile(dead.ID, waiting)} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("left over: %s", name)
		}
	}
	if file, err := other.locks.try(filepath.Base(lockFile(held.ID, ""))); file != nil || err != nil {
		t.Errorf("after the sweep another gets a lock that is held (error %v)", err)
	}
	unlock()
	if left := f.leftovers(); left != nil {
		t.Errorf("left over: %v", left)
	}
}

// One process sweeps for all. Fails without the timer, or without the note of
// when it was last done.
func TestSweepInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var sweeps atomic.Int32
		open := func() *Store {
			s := f.open(func(c *Config) { c.Clock = time.Now })
			s.disk.step = func(change, name string) error {
				if name == sweptFile {
					sweeps.Add(1)
				}
				return nil
			}
			s.startSweeper(time.Minute)
			return s
		}
		f.clock = testclock.New(time.Now())
		first := open()
		time.Sleep(time.Second)
		second := open()
		r := f.record("")
		r.ExpiresAt = time.Now().Add(30 * time.Second)
		f.must(first.Create(f.ctx, r))
		time.Sleep(58 * time.Second)
		synctest.Wait()
		if left := f.leftovers(r); left != nil {
			t.Errorf("before the first minute is over: %v", left)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if left := f.leftovers(); left != nil {
			t.Errorf("after a minute: %v", left)
		}
		if n := sweeps.Load(); n != 1 {
			t.Errorf("%d sweeps by two sweepers, want 1", n)
		}
		second.sweep() // as it comes later, it finds it done
		if n := sweeps.Load(); n != 1 {
			t.Errorf("%d sweeps in one minute, want 1", n)
		}
		f.must(first.Close())
		swept, err := second.disk.swept()
		f.must(err)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		again, err := second.disk.swept()
		f.must(err)
		if since := time.Since(again); since > 2*time.Minute || !again.After(swept) {
			t.Errorf("10 minutes later the last sweep was %v ago", since)
		}
		f.must(second.Close())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		info, err := os.Stat(filepath.Join(f.dir, sweptFile))
		f.must(err)
		if !info.ModTime().Equal(again) {
			t.Error("a closed store sweeps")
		}
	})
}

// Fails if a failure ends the background sweep, or nobody hears of it.
func TestSweepFailureIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.clock = testclock.New(time.Now())
		s := f.open(func(c *Config) { c.Clock = time.Now })
		r := f.record("")
		r.ExpiresAt = time.Now().Add(time.Second)
		f.must(s.Create(f.ctx, r))
		var mended atomic.Bool
		s.disk.step = func(string, string) error {
			if mended.Load() {
				return nil
			}
			return os.ErrPermission
		}
		s.startSweeper(time.Minute)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !strings.Contains(f.log.String(), os.ErrPermission.Error()) {
			t.Errorf("the failure is not logged: %s", f.log)
		}
		mended.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if left := f.leftovers(); left != nil {
			t.Errorf("after it was mended: %v", left)
		}
		s.Close()
	})
}

// Feature F39 at the size it is meant for.
func TestThousandsOfSessions(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	const n = 5000
	var recs []core.Record
	users := []string{"", "ann", "bob"}
	for i := range n {
		r := f.record(users[i%3])
		if i%2 == 0 {
			r.ExpiresAt = f.clock.Now().Add(time.Minute)
		}
		f.must(s.Create(f.ctx, r))
		recs = append(recs, r)
	}
	count := func() (n int) {
		for _, err := range s.List(f.ctx) {
			f.must(err)
			n++
		}
		return n
	}
	if got := count(); got != n {
		t.Errorf("List: %d, want %d", got, n)
	}
	f.clock.Advance(2 * time.Minute)
	swept, err := s.Sweep(f.ctx, time.Time{}, f.clock.Now())
	f.must(err)
	if got := count(); swept != n/2 || got != n/2 {
		t.Errorf("swept %d of %d, left %d", swept, n, got)
	}
	bob, err := s.ListUser(f.ctx, "bob")
	f.must(err)
	want := 0
	for i, r := range recs {
		if i%2 == 1 && r.User == "bob" {
			want++
		}
	}
	if len(bob) != want {
		t.Errorf("ListUser: %d, want %d", len(bob), want)
	}
}

// hasty is a context that ends after so many looks at it.
type hasty struct {
	context.Context
	left int
}

func (h *hasty) Err() error {
	if h.left--; h.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Who sweeps a little at a time gets everywhere in the end, even where a sweep
// never has the time for all. Fails if every sweep begins at the same place.
func TestShortSweepsGetEverywhere(t *testing.T) {
	f := newFixture(t)
	s := f.open()
	for range 3 { // wherever it is
		r := f.create(s, "ann")
		f.must(os.Remove(filepath.Join(f.dir, "records", recordName(r.ID)))) // its entry is left over
	}
	f.create(s, "")
	f.clock.Advance(2 * time.Hour)
	for range 5000 {
		_, err := s.Sweep(&hasty{f.ctx, 40}, time.Time{}, f.clock.Now())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a sweep that was cut short: %v", err)
		}
		if left := f.leftovers(); left == nil {
			return
		}
	}
	t.Errorf("left over: %v", f.leftovers())
}
