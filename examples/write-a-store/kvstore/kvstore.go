// Package kvstore keeps sessions in a key-value engine that can compare and
// swap, as etcd, Consul and DynamoDB can. Here a sync.Map stands in for one.
package kvstore

import (
	"context"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Store is a core.Store. Make one with New.
type Store struct {
	engine sync.Map // the text of an ID → the bytes of its record, as a string
	now    func() time.Time
}

// New returns an empty store that tells the time by now.
func New(now func() time.Time) *Store { return &Store{now: now} }

// parse returns the record in what is stored, if it is live. Its errors are
// answers; a real engine has failures besides, to be passed on as they are.
func (s *Store) parse(stored any) (rec core.Record, err error) {
	if stored == nil {
		return rec, core.ErrNotFound
	}
	if err := rec.UnmarshalBinary([]byte(stored.(string))); err != nil {
		return rec, err // wraps core.ErrCorrupt
	}
	if !rec.ExpiresAt.After(s.now()) {
		return rec, core.ErrExpired
	}
	return rec, nil
}

// change puts what fn makes of a record in its place, in one step: if another
// was faster, it begins anew, so that fn decides by what is there.
func (s *Store) change(ctx context.Context, id core.ID, fn func(old core.Record, live bool) (core.Record, error)) error {
	for ctx.Err() == nil {
		stored, _ := s.engine.Load(id.String())
		old, absent := s.parse(stored)
		next, err := fn(old, absent == nil)
		if err != nil {
			return err
		}
		data, err := next.MarshalBinary()
		if err != nil {
			return err
		}
		if stored != nil && s.engine.CompareAndSwap(id.String(), stored, string(data)) {
			return nil
		}
		if stored == nil {
			if _, taken := s.engine.LoadOrStore(id.String(), string(data)); !taken {
				return nil
			}
		}
	}
	return ctx.Err()
}

func (s *Store) Load(ctx context.Context, id core.ID) (core.Record, error) {
	if err := ctx.Err(); err != nil {
		return core.Record{}, err
	}
	stored, _ := s.engine.Load(id.String())
	return s.parse(stored)
}

func (s *Store) Create(ctx context.Context, rec core.Record) error {
	return s.change(ctx, rec.ID, func(_ core.Record, live bool) (core.Record, error) {
		if live {
			return rec, core.ErrExists
		}
		return rec, nil // over an expired record, if there is one
	})
}

func (s *Store) Update(ctx context.Context, rec core.Record) error {
	return s.change(ctx, rec.ID, func(old core.Record, live bool) (core.Record, error) {
		switch {
		case !live:
			return rec, core.ErrNotFound
		case old.Version != rec.Version-1:
			return rec, core.ErrConflict
		}
		return rec, nil
	})
}

func (s *Store) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return s.change(ctx, id, func(rec core.Record, live bool) (core.Record, error) {
		if !live {
			return rec, core.ErrNotFound
		}
		if access.After(rec.LastAccess) {
			rec.LastAccess = access
		}
		if expires.After(rec.ExpiresAt) {
			rec.ExpiresAt = expires
		}
		return rec, nil
	})
}

func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	stored, _ := s.engine.LoadAndDelete(id.String())
	_, absent := s.parse(stored)
	return absent == nil, nil
}
