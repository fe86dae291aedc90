package memorystore

import (
	"context"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Load returns the live record of id, without allocating. [core.ErrNotFound],
// or [core.ErrExpired] until the record is swept.
func (s *Store) Load(_ context.Context, id core.ID) (core.Record, error) {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, err := sh.find(id, now)
	if err != nil {
		return core.Record{}, err
	}
	return e.record(), nil
}

// Create stores a record under an ID that no live record has:
// [core.ErrExists]. A full store makes room or answers with a [*FullError].
func (s *Store) Create(_ context.Context, rec core.Record) error {
	rec.Values = trim(rec.Values)
	size := recordCost(&rec)
	for {
		now := s.now()
		ok, err := s.create(&rec, size, now)
		if ok || err != nil {
			return err
		}
		if !s.makeRoom(size, rec.ID, now) {
			return s.full(size)
		}
	}
}

// create is one attempt at a Create. ok is false if there is no room.
func (s *Store) create(rec *core.Record, size, now int64) (ok bool, err error) {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.unlock()
	if e := sh.entries[rec.ID]; e != nil {
		if e.live(now) {
			return false, core.ErrExists
		}
		s.expire(sh, e)
	}
	if !s.budget.take(1, size) {
		return false, nil
	}
	s.insert(sh, rec)
	s.arm()
	return true, nil
}

// Update replaces the live record whose version is rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict]. A record that grows in a full store
// is treated as a new one is, but never evicted for its own sake: a refused
// update changes nothing.
func (s *Store) Update(_ context.Context, rec core.Record) error {
	rec.Values = trim(rec.Values)
	size := recordCost(&rec)
	for {
		now := s.now()
		ok, err := s.update(&rec, size, now)
		if ok || err != nil {
			return err
		}
		if !s.makeRoom(size, rec.ID, now) {
			return s.full(size)
		}
	}
}

// update is one attempt at an Update. ok is false if there is no room.
func (s *Store) update(rec *core.Record, size, now int64) (ok bool, err error) {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.unlock()
	e, err := sh.find(rec.ID, now)
	switch {
	case err != nil:
		return false, core.ErrNotFound
	case e.version != rec.Version-1:
		return false, core.ErrConflict
	case !s.budget.take(0, size-e.cost()):
		return false, nil
	}
	e.set(rec)
	sh.expiry.earlier(e)
	s.place(sh, e, rec.User)
	if e.user == "" {
		sh.anonymous.earlier(e)
	}
	return true, nil
}

// Touch moves the LastAccess and ExpiresAt of a live record forward, each only
// if the new time is later: [core.ErrNotFound].
func (s *Store) Touch(_ context.Context, id core.ID, access, expires time.Time) error {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, err := sh.find(id, now)
	if err != nil {
		return core.ErrNotFound
	}
	// The heaps need not be told: times only move forward here.
	e.access = max(e.access, access.UnixMilli())
	e.expires = max(e.expires, expires.UnixMilli())
	return nil
}

// Delete removes a record, whatever its version, and reports whether it was
// live. The error is always nil.
func (s *Store) Delete(_ context.Context, id core.ID) (existed bool, err error) {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.unlock()
	e := sh.entries[id]
	if e == nil {
		return false, nil
	}
	s.drop(sh, e)
	return e.live(now), nil
}

// DeleteVersion removes the live record of id if its version is the given one:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) DeleteVersion(_ context.Context, id core.ID, version uint64) error {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.unlock()
	e, err := sh.find(id, now)
	switch {
	case err != nil:
		return core.ErrNotFound
	case e.version != version:
		return core.ErrConflict
	}
	s.drop(sh, e)
	return nil
}
