package memorystore

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/coatcheck/sessions/core"
)

// batches is a context that counts what happens between two looks at it, and
// ends after so many.
type batches struct {
	context.Context
	s      *Store
	after  int
	looks  int
	before int
	most   int
}

func (b *batches) Err() error {
	n, _ := b.s.Count(b)
	if b.looks > 0 {
		b.most = max(b.most, b.before-n)
	}
	b.before = n
	b.looks++
	for i := range b.s.shards {
		if mu := &b.s.shards[i].mu; mu.TryLock() {
			mu.Unlock()
		} else {
			b.most = b.before // a lock is held
		}
	}
	if b.looks > b.after {
		return context.Canceled
	}
	return nil
}

// Fails if Sweep handles a shard, or the store, under one lock.
func TestSweepInBatches(t *testing.T) {
	const n = 30_000
	f := newFixture(t, Config{})
	for i := range n {
		f.create(i, "ann")
	}
	f.advance(time.Hour)
	f.create(n, "bob")
	b := &batches{Context: f.ctx, s: f.Store, after: 10}
	removed, err := f.Sweep(b, time.Time{}, instant(f.clock.Load()+1))
	if !errors.Is(err, context.Canceled) || removed == 0 || removed > 10*batch || removed != n+1-f.count() {
		t.Errorf("the context ended after 10 batches: removed %d, %v", removed, err)
	}
	b = &batches{Context: f.ctx, s: f.Store, after: n}
	more, err := f.Sweep(b, time.Time{}, instant(f.clock.Load()+1))
	if err != nil || removed+more != n || f.count() != 1 {
		t.Errorf("removed %d and %d of %d, %v, %d left", removed, more, n, err, f.count())
	}
	if b.most == 0 || b.most > batch {
		t.Errorf("%d records were removed under one lock, at most %d should be", b.most, batch)
	}
}

// Fails if the sweeper, or the search for room, handles more than a batch
// under one lock.
func TestBatchOfOneShard(t *testing.T) {
	const n = 10 * batch
	f := newFixture(t, Config{})
	for i := range n {
		rec := f.rec(i, "")
		rec.ID = core.ID{1, byte(i), byte(i >> 8)}
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	f.advance(time.Minute)
	now := instant(f.clock.Load())
	sh := &f.shards[1]
	for id := range sh.slots {
		f.Touch(f.ctx, id, now, now.Add(time.Hour))
	}
	passes := 1
	for ; !sh.settle(); passes++ {
	}
	if passes < n/batch {
		t.Errorf("%d entries were settled in %d passes", n, passes)
	}
	f.advance(time.Hour - time.Minute)
	sets := 0
	for ; sh.soonest.Load() <= f.clock.Load(); sets++ {
		if f.expireBatch(sh, f.clock.Load()) != 0 {
			t.Fatal("what was touched has not expired")
		}
	}
	if sets < n/batch {
		t.Errorf("%d keys were set right in %d passes", n, sets)
	}
	f.advance(time.Minute)
	for left := n; left > 0; left -= batch {
		if f.count() != left {
			t.Fatalf("%d left, want %d", f.count(), left)
		}
		if removed := f.expireBatch(sh, f.clock.Load()); removed != batch {
			t.Fatalf("removed %d", removed)
		}
	}
}

func TestSweepRange(t *testing.T) {
	f := newFixture(t, Config{})
	start := instant(f.clock.Load())
	for i := range 10 {
		rec := f.rec(i, "")
		rec.ExpiresAt = start.Add(time.Duration(i) * time.Second)
		if i%2 == 0 {
			rec.User = "ann"
		}
		if err := f.Create(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	f.advance(time.Minute)
	// The limits count to the nanosecond, the records to the millisecond.
	if n, err := f.Sweep(f.ctx, start.Add(2*time.Second+1), start.Add(5*time.Second+1)); n != 3 || err != nil {
		t.Errorf("removed %d, %v, want those of 3, 4 and 5 s", n, err)
	}
	if n, _ := f.Sweep(f.ctx, start.Add(2*time.Second+1), start.Add(5*time.Second+1)); n != 0 {
		t.Errorf("and %d again", n)
	}
	if n, _ := f.Sweep(f.ctx, start.Add(6*time.Second), start.Add(7*time.Second)); n != 1 {
		t.Errorf("removed %d, want that of 6 s", n)
	}
	if n, _ := f.Sweep(f.ctx, time.Time{}, start.Add(time.Minute)); n != 6 || f.count() != 0 {
		t.Errorf("removed %d, %d left", n, f.count())
	}
}

// Fails if the sweeper is not armed by a Create, not armed again while records
// are left, or armed for ever.
func TestSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{SweepInterval: time.Minute})
		f := &fixture{Store: s, t: t, ctx: t.Context()}
		create := func(i int, life time.Duration) {
			now := time.Now()
			if err := s.Create(f.ctx, core.Record{ID: makeID(i), Version: 1, LastAccess: now, ExpiresAt: now.Add(life)}); err != nil {
				t.Fatal(err)
			}
		}
		if s.sweeper.armed.Load() {
			t.Error("armed before there is anything")
		}
		for range 2 {
			create(1, 30*time.Second)
			create(2, 90*time.Second)
			for _, want := range []int{1, 0} {
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				if f.count() != want {
					t.Errorf("%d left, want %d", f.count(), want)
				}
			}
			if s.sweeper.armed.Load() {
				t.Error("armed although there is nothing left")
			}
		}
		create(1, time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.sweeper.timer.Stop() {
			t.Error("Close left the timer running")
		}
		create(2, time.Second)
		time.Sleep(time.Hour)
		synctest.Wait()
		if f.count() != 2 {
			t.Errorf("%d left: a sweep after Close", f.count())
		}
		f.want(1, core.ErrExpired)
	})
}

