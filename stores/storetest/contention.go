package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
)

// together runs fn n times at once and waits for all.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// gather returns a function that waits until n have called it.
func gather(n int) (wait func()) {
	var wg sync.WaitGroup
	wg.Add(n)
	return func() {
		wg.Done()
		wg.Wait()
	}
}

// tally counts outcomes. Safe for concurrent use.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[outcome(err)]++
}

// want checks that the outcomes are exactly n successes and, for the rest, the
// sentinel.
func (c *tally) want(t *trial, what string, n, all int, rest error) {
	t.Helper()
	if c.n[outcome(nil)] != n || c.n[outcome(rest)] != all-n {
		t.Errorf("%s: %v, want %d of %s and %d of %s", what, c.n, n, outcome(nil), all-n, outcome(rest))
	}
}

// contention are the cases about verbs that meet.
var contention = []testcase{
	{"create-create", "Of those who Create the same ID at once, exactly one succeeds, and its record is the one stored.", func(t *trial) {
		for range 5 {
			id := newID()
			var c tally
			var winner core.Record
			together(50, func(i int) {
				rec := t.record()
				rec.ID, rec.Values = id, fmt.Appendf(nil, "by %d", i)
				err := t.store.Create(t.ctx, rec)
				if c.add(err); err == nil {
					c.mu.Lock()
					winner = rec
					c.mu.Unlock()
				}
			})
			c.want(t, "50 at once", 1, 50, core.ErrExists)
			t.wantStored("the winner's", winner)
		}
	}},
	{"create-create-expired", "Of those who Create over an expired record at once, exactly one succeeds.", func(t *trial) {
		for range 5 {
			old := t.create(t.fullRecord())
			t.clock.set(old.ExpiresAt)
			var c tally
			together(20, func(i int) {
				rec := t.record()
				rec.ID = old.ID
				c.add(t.store.Create(t.ctx, rec))
			})
			c.want(t, "20 at once", 1, 20, core.ErrExists)
		}
	}},
	{"update-update", "Update is a compare-and-swap: of those who update the same version at once, exactly one succeeds.", func(t *trial) {
		for range 5 {
			rec := t.create(t.record())
			var c tally
			var winner core.Record
			together(50, func(i int) {
				next := rec
				next.Version, next.Values = 2, fmt.Appendf(nil, "by %d", i)
				err := t.store.Update(t.ctx, next)
				if c.add(err); err == nil {
					c.mu.Lock()
					winner = next
					c.mu.Unlock()
				}
			})
			c.want(t, "50 at once", 1, 50, core.ErrConflict)
			t.wantStored("the winner's", winner)
		}
	}},
	{"counter", "Update is a compare-and-swap: who reloads and tries again after ErrConflict loses no update.", func(t *trial) {
		const workers, each = 8, 10
		rec := t.record()
		rec.Values = make([]byte, 8)
		t.create(rec)
		loaded := gather(workers)
		together(workers, func(int) {
			for done, try := 0, 0; done < each; try++ {
				next, err := t.store.Load(t.ctx, rec.ID)
				if try == 0 {
					loaded() // so that all but one must try again
				}
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				next.Values = binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(next.Values)+1)
				next.Version++
				switch err := t.store.Update(t.ctx, next); {
				case err == nil:
					done++
				case !errors.Is(err, core.ErrConflict):
					t.Errorf("Update: %s, want success or ErrConflict", outcome(err))
					return
				}
			}
		})
		rec.Version, rec.Values = 1+workers*each, binary.BigEndian.AppendUint64(nil, workers*each)
		t.wantStored("counted", rec)
	}},
	{"delete-delete", "Of those who delete a record at once, exactly one is told that it was there.", func(t *trial) {
		for range 5 {
			rec := t.create(t.record())
			var mu sync.Mutex
			told := 0
			together(20, func(int) {
				existed, err := t.store.Delete(t.ctx, rec.ID)
				if err != nil {
					t.Errorf("Delete: %v", err)
				}
				if existed {
					mu.Lock()
					told++
					mu.Unlock()
				}
			})
			if told != 1 {
				t.Errorf("%d of 20 were told that the record existed, want 1", told)
			}
			t.wantAbsent("deleted", rec.ID)
		}
	}},
	{"delete-update", "No Update brings a deleted record back, however close they come.", func(t *trial) {
		for range 50 {
			rec := t.create(t.record())
			together(3, func(i int) {
				if i == 0 {
					if _, err := t.store.Delete(t.ctx, rec.ID); err != nil {
						t.Errorf("Delete: %v", err)
					}
					return
				}
				next := rec
				next.Version++
				err := t.store.Update(t.ctx, next)
				if err != nil && !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrConflict) {
					t.Errorf("Update: %s, want success, ErrNotFound or ErrConflict", outcome(err))
				}
			})
			t.wantAbsent("deleted and updated", rec.ID)
		}
	}},
	{"delete-touch", "No Touch brings a deleted record back, however close they come.", func(t *trial) {
		for range 50 {
			rec := t.create(t.record())
			together(3, func(i int) {
				if i == 0 {
					if _, err := t.store.Delete(t.ctx, rec.ID); err != nil {
						t.Errorf("Delete: %v", err)
					}
					return
				}
				err := t.store.Touch(t.ctx, rec.ID, t.clock.now().Add(time.Second), rec.ExpiresAt.Add(time.Second))
				if err != nil && !errors.Is(err, core.ErrNotFound) {
					t.Errorf("Touch: %s, want success or ErrNotFound", outcome(err))
				}
			})
			t.wantAbsent("deleted and touched", rec.ID)
		}
	}},
	{"touch-update", "A Touch never undoes the Update that it meets: it changes the two times and nothing else.", func(t *trial) {
		for range 50 {
			rec := t.create(t.record())
			next := rec
			next.Version, next.Values = 2, []byte("updated")
			later := rec.ExpiresAt.Add(time.Minute)
			together(3, func(i int) {
				var err error
				if i == 0 {
					err = t.store.Update(t.ctx, next)
				} else {
					err = t.store.Touch(t.ctx, rec.ID, rec.LastAccess.Add(time.Minute), later)
				}
				if err != nil {
					t.Errorf("Update or Touch: %v", err)
				}
			})
			got, err := t.store.Load(t.ctx, rec.ID)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if d := diff(got, next, "LastAccess", "ExpiresAt"); d != "" {
				t.Fatalf("updated and touched: %s", d)
			}
		}
	}},
	{"touch-touch", "Of those who touch a record at once, the latest times remain.", func(t *trial) {
		for range 10 {
			rec := t.create(t.record())
			together(20, func(i int) {
				by := time.Duration(i) * time.Second
				if err := t.store.Touch(t.ctx, rec.ID, rec.LastAccess.Add(by), rec.ExpiresAt.Add(by)); err != nil {
					t.Errorf("Touch: %v", err)
				}
			})
			rec.LastAccess, rec.ExpiresAt = rec.LastAccess.Add(19*time.Second), rec.ExpiresAt.Add(19*time.Second)
			t.wantStored("touched", rec)
		}
	}},
	{"load-update", "Load returns a record as one Create or Update stored it, never a mixture.", func(t *trial) {
		fill := func(rec core.Record) core.Record {
			rec.Requests = rec.Version
			rec.Values = make([]byte, 1000)
			for i := range rec.Values {
				rec.Values[i] = byte(rec.Version)
			}
			return rec
		}
		rec := t.create(fill(t.record()))
		var loaded atomic.Int32
		done := make(chan struct{})
		together(5, func(i int) {
			if i == 0 {
				defer close(done)
				for next := rec; (next.Version < 60 || loaded.Load() < 200) && !t.Failed(); {
					next.Version++
					next = fill(next)
					if err := t.store.Update(t.ctx, next); err != nil {
						t.Errorf("Update: %v", err)
						return
					}
				}
				return
			}
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := t.store.Load(t.ctx, rec.ID)
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				loaded.Add(1)
				want := rec
				want.Version = got.Version
				if d := diff(got, fill(want)); d != "" {
					t.Errorf("a record of version %d: %s", got.Version, d)
					return
				}
			}
		})
	}},
	{"strangers", "Requests for different records do not disturb each other.", func(t *trial) {
		recs := make([]core.Record, 16)
		each := func(verb string, call func(rec *core.Record) error) {
			t.Helper()
			together(len(recs), func(i int) {
				if err := call(&recs[i]); err != nil {
					t.Errorf("%s of a record of one's own: %v", verb, err)
				}
			})
			if t.Failed() {
				t.FailNow()
			}
			for _, rec := range recs {
				if verb != "Delete" {
					t.wantStored("after "+verb, rec)
				} else {
					t.wantAbsent("after Delete", rec.ID)
				}
			}
		}
		for i := range recs {
			recs[i] = t.record()
			recs[i].User = fmt.Sprint("user ", i%3)
		}
		each("Create", func(rec *core.Record) error { return t.store.Create(t.ctx, *rec) })
		for range 5 {
			each("Update", func(rec *core.Record) error {
				rec.Version++
				rec.Values = fmt.Appendf(nil, "%v at version %d", rec.ID, rec.Version)
				return t.store.Update(t.ctx, *rec)
			})
			each("Touch", func(rec *core.Record) error {
				rec.ExpiresAt = rec.ExpiresAt.Add(time.Second)
				return t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt)
			})
		}
		each("Delete", func(rec *core.Record) error {
			existed, err := t.store.Delete(t.ctx, rec.ID)
			if err == nil && !existed {
				err = errors.New("it was not there")
			}
			return err
		})
	}},
}
