package memorystore

import (
	"context"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Load returns the live record of id, without allocating. [core.ErrNotFound],
// or [core.ErrExpired] until the record is swept.
func (s *Store) Load(_ context.Context, id core.ID) (rec core.Record, err error) {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, _, err := sh.find(id, now)
	if err == nil {
		e.fill(&rec)
	}
	return rec, err
}

// Create stores a record under an ID that no live record has:
// [core.ErrExists]. A full store makes room or answers with a [*FullError].
func (s *Store) Create(_ context.Context, rec core.Record) error {
	rec.Values = trim(rec.Values)
	for {
		now := s.now()
		need, err := s.create(&rec, now)
		if need == 0 || err != nil {
			return err
		}
		if !s.makeRoom(need, rec.ID, now) {
			return s.full(need)
		}
	}
}

// create is one attempt at a Create. If there is no room, it returns how many
// bytes are needed.
func (s *Store) create(rec *core.Record, now int64) (need int64, err error) {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.unlock()
	switch _, slot, err := sh.find(rec.ID, now); err {
	case nil:
		return 0, core.ErrExists
	case core.ErrExpired:
		s.expire(sh, slot, nil)
	}
	size := recordAmount(rec)
	if !s.budget.take(size) {
		return size.bytes, nil
	}
	s.insert(sh, rec)
	s.arm()
	return 0, nil
}

// Update replaces the live record whose version is rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict]. For a record that grows, a full
// store makes room, though not by evicting that record itself, or answers with
// a [*FullError] and changes nothing.
func (s *Store) Update(_ context.Context, rec core.Record) error {
	rec.Values = trim(rec.Values)
	for {
		now := s.now()
		need, err := s.update(&rec, now)
		if need == 0 || err != nil {
			return err
		}
		if !s.makeRoom(need, rec.ID, now) {
			return s.full(recordAmount(&rec).bytes)
		}
	}
}

// update is one attempt at an Update. If there is no room, it returns how many
// bytes are needed beside those of users.
func (s *Store) update(rec *core.Record, now int64) (need int64, err error) {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.unlock()
	e, slot, err := sh.find(rec.ID, now)
	switch {
	case err != nil:
		return 0, core.ErrNotFound
	case e.version != rec.Version-1:
		return 0, core.ErrConflict
	}
	size, old := recordAmount(rec), e.amount()
	if !s.budget.take(size.minus(old)) {
		return size.bytes - old.fixed, nil
	}
	s.replace(sh, slot, rec)
	return 0, nil
}

// Touch moves the LastAccess and ExpiresAt of a live record forward, each only
// if the new time is later: [core.ErrNotFound].
func (s *Store) Touch(_ context.Context, id core.ID, access, expires time.Time) error {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, _, err := sh.find(id, now)
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
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	sh := s.shard(id)
	sh.mu.Lock()
	_, slot, err := sh.find(id, s.now())
	if err == nil {
		s.drop(sh, slot)
	}
	sh.unlock()
	if err == core.ErrExpired {
		s.Expire(ctx, id)
	}
	return err == nil, nil
}

// Expire removes the record of id if it has expired. The error is always nil.
func (s *Store) Expire(ctx context.Context, id core.ID) error {
	var gone []core.Record
	sh := s.shard(id)
	sh.mu.Lock()
	if _, slot, err := sh.find(id, s.now()); err == core.ErrExpired {
		gone = s.expire(sh, slot, gone)
	}
	sh.unlock()
	s.told.Tell(ctx, false, gone...)
	return nil
}

// DeleteVersion removes the live record of id if its version is the given one:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) DeleteVersion(_ context.Context, id core.ID, version uint64) error {
	now := s.now()
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.unlock()
	e, slot, err := sh.find(id, now)
	switch {
	case err != nil:
		return core.ErrNotFound
	case e.version != version:
		return core.ErrConflict
	}
	s.drop(sh, slot)
	return nil
}
