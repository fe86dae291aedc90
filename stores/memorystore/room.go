package memorystore

import "github.com/coatcheck/sessions/core"

// makeRoom removes something so that a session of a size may fit, and reports
// whether it found anything that it may remove. It spares the session that
// needs the room. No lock is held.
func (s *Store) makeRoom(size int64, spare core.ID, now int64) bool {
	return size <= s.budget.maxBytes && (s.removeExpired(now) || s.evict(spare))
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
	sh.mu.Lock()
	defer sh.unlock()
	for range batch {
		e, ok := sh.expiry.first()
		if !ok {
			continue
		}
		if e == nil || e.live(now) {
			break
		}
		s.expire(sh, e)
		removed++
	}
	return removed
}

// expire removes an entry that has expired. The shard is locked.
func (s *Store) expire(sh *shard, e *entry) {
	s.drop(sh, e)
	s.expired.Add(1)
}

// evict removes the least recently used anonymous session of the store, except
// one, and reports whether there was any.
func (s *Store) evict(spare core.ID) bool {
	search := evictSearch{spare: spare}
	for {
		sh, limit := search.next(s)
		if sh == nil {
			return false
		}
		if s.evictFrom(sh, limit, &search) {
			return true
		}
	}
}

// evictSearch finds the shard to evict from by the bounds that shards publish.
type evictSearch struct {
	spare core.ID
	// The shard of the spared session publishes a bound that may be that
	// session's. known is set once its bound without it is.
	known bool
	bound int64
}

// next returns the shard with the lowest bound, nil if none has an anonymous
// session, and the limit up to which its oldest session is the oldest of all:
// the lowest bound of the others.
func (q *evictSearch) next(s *Store) (best *shard, limit int64) {
	lowest := int64(never)
	limit = never
	for i := range s.shards {
		sh := &s.shards[i]
		bound := sh.oldest.Load()
		if q.known && i == int(q.spare[0]) {
			bound = max(bound, q.bound)
		}
		switch {
		case bound < lowest:
			best, lowest, limit = sh, bound, lowest
		case bound < limit:
			limit = bound
		}
	}
	return best, limit
}

// evictFrom evicts the oldest anonymous session of a shard if its last use is
// not after limit.
func (s *Store) evictFrom(sh *shard, limit int64, q *evictSearch) bool {
	sh.mu.Lock()
	defer sh.unlock()
	if spared := sh.entries[q.spare]; spared != nil && spared.at[byAccess] != absent {
		sh.anonymous.remove(spared)
		defer sh.anonymous.push(spared)
		defer func() { q.known, q.bound = true, sh.anonymous.bound() }()
	}
	for range batch {
		e, ok := sh.anonymous.first()
		if !ok {
			continue
		}
		if e == nil || e.access > limit {
			return false
		}
		s.drop(sh, e)
		s.evicted.Add(1)
		return true
	}
	return false
}
