package memorystore

import (
	"container/list"
	"context"
	"sync"

	"github.com/coatcheck/sessions/core"
)

// queues is who waits for which ID, first come, first served. An ID has a
// queue, be it empty, only while somebody holds its lock.
type queues struct {
	mu   sync.Mutex
	held map[core.ID]*list.List // of chan struct{}, closed when the turn comes
}

// Lock waits until the lock of id is free, in the order of arrival, or until
// ctx ends: then it returns the context's error. The lock holds nobody off the
// record; see [core.Locker].
func (s *Store) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q := &s.queues
	turn, place := q.enter(id)
	select {
	case <-turn:
		return sync.OnceFunc(func() { q.pass(id) }), nil
	case <-ctx.Done():
		q.leave(id, turn, place)
		return nil, ctx.Err()
	}
}

// enter joins the queue of an ID.
func (q *queues) enter(id core.ID) (turn chan struct{}, place *list.Element) {
	q.mu.Lock()
	defer q.mu.Unlock()
	turn = make(chan struct{})
	if waiting := q.held[id]; waiting != nil {
		return turn, waiting.PushBack(turn)
	}
	if q.held == nil {
		q.held = make(map[core.ID]*list.List)
	}
	q.held[id] = list.New()
	close(turn)
	return turn, nil
}

// leave gives up waiting. If the turn has come meanwhile, it is passed on.
func (q *queues) leave(id core.ID, turn chan struct{}, place *list.Element) {
	q.mu.Lock()
	select {
	case <-turn:
		q.mu.Unlock()
		q.pass(id)
	default:
		q.held[id].Remove(place)
		q.mu.Unlock()
	}
}

// pass gives the lock of an ID to the next in the queue.
func (q *queues) pass(id core.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := q.held[id]
	if next := waiting.Front(); next != nil {
		close(waiting.Remove(next).(chan struct{}))
		return
	}
	delete(q.held, id)
	if len(q.held) == 0 {
		q.held = nil
	}
}
