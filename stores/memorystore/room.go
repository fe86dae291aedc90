package memorystore

import (
	"context"
	"math"

	"github.com/coatcheck/sessions/core"
)

// makeRoom removes something so that so many more bytes may fit, and reports
// whether there was anything that it may remove. Where nothing would help, it
// evicts nobody. It spares the session that needs the room. No lock is held.
func (s *Store) makeRoom(need int64, spare core.ID, now int64) bool {
	return s.removeExpired(now) || s.budget.reaches(need) && s.evict(spare)
}

// removeExpired removes some expired records, if there are any.
func (s *Store) removeExpired(now int64) bool {
	for i := range s.shards {
		sh := &s.shards[i]
		for sh.soonest.Load() <= now {
			if s.expireBatch(sh, now) > 0 {
				return true
			}
		}
	}
	return false
}

// expireBatch handles one batch of the records that expired first, and returns
// how many it removed. The shard holds no more that expired when its bound is
// after now.
func (s *Store) expireBatch(sh *shard, now int64) (removed int) {
	var gone []core.Record
	defer func() { s.told.Tell(context.Background(), true, gone...) }()
	sh.mu.Lock()
	defer sh.unlock()
	for range batch {
		slot, ok := sh.expiry.first(sh.entries)
		if !ok {
			continue
		}
		if slot == absent || sh.entries[slot].live(now) {
			break
		}
		gone = s.expire(sh, slot, gone)
		removed++
	}
	return removed
}

// expire removes an entry that has expired and, if somebody is to be told,
// appends its record. The shard is locked.
func (s *Store) expire(sh *shard, slot int32, to []core.Record) []core.Record {
	if s.told.Any() {
		to = append(to, sh.entries[slot].record())
	}
	s.drop(sh, slot)
	s.expired.Add(1)
	return to
}

// evict removes the least recently used anonymous session of the store, except
// one, and reports whether there was any.
func (s *Store) evict(spare core.ID) bool {
	search := search{spare: spare, aside: math.MinInt64}
	for {
		sh, limit := search.next(s)
		if sh == nil {
			return false
		}
		if search.take(s, sh, limit) {
			return true
		}
	}
}

// search looks for the session to evict by the bounds that shards publish.
type search struct {
	spare core.ID
	aside int64 // bound of the shard of spare, leaving that aside
}

// next returns the shard with the lowest bound, nil if none has an anonymous
// session, and the lowest bound of the others: up to that time, the oldest of
// the shard is the oldest of all.
func (q *search) next(s *Store) (best *shard, limit int64) {
	lowest, limit := int64(never), int64(never)
	for i := range s.shards {
		sh := &s.shards[i]
		bound := sh.oldest.Load()
		if sh == s.shard(q.spare) {
			bound = max(bound, q.aside)
		}
		if bound < lowest {
			best, lowest, limit = sh, bound, lowest
		} else {
			limit = min(limit, bound)
		}
	}
	return best, limit
}

// take evicts the oldest anonymous session of a shard if its last use is not
// after limit. If not, the bound of the shard is higher now.
func (q *search) take(s *Store, sh *shard, limit int64) bool {
	sh.mu.Lock()
	defer sh.unlock()
	for range batch {
		slot, ok := sh.anonymous.first(sh.entries)
		spared := ok && slot != absent && sh.entries[slot].id == q.spare
		if spared {
			slot, ok = sh.anonymous.second(sh.entries)
		}
		if !ok {
			continue
		}
		access := int64(never)
		if slot != absent {
			access = sh.entries[slot].access
		}
		if spared {
			q.aside = access
		}
		if slot == absent || access > limit {
			return false
		}
		s.drop(sh, slot)
		s.evicted.Add(1)
		return true
	}
	return false
}
