package storetest

import (
	"context"
	"time"

	"github.com/coatcheck/sessions/core"
)

// model is what a store under test is compared with, verb by verb: the
// contract, in as few words as it takes. It is for one goroutine.
type model struct {
	now     func() time.Time
	records map[core.ID]core.Record
}

var (
	_ core.Store          = (*model)(nil)
	_ core.UserLister     = (*model)(nil)
	_ core.VersionDeleter = (*model)(nil)
)

func newModel(clock func() time.Time) *model {
	return &model{now: clock, records: map[core.ID]core.Record{}}
}

func (m *model) live(id core.ID) bool { return m.records[id].ExpiresAt.After(m.now()) }

// Load answers ErrExpired where a store may.
func (m *model) Load(_ context.Context, id core.ID) (core.Record, error) {
	rec, ok := m.records[id]
	switch {
	case !ok:
		return core.Record{}, core.ErrNotFound
	case !m.live(id):
		return core.Record{}, core.ErrExpired
	}
	return rec, nil
}

func (m *model) Create(_ context.Context, rec core.Record) error {
	if m.live(rec.ID) {
		return core.ErrExists
	}
	m.records[rec.ID] = rec
	return nil
}

func (m *model) check(id core.ID, version uint64) error {
	switch {
	case !m.live(id):
		return core.ErrNotFound
	case m.records[id].Version != version:
		return core.ErrConflict
	}
	return nil
}

func (m *model) Update(_ context.Context, rec core.Record) error {
	err := m.check(rec.ID, rec.Version-1)
	if err == nil {
		m.records[rec.ID] = rec
	}
	return err
}

func (m *model) Touch(_ context.Context, id core.ID, access, expires time.Time) error {
	if !m.live(id) {
		return core.ErrNotFound
	}
	rec := m.records[id]
	if access.After(rec.LastAccess) {
		rec.LastAccess = access
	}
	if expires.After(rec.ExpiresAt) {
		rec.ExpiresAt = expires
	}
	m.records[id] = rec
	return nil
}

func (m *model) Delete(_ context.Context, id core.ID) (bool, error) {
	existed := m.live(id)
	delete(m.records, id)
	return existed, nil
}

func (m *model) DeleteVersion(_ context.Context, id core.ID, version uint64) error {
	err := m.check(id, version)
	if err == nil {
		delete(m.records, id)
	}
	return err
}

func (m *model) ListUser(_ context.Context, user string) (out []core.Record, err error) {
	for id, rec := range m.records {
		if rec.User == user && m.live(id) {
			out = append(out, rec)
		}
	}
	return out, nil
}
