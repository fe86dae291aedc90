package memorystore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Feature S4. Fails if the lock goes to anybody but the one who waits longest,
// if that one is not woken, or if an unlock called twice frees the lock of
// another.
func TestLockQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		id := makeID(1)
		unlock, err := s.Lock(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var start time.Time
		var woken []time.Duration
		for i := range 5 {
			go func() {
				next, err := s.Lock(t.Context(), id)
				if err != nil {
					t.Error(err)
				}
				order = append(order, i) // the lock guards it
				woken = append(woken, time.Since(start))
				time.Sleep(time.Second)
				next()
				next()
			}()
			synctest.Wait()
		}
		if other, err := s.Lock(t.Context(), makeID(2)); err != nil {
			t.Error(err)
		} else {
			other()
		}
		if len(order) > 0 {
			t.Errorf("%v did not wait", order)
		}
		start = time.Now()
		unlock()
		unlock()
		time.Sleep(10 * time.Second)
		again, err := s.Lock(t.Context(), id)
		if err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("the lock was not free: %v", err)
		}
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) {
			t.Errorf("the order was %v", order)
		}
		for i, d := range woken { // each holds it for a second
			if want := time.Duration(i) * time.Second; d != want {
				t.Errorf("waiter %d had the lock %v after it was free, want to be woken at once", i, d-want)
			}
		}
		again()
		if s.queues.held != nil {
			t.Errorf("%d locks are remembered that nobody holds", len(s.queues.held))
		}
	})
}

// Fails if whoever gives up stays in the queue: the lock would be lost to it.
func TestLockGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		id := makeID(1)
		unlock, _ := s.Lock(t.Context(), id)
		got := make(chan time.Duration, 3)
		start := time.Now()
		for _, patience := range []time.Duration{time.Second, time.Hour, 2 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("had enough"))
				defer cancel()
				unlock, err := s.Lock(ctx, id)
				if err == nil {
					unlock()
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("gave up with %v", err)
				}
				got <- time.Since(start)
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		unlock()
		for _, want := range []time.Duration{time.Second, 2 * time.Second, time.Minute} {
			if d := <-got; d != want {
				t.Errorf("returned after %v, want %v", d, want)
			}
		}
		synctest.Wait()
		if s.queues.held != nil {
			t.Error("the lock is still held")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Lock(ctx, id); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock with an ended context: %v", err)
		}
	})
}

// The turn may come in the moment in which the context ends. Fails if leave
// does not look whether it has: nobody would ever get the lock again.
func TestTurnOfOneWhoLeft(t *testing.T) {
	s := New(Config{})
	id := makeID(1)
	q := &s.queues
	q.enter(id)
	turn, place := q.enter(id)
	last, _ := q.enter(id)
	q.pass(id)
	<-turn
	q.leave(id, turn, place)
	<-last
	q.pass(id)
	if q.held != nil {
		t.Error("the lock is still held")
	}
}

func TestLockExcludes(t *testing.T) {
	s := New(Config{})
	ids := []core.ID{makeID(1), makeID(2)}
	counts := make([]int, len(ids)) // each guarded by the lock of its ID
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			i := w % len(ids)
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				unlock, err := s.Lock(ctx, ids[i])
				if err != nil {
					t.Error(err)
				} else {
					counts[i]++
					unlock()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if !slices.Equal(counts, []int{1600, 1600}) {
		t.Errorf("%v", counts)
	}
}
