package storetest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// reference is the smallest store that is right in everything: a map behind a
// mutex. What the kit says against it is a false positive.
type reference struct {
	now func() time.Time

	mu      sync.Mutex
	records map[core.ID]core.Record // nil without a schema
	locks   map[core.ID]chan struct{}

	listeners map[int]func(context.Context, core.Record, bool)
	added     int
}

var (
	_ core.UserLister     = (*reference)(nil)
	_ core.Lister         = (*reference)(nil)
	_ core.Counter        = (*reference)(nil)
	_ core.Sweeper        = (*reference)(nil)
	_ core.Expirer        = (*reference)(nil)
	_ core.VersionDeleter = (*reference)(nil)
	_ core.Locker         = (*reference)(nil)
	_ core.Checker        = (*reference)(nil)
	_ core.Migrator       = (*reference)(nil)
	_ core.ProcessLocal   = (*reference)(nil)
)

func newReference(clock func() time.Time) *reference {
	return &reference{now: clock, records: map[core.ID]core.Record{}, locks: map[core.ID]chan struct{}{},
		listeners: map[int]func(context.Context, core.Record, bool){}}
}

func (s *reference) lock() func() {
	s.mu.Lock()
	return s.mu.Unlock
}

// live returns the live record of id. mu is held.
func (s *reference) live(id core.ID) (core.Record, bool) {
	rec, ok := s.records[id]
	return rec, ok && rec.ExpiresAt.After(s.now())
}

func (s *reference) Load(ctx context.Context, id core.ID) (core.Record, error) {
	defer s.lock()()
	if s.records == nil {
		return core.Record{}, errNoSchema
	}
	rec, ok := s.live(id)
	if !ok {
		return core.Record{}, core.ErrNotFound
	}
	return rec, nil
}

func (s *reference) Create(ctx context.Context, rec core.Record) error {
	defer s.lock()()
	if s.records == nil {
		return errNoSchema
	}
	if _, ok := s.live(rec.ID); ok {
		return core.ErrExists
	}
	s.records[rec.ID] = rec
	return nil
}

func (s *reference) Update(ctx context.Context, rec core.Record) error {
	defer s.lock()()
	if s.records == nil {
		return errNoSchema
	}
	old, ok := s.live(rec.ID)
	switch {
	case !ok:
		return core.ErrNotFound
	case old.Version != rec.Version-1:
		return core.ErrConflict
	}
	s.records[rec.ID] = rec
	return nil
}

func (s *reference) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	defer s.lock()()
	if s.records == nil {
		return errNoSchema
	}
	rec, ok := s.live(id)
	if !ok {
		return core.ErrNotFound
	}
	if access.After(rec.LastAccess) {
		rec.LastAccess = access
	}
	if expires.After(rec.ExpiresAt) {
		rec.ExpiresAt = expires
	}
	s.records[id] = rec
	return nil
}

func (s *reference) Delete(ctx context.Context, id core.ID) (bool, error) {
	defer s.lock()()
	if s.records == nil {
		return false, errNoSchema
	}
	rec, there := s.records[id]
	_, ok := s.live(id)
	delete(s.records, id)
	if there && !ok {
		s.tell(ctx, rec, false)
	}
	return ok, nil
}

func (s *reference) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	defer s.lock()()
	if s.records == nil {
		return errNoSchema
	}
	rec, ok := s.live(id)
	switch {
	case !ok:
		return core.ErrNotFound
	case rec.Version != version:
		return core.ErrConflict
	}
	delete(s.records, id)
	return nil
}

func (s *reference) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	defer s.lock()()
	var out []core.Record
	for id := range s.records {
		if rec, ok := s.live(id); ok && rec.User == user {
			out = append(out, rec)
		}
	}
	return out, nil
}

func (s *reference) List(ctx context.Context) iter.Seq2[core.Record, error] {
	defer s.lock()()
	var out []core.Record
	for id := range s.records {
		if rec, ok := s.live(id); ok {
			out = append(out, rec)
		}
	}
	return func(yield func(core.Record, error) bool) {
		for _, rec := range out {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (s *reference) Count(ctx context.Context) (int, error) {
	defer s.lock()()
	n := 0
	for id := range s.records {
		if _, ok := s.live(id); ok {
			n++
		}
	}
	return n, nil
}

func (s *reference) Sweep(ctx context.Context, from, to time.Time) (int, error) {
	defer s.lock()()
	n := 0
	for id, rec := range s.records {
		if !rec.ExpiresAt.Before(from) && rec.ExpiresAt.Before(to) {
			delete(s.records, id)
			s.tell(ctx, rec, true)
			n++
		}
	}
	return n, nil
}

func (s *reference) Expire(ctx context.Context, id core.ID) error {
	defer s.lock()()
	rec, there := s.records[id]
	if _, ok := s.live(id); there && !ok {
		delete(s.records, id)
		s.tell(ctx, rec, false)
	}
	return nil
}

func (s *reference) NotifyExpired(fn func(ctx context.Context, rec core.Record, swept bool)) (cancel func()) {
	defer s.lock()()
	n := s.added
	s.added++
	s.listeners[n] = fn
	return func() {
		defer s.lock()()
		delete(s.listeners, n)
	}
}

// tell tells all who listen. mu is held, but not meanwhile.
func (s *reference) tell(ctx context.Context, rec core.Record, swept bool) {
	fns := slices.Collect(maps.Values(s.listeners))
	s.mu.Unlock()
	defer s.mu.Lock()
	for _, fn := range fns {
		fn(ctx, rec, swept)
	}
}

func (s *reference) Lock(ctx context.Context, id core.ID) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[id]
	if l == nil {
		l = make(chan struct{}, 1)
		s.locks[id] = l
	}
	s.mu.Unlock()
	select {
	case l <- struct{}{}:
		return sync.OnceFunc(func() { <-l }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errNoSchema = errors.New("there is no schema")

func (s *reference) Check(ctx context.Context) error {
	defer s.lock()()
	if s.records == nil {
		return errNoSchema
	}
	return nil
}

func (s *reference) Migrate(ctx context.Context) error {
	defer s.lock()()
	if s.records == nil {
		s.records = map[core.ID]core.Record{}
	}
	return nil
}

func (s *reference) Drop(ctx context.Context) error {
	defer s.lock()()
	s.records = nil
	return nil
}

func (s *reference) ProcessLocal() {}

func TestReference(t *testing.T) {
	Run(t, func(t testing.TB, clock func() time.Time) core.Store { return newReference(clock) })
}

func BenchmarkReference(b *testing.B) {
	Bench(b, func(t testing.TB, clock func() time.Time) core.Store { return newReference(clock) })
}
