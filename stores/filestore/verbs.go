package filestore

import (
	"context"
	"errors"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Load returns the live record of id: [core.ErrNotFound], or [core.ErrExpired]
// until the record is swept. It takes no lock. A file that cannot be read as
// the record is moved aside; who does that gets [core.ErrCorrupt].
func (s *Store) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if err := s.enter(ctx); err != nil {
		return core.Record{}, err
	}
	defer s.life.RUnlock()
	rec, err := s.read(id)
	if errors.Is(err, core.ErrCorrupt) {
		return core.Record{}, s.condemn(ctx, id)
	}
	if err != nil {
		return core.Record{}, err
	}
	if !s.live(&rec) {
		return core.Record{}, core.ErrExpired
	}
	return rec, nil
}

// Create stores a record under an ID that no live record has:
// [core.ErrExists].
func (s *Store) Create(ctx context.Context, rec core.Record) error {
	return s.change(ctx, rec.ID, func(old *core.Record) error {
		if old != nil && s.live(old) {
			return core.ErrExists
		}
		return s.write(rec, old)
	})
}

// Update replaces the live record whose version is rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) Update(ctx context.Context, rec core.Record) error {
	return s.change(ctx, rec.ID, func(old *core.Record) error {
		switch {
		case old == nil || !s.live(old):
			return core.ErrNotFound
		case old.Version != rec.Version-1:
			return core.ErrConflict
		}
		return s.write(rec, old)
	})
}

// Touch moves the LastAccess and ExpiresAt of a live record forward, each only
// if the new time is later: [core.ErrNotFound]. A loss of power may undo it.
func (s *Store) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return s.change(ctx, id, func(old *core.Record) error {
		if old == nil || !s.live(old) {
			return core.ErrNotFound
		}
		rec := *old
		if access.After(rec.LastAccess) {
			rec.LastAccess = access
		}
		if expires.After(rec.ExpiresAt) {
			rec.ExpiresAt = expires
		}
		if rec.LastAccess.Equal(old.LastAccess) && rec.ExpiresAt.Equal(old.ExpiresAt) {
			return nil
		}
		data, err := encode(rec)
		if err != nil {
			return err
		}
		return s.disk.replace(s.disk.records, recordName(id), data, false)
	})
}

// Delete removes a record, whatever its version, and reports whether a live
// one was there.
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	var gone []core.Record
	err = s.change(ctx, id, func(old *core.Record) error {
		if old == nil {
			return nil
		}
		if existed = s.live(old); !existed {
			gone = append(gone, *old)
		}
		return s.drop(old, true)
	})
	if err != nil {
		return false, err
	}
	s.told.Tell(ctx, false, gone...)
	return existed, nil
}

// Expire removes the record of id if it has expired. It waits no longer than a
// second for another that changes the record.
func (s *Store) Expire(ctx context.Context, id core.ID) error {
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var gone []core.Record
	err := s.change(wait, id, func(old *core.Record) error {
		if old == nil || s.live(old) {
			return nil
		}
		gone = append(gone, *old)
		return s.drop(old, false)
	})
	if err == nil {
		s.told.Tell(ctx, false, gone...)
	}
	return err
}

// DeleteVersion removes the live record of id if its version is the given one:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	return s.change(ctx, id, func(old *core.Record) error {
		switch {
		case old == nil || !s.live(old):
			return core.ErrNotFound
		case old.Version != version:
			return core.ErrConflict
		}
		return s.drop(old, true)
	})
}

// change calls fn under the lock of a record, with the record as it is, live or
// expired, or nil. Unreadable, it is moved aside first, and there is none.
func (s *Store) change(ctx context.Context, id core.ID, fn func(old *core.Record) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	release, err := s.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	old, err := s.read(id)
	switch {
	case err == nil:
		return fn(&old)
	case errors.Is(err, core.ErrNotFound):
		return fn(nil)
	case errors.Is(err, core.ErrCorrupt):
		if err := s.quarantine(ctx, id, err); err != nil {
			return err
		}
		return fn(nil)
	}
	return err
}

// write stores a record in place of old. Its lock is held.
func (s *Store) write(rec core.Record, old *core.Record) error {
	data, err := encode(rec)
	if err != nil {
		return err
	}
	// The user's list first, the record second: whenever the record is
	// there, it is listed.
	if rec.User != "" && (old == nil || old.User != rec.User) {
		if err := s.enlist(rec.User, rec.ID); err != nil {
			return err
		}
	}
	if err := s.disk.replace(s.disk.records, recordName(rec.ID), data, true); err != nil {
		return err
	}
	if old != nil && old.User != rec.User {
		s.delist(old.User, rec.ID)
	}
	return nil
}

// drop removes a record. Its lock is held.
func (s *Store) drop(rec *core.Record, flush bool) error {
	if err := s.disk.remove(s.disk.records, recordName(rec.ID), flush); err != nil {
		return err
	}
	s.delist(rec.User, rec.ID)
	return nil
}

// read returns the record of id, live or expired: core.ErrNotFound, an error
// that wraps core.ErrCorrupt, or the failure of the file system.
func (s *Store) read(id core.ID) (core.Record, error) {
	data, err := s.disk.read(id)
	if err != nil {
		return core.Record{}, err
	}
	return decode(data, id)
}

func (s *Store) live(rec *core.Record) bool { return rec.ExpiresAt.After(s.clock()) }
