package sqlstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	watchPause  = 12 * time.Millisecond // between two looks, less up to a half
	watchRest   = 10 * watchPause       // after a look that failed
	lookTimeout = 2 * time.Second
	watched     = 100 // locks in one statement
)

var errClosed = errors.New("sqlstore: the store is closed")

// watcher wakes those of this process who wait for a lock that another process
// has. No database can tell all of its clients through database/sql, so one
// goroutine looks for all who wait: how often the database is asked depends
// neither on how many they are nor on how long they wait. It is there while
// anybody waits.
type watcher struct {
	// look returns which of some locks are taken.
	look func(ctx context.Context, ids []string) (taken []string, err error)

	ctx     context.Context // ends when the store is closed
	cancel  context.CancelFunc
	running sync.WaitGroup // the goroutine, and the one before that is about to end

	mu      sync.Mutex
	waiting map[string]chan struct{} // by ID; closed to wake who waits
	stop    context.CancelFunc       // ends the goroutine; nobody waits any more
	next    time.Time                // no look before that
}

func newWatcher(look func(ctx context.Context, ids []string) ([]string, error)) *watcher {
	w := &watcher{look: look, waiting: map[string]chan struct{}{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// close ends all waits, and waits for a look under way.
func (w *watcher) close() {
	w.mu.Lock()
	w.cancel() // nobody begins to wait from here on
	w.mu.Unlock()
	w.running.Wait()
}

// wait waits until it is worthwhile to claim the lock of id, for which nobody
// else waits here: it was seen to be free, or a look failed. It returns early
// when ctx ends, and with an error when the store is closed.
func (w *watcher) wait(ctx context.Context, id string) error {
	woken := make(chan struct{})
	w.mu.Lock()
	if w.ctx.Err() != nil {
		w.mu.Unlock()
		return errClosed
	}
	if len(w.waiting) == 0 {
		var run context.Context
		run, w.stop = context.WithCancel(w.ctx)
		w.running.Go(func() { w.run(run) })
	}
	w.waiting[id] = woken
	w.mu.Unlock()

	var err error
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
	case <-w.ctx.Done():
		err = errClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[id] == woken {
		w.wake(id)
	}
	return err
}

// run looks and wakes until nobody waits, or ctx ends. To a database that is
// slow it leaves as much time between two looks as the first of them took.
func (w *watcher) run(ctx context.Context) {
	for {
		w.mu.Lock()
		pause := max(watchPause/2+rand.N(watchPause/2), time.Until(w.next))
		w.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if !w.once(ctx) {
			return
		}
	}
}

// once is one look. It returns false when the goroutine is to end.
func (w *watcher) once(ctx context.Context) bool {
	w.mu.Lock()
	ids := make([]string, 0, len(w.waiting))
	for id := range w.waiting {
		ids = append(ids, id)
	}
	w.mu.Unlock()

	begun := time.Now()
	answer, err := w.look(ctx, ids)
	taken := make(map[string]bool, len(answer))
	for _, id := range answer {
		taken[id] = true
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return false // who waits now has a goroutine of its own
	}
	ended := time.Now()
	if w.next = ended.Add(ended.Sub(begun)); err != nil {
		w.next = w.next.Add(watchRest)
	}
	for _, id := range ids {
		// If the look failed, the claims will tell why, or succeed.
		if w.waiting[id] != nil && (err != nil || !taken[id]) {
			w.wake(id)
		}
	}
	return len(w.waiting) > 0
}

// wake wakes who waits for the lock of id. w.mu is held.
func (w *watcher) wake(id string) {
	close(w.waiting[id])
	delete(w.waiting, id)
	if len(w.waiting) == 0 {
		w.stop()
	}
}
