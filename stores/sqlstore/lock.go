package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

const (
	lease         = 30 * time.Second // of a lock whose process died
	unlockTimeout = 5 * time.Second
	minPoll       = 2 * time.Millisecond
	maxPoll       = 50 * time.Millisecond
)

// Lock waits until the lock of id is free, or until ctx ends. It guards nothing
// by itself; see [core.Locker].
//
// A lock is a row with a lease of 30 seconds, renewed for as long as the lock is
// held: a node that dies holds others up for no longer. The clocks of the nodes
// must agree to within a few seconds. Within a process waiters queue up, and
// only the first of them asks the database, every 2 to 50 ms; it holds no
// connection while it waits or while it has the lock.
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	leave, err := s.queues.enter(ctx, id)
	if err != nil {
		return nil, err
	}
	l := &held{store: s, id: id.String(), owner: rand.Text()}
	if err := l.acquire(ctx); err != nil {
		leave()
		return nil, err
	}
	done := make(chan struct{})
	go l.keep(done)
	return sync.OnceFunc(func() {
		close(done)
		l.release()
		leave()
	}), nil
}

// held is a lock that this process has or waits for.
type held struct {
	store     *Store
	id, owner string
}

func (l *held) until() int64 { return l.store.now() + lease.Milliseconds() }

func (l *held) acquire(ctx context.Context) error {
	s := l.store
	for poll := minPoll; ; poll = min(2*poll, maxPoll) {
		got, err := s.claim(ctx, "lock", s.sql.lock, s.sql.relock, []any{l.id}, []any{l.owner, l.until()})
		if err != nil {
			// It may have taken effect all the same.
			go l.release()
			return err
		}
		if got {
			return nil
		}
		if pause(ctx, poll); ctx.Err() != nil {
			return fmt.Errorf("sqlstore: lock: %w", ctx.Err())
		}
	}
}

// keep renews the lease until the lock is given back, or somebody else has it.
func (l *held) keep(done <-chan struct{}) {
	ticker := time.NewTicker(lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-done:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), lease/3)
		n, err := l.store.exec(ctx, "lock", l.store.sql.renew, l.until(), l.id, l.owner)
		cancel()
		if err == nil && n == 0 {
			return
		}
	}
}

// release ends the lease. If that fails, it ends by itself.
func (l *held) release() {
	ctx, cancel := context.WithTimeout(context.Background(), unlockTimeout)
	defer cancel()
	l.store.exec(ctx, "unlock", l.store.sql.unlock, l.id, l.owner)
}

// queues lets one caller of this process at a time ask for the lock of an ID.
type queues struct {
	mu sync.Mutex
	of map[core.ID]*queue
}

type queue struct {
	turn chan struct{} // has room for one
	size int           // who is in it or has its turn; guarded by queues.mu
}

// enter waits for the turn of the caller.
func (q *queues) enter(ctx context.Context, id core.ID) (leave func(), err error) {
	q.mu.Lock()
	line := q.of[id]
	if line == nil {
		if q.of == nil {
			q.of = map[core.ID]*queue{}
		}
		line = &queue{turn: make(chan struct{}, 1)}
		q.of[id] = line
	}
	line.size++
	q.mu.Unlock()

	quit := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if line.size--; line.size == 0 {
			delete(q.of, id)
		}
	}
	select {
	case line.turn <- struct{}{}:
		return func() { <-line.turn; quit() }, nil
	case <-ctx.Done():
		quit()
		return nil, fmt.Errorf("sqlstore: lock: %w", ctx.Err())
	}
}