// bubble counts the goroutines of the synctest bubble. Those of the runtime,
// which come and go, are not in it.
func bubble() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "synctest bubble")
}

// Fails if a goroutine waits between the sweeps; the bubble would not end
// either.
func TestNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := bubble()
		s := New(Config{})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s = New(Config{})
		s.Create(t.Context(), core.Record{ID: makeID(1), Version: 1, ExpiresAt: time.Now().Add(time.Hour)})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := bubble(); n != before {
			t.Errorf("%d goroutines more than before", n-before)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := bubble(); n != before {
			t.Errorf("%d goroutines more than before, after Close", n-before)
		}
	})
}

// Fails if Close does not wait for the sweep that it meets: the sweep stands
// in the clock when Close begins.
func TestCloseWaitsForSweep(t *testing.T) {
	entered, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	start := time.Now()
	var block bool
	s := New(Config{Clock: func() time.Time {
		if block {
			close(entered)
			<-release
			block = false
		}
		return start
	}})
	s.Create(t.Context(), core.Record{ID: makeID(1), Version: 1, ExpiresAt: start.Add(time.Hour)})
	block = true
	go s.sweep()
	<-entered
	go func() {
		s.Close()
		if s.sweeper.armed.Load() {
			t.Error("Close returned before the sweep was over")
		}
		close(closed)
	}()
	for !s.sweeper.closed.Load() {
		runtime.Gosched()
	}
	close(release)
	<-closed
}

// Fails if the timer holds the store itself instead of a weak pointer.
func TestForgottenStoreIsCollected(t *testing.T) {
	forgotten := func() weak.Pointer[Store] {
		s := New(Config{})
		s.Create(t.Context(), core.Record{ID: makeID(1), Version: 1, ExpiresAt: time.Now().Add(time.Hour)})
		return weak.Make(s)
	}()
	runtime.GC()
	if forgotten.Value() != nil {
		t.Error("the store is still referred to")
	}
}

// Memory that a wave of sessions took is given back when they are gone, also
// if a few remain. Fails without shard.rebuild.
func TestMemoryIsGivenBack(t *testing.T) {
	const n = 50_000
	f := newFixture(t, Config{})
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	empty := heap()
	for i := range n {
		f.create(i, "")
	}
	full := heap() - empty
	f.advance(time.Minute)
	for i := range n / 100 {
		f.touch(i * 100)
	}
	f.advance(time.Hour - time.Minute)
	f.sweep()
	if f.count() != n/100 {
		t.Fatalf("%d left", f.count())
	}
	if rest := heap() - empty; rest > full/20 {
		t.Errorf("%d sessions took %.0f bytes, 1%% of them still take %.0f", n, full, rest)
	}
	for i := range n / 100 {
		f.want(i*100, nil)
	}
}
