package memorystore

import (
	"context"
	"slices"
	"sync"

	"github.com/coatcheck/sessions/core"
)

// queues is who waits for which ID, first come, first served. An ID is a key
// while somebody holds its lock.
type queues struct {
	mu   sync.Mutex
	held map[core.ID][]chan struct{}
}

// Lock waits until the lock of id is free, in the order of arrival, or until
// ctx ends. It guards nothing by itself; see [core.Locker].
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	q := &s.queues
	q.mu.Lock()
	waiters, taken := q.held[id]
	if !taken {
		q.held[id] = nil
		q.mu.Unlock()
		return sync.OnceFunc(func() { q.pass(id) }), nil
	}
	turn := make(chan struct{})
	q.held[id] = append(waiters, turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return sync.OnceFunc(func() { q.pass(id) }), nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.held[id], turn)
	if i >= 0 {
		q.held[id] = slices.Delete(q.held[id], i, i+1)
	}
	q.mu.Unlock()
	if i < 0 {
		q.pass(id) // the turn came at the same moment
	}
	return nil, context.Cause(ctx)
}

// pass gives the lock of id to the next in the queue.
func (q *queues) pass(id core.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiters := q.held[id]
	if len(waiters) == 0 {
		delete(q.held, id)
		return
	}
	q.held[id] = waiters[1:]
	close(waiters[0])
}
