package memorystore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/coatcheck/sessions/core"
)

// sweeper removes expired records in the background. It is a timer that runs
// only while the store holds something, so that no goroutine waits, and knows
// the store by a weak pointer, so that a store that was dropped without Close
// is collected.
type sweeper struct {
	interval time.Duration
	armed    atomic.Bool
	closed   atomic.Bool

	mu    sync.Mutex // held while it sweeps
	timer *time.Timer
}

// arm sees to it that the sweeper runs.
func (s *Store) arm() {
	if s.sweeper.armed.Load() || s.sweeper.closed.Load() {
		return
	}
	s.sweeper.mu.Lock()
	defer s.sweeper.mu.Unlock()
	if s.sweeper.armed.Load() || s.sweeper.closed.Load() {
		return
	}
	s.sweeper.armed.Store(true)
	store := weak.Make(s)
	s.sweeper.timer = time.AfterFunc(s.sweeper.interval, func() {
		if s := store.Value(); s != nil {
			s.sweep()
		}
	})
}

// sweep is one run of the sweeper.
func (s *Store) sweep() {
	s.sweeper.mu.Lock()
	now := s.now()
	for i := range s.shards {
		sh := &s.shards[i]
		for sh.soonest.Load() <= now && !s.sweeper.closed.Load() {
			s.expireBatch(sh, now)
		}
		for !s.sweeper.closed.Load() && !sh.settle() {
		}
	}
	s.sweeper.armed.Store(false)
	s.sweeper.mu.Unlock()
	// Whoever put a record into an empty store meanwhile found the sweeper
	// armed, or is counted here.
	if s.budget.now().sessions > 0 {
		s.arm()
	}
}

// settle sets right what the heap of anonymous sessions was not told, a batch
// of it, so that a store that fills up later finds the oldest without much
// ado. It reports whether that is done.
func (sh *shard) settle() bool {
	sh.mu.Lock()
	defer sh.unlock()
	for range batch {
		if _, ok := sh.anonymous.first(sh.entries); ok {
			return true
		}
	}
	return false
}

// NotifyExpired has fn called with each expired record that the store removes,
// until cancel is called; see [core.Expirer]. It costs a copy of the record.
func (s *Store) NotifyExpired(fn func(ctx context.Context, rec core.Record, swept bool)) (cancel func()) {
	return s.told.Add(fn)
}

// Close stops removing expired records in the background, waits until that has
// stopped, and returns nil. The store stays usable, so that requests which
// outlive the shutdown end well and [Store.Snapshot] may follow: expired
// records are still refused, and still make room when the store is full.
// Calling Close again does nothing.
func (s *Store) Close() error {
	s.sweeper.closed.Store(true)
	s.sweeper.mu.Lock()
	defer s.sweeper.mu.Unlock()
	if s.sweeper.timer != nil {
		s.sweeper.timer.Stop()
	}
	return nil
}

// Sweep removes the records with from <= ExpiresAt < to and returns how many:
// at once what the store does by itself every Config.SweepInterval. No request
// waits for more than a few records to be removed. If ctx ends, Sweep stops
// with its error.
func (s *Store) Sweep(ctx context.Context, from, to time.Time) (removed int, err error) {
	first, end := ceil(from), ceil(to)
	var due []core.ID
	for i := range s.shards {
		sh := &s.shards[i]
		if sh.soonest.Load() >= end {
			continue
		}
		due = sh.due(end, due[:0])
		for rest := due; len(rest) > 0; {
			if err := ctx.Err(); err != nil {
				return removed, err
			}
			n := min(batch, len(rest))
			removed += s.sweepBatch(ctx, sh, rest[:n], first, end)
			rest = rest[n:]
		}
	}
	return removed, ctx.Err()
}

// due appends the IDs of the entries that may expire before end.
func (sh *shard) due(end int64, to []core.ID) []core.ID {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.expiry.before(end, func(slot int32) { to = append(to, sh.entries[slot].id) })
	return to
}

func (s *Store) sweepBatch(ctx context.Context, sh *shard, due []core.ID, first, end int64) (removed int) {
	var gone []core.Record
	defer func() { s.told.Tell(ctx, true, gone...) }()
	sh.mu.Lock()
	defer sh.unlock()
	for _, id := range due {
		slot, ok := sh.slots[id]
		if !ok {
			continue
		}
		if t := sh.entries[slot].expires; first <= t && t < end {
			gone = s.expire(sh, slot, gone)
			removed++
		}
	}
	return removed
}

// ceil is the first millisecond not before t: among times in milliseconds it
// divides as t does.
func ceil(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
