package cookiestore

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// MemoryConfig describes a [MemoryRevocations]. The zero value is the one for
// production.
type MemoryConfig struct {
	// MaxEntries bounds how many sessions are remembered, at some 100 bytes
	// each. There is one for each session that was logged out, revoked or
	// emptied, or whose token or longest deadline changed, until that
	// deadline has passed. Default: 1,000,000.
	MaxEntries int
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

const (
	defaultMaxEntries = 1_000_000
	// sweepBatch bounds the entries that one End drops, and so the time
	// that it holds others up.
	sweepBatch = 64
)

// MemoryRevocations is a list of [Revocations] for one process, which forgets
// it on restart. It is bounded, starts no goroutine, and is safe for concurrent
// use. Make one with [NewMemoryRevocations].
type MemoryRevocations struct {
	clock func() time.Time
	limit int

	mu   sync.RWMutex
	list agenda
}

var (
	_ Revocations      = (*MemoryRevocations)(nil)
	_ core.NonBlocking = (*MemoryRevocations)(nil)
)

// FullError says that a list of revocations is at its limit and none of its
// entries is old enough to be dropped. The session that was to be ended lives
// on, and the request fails. It wraps [core.ErrFull].
type FullError struct {
	Limit int // MemoryConfig.MaxEntries
}

func (e *FullError) Error() string {
	return fmt.Sprintf("cookiestore: the revocation list is full with %d entries; raise MemoryConfig.MaxEntries, or shorten core.Config.AbsoluteTimeout", e.Limit)
}

// Unwrap returns [core.ErrFull].
func (e *FullError) Unwrap() error { return core.ErrFull }

// NewMemoryRevocations returns an empty list. It panics with an error that
// wraps [core.ErrConfig] if MaxEntries is negative.
func NewMemoryRevocations(cfg MemoryConfig) *MemoryRevocations {
	if cfg.MaxEntries < 0 {
		panic(fmt.Errorf("%w: cookiestore: MaxEntries is negative: %d", core.ErrConfig, cfg.MaxEntries))
	}
	if cfg.MaxEntries == 0 {
		cfg.MaxEntries = defaultMaxEntries
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &MemoryRevocations{clock: cfg.Clock, limit: cfg.MaxEntries, list: agenda{at: map[core.ID]int{}}}
}

// End is [Revocations].End. Its only error is a [*FullError].
func (m *MemoryRevocations) End(_ context.Context, id core.ID, generation uint64, until time.Time) (first bool, err error) {
	now := m.clock().UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	for range sweepBatch {
		if !m.list.drop(now) {
			break
		}
	}
	e := entry{id, generation, until.Add(time.Millisecond - 1).UnixMilli()}
	i, known := m.list.at[id]
	switch {
	case known:
		old := &m.list.entries[i]
		first = generation > old.generation
		old.generation, old.until = max(old.generation, generation), max(old.until, e.until)
		heap.Fix(&m.list, i)
	case m.list.Len() >= m.limit:
		return false, &FullError{Limit: m.limit}
	default:
		first = generation > 0
		heap.Push(&m.list, e)
	}
	return first, nil
}

// Ended is [Revocations].Ended. Its error is always nil.
func (m *MemoryRevocations) Ended(_ context.Context, id core.ID) (generation uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if i, known := m.list.at[id]; known {
		generation = m.list.entries[i].generation
	}
	return generation, nil
}

// Len returns how many sessions are remembered. Some of them may have passed
// their time: they are dropped when others are added.
func (m *MemoryRevocations) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.list.entries)
}

// NonBlocking reports that no call waits for anything but a mutex; see
// [core.NonBlocking].
func (m *MemoryRevocations) NonBlocking() bool { return true }

// entry is what is remembered of a session. It has no pointers, so that a long
// list costs the garbage collector nothing.
type entry struct {
	id         core.ID
	generation uint64
	until      int64 // in milliseconds since 1970, rounded up
}

// agenda is a heap of entries, the one to be dropped next first, which also
// knows where each ID is.
type agenda struct {
	entries []entry
	at      map[core.ID]int
}

// drop removes the next entry if its time has passed.
func (a *agenda) drop(now int64) bool {
	if len(a.entries) == 0 || now < a.entries[0].until {
		return false
	}
	heap.Pop(a)
	return true
}

func (a *agenda) Len() int           { return len(a.entries) }
func (a *agenda) Less(i, j int) bool { return a.entries[i].until < a.entries[j].until }

func (a *agenda) Swap(i, j int) {
	e := a.entries
	e[i], e[j] = e[j], e[i]
	a.at[e[i].id], a.at[e[j].id] = i, j
}

// Push and Pop are the halves of heap.Push and heap.Pop that differ by type.
func (a *agenda) Push(x any) {
	e := x.(entry)
	a.at[e.id] = len(a.entries)
	a.entries = append(a.entries, e)
}

func (a *agenda) Pop() any {
	last := len(a.entries) - 1
	e := a.entries[last]
	a.entries = a.entries[:last]
	delete(a.at, e.id)
	return e
}
