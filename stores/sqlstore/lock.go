package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

const (
	lease         = 30 * time.Second // of a lock whose process died
	unlockTimeout = 5 * time.Second
	retryPause    = 2 * time.Millisecond
)

// Lock waits until the lock of id is free, or until ctx ends. It guards nothing
// by itself; see [core.Locker].
//
// A lock is a row with a lease of 30 seconds, renewed for as long as the lock is
// held: a node that dies holds others up for no longer. The clocks of the nodes
// must agree to within a few seconds. Neither who has a lock nor who waits for
// one holds a connection meanwhile.
//
// Those who wait in this store queue up for each lock and are woken in turn. If
// another process has it, the first in the queue claims it as soon as the store
// sees that it is free. For that one query every 6 to 12 ms looks at up to 100
// locks at once, so that a process asks the database some hundred times a second
// while it waits, for however many sessions, and less often if the answers take
// long. [Store.Close] ends these waits with an error.
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
	for first := true; ; first = false {
		got, err := s.claim(ctx, "lock", s.sql.lock, s.sql.relock, []any{l.id}, []any{l.owner, l.until()})
		if err != nil {
			// It may have taken effect all the same.
			go l.release()
			return err
		}
		if got {
			return nil
		}
		if first {
			pause(ctx, retryPause) // many requests are over by then
		} else if err := s.watcher.wait(ctx, l.id); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("sqlstore: lock: %w", ctx.Err())
		}
	}
}

// locked returns which of some locks somebody has.
func (s *Store) locked(ctx context.Context, ids []string) (taken []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for some := range slices.Chunk(ids, watched) {
		query, args := s.sql.locked, []any{some[0]}
		if len(some) > 1 {
			query, args = s.sql.lockedMany, make([]any, watched, watched+1)
			for i := range args {
				args[i] = some[min(i, len(some)-1)] // the statement has room for as many
			}
		}
		got, err := collect(ctx, s, "lock", query, append(args, s.now()), func(id *string) []any { return []any{id} })
		if err != nil {
			return nil, err
		}
		taken = append(taken, got...)
	}
	return taken, nil
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
