// Package memorystore keeps sessions in the memory of one process.
package memorystore

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Config describes a [Store]. The zero value is the one for production.
type Config struct {
	// MaxSessions bounds how many sessions are kept. Default: 1,000,000.
	MaxSessions int
	// MaxBytes bounds the memory of the sessions kept. Default: 1 GiB.
	MaxBytes int64
	// SweepInterval is how often expired sessions are removed. Default: 1
	// minute.
	SweepInterval time.Duration
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

const (
	defaultMaxSessions   = 1_000_000
	defaultMaxBytes      = 1 << 30
	defaultSweepInterval = time.Minute
	shardCount           = 64
)

// Store is a [core.Store] in memory. Make one with [New]; it is safe for
// concurrent use.
type Store struct {
	clock  func() time.Time
	count  atomic.Int64
	shards [shardCount]shard
	users  users
	queues queues
}

var (
	_ core.Store          = (*Store)(nil)
	_ core.UserLister     = (*Store)(nil)
	_ core.Lister         = (*Store)(nil)
	_ core.Counter        = (*Store)(nil)
	_ core.Sweeper        = (*Store)(nil)
	_ core.VersionDeleter = (*Store)(nil)
	_ core.Locker         = (*Store)(nil)
	_ core.NonBlocking    = (*Store)(nil)
	_ core.ProcessLocal   = (*Store)(nil)
)

type shard struct {
	mu      sync.Mutex
	records map[core.ID]*core.Record
}

// users is which IDs a user has. Its lock is taken inside a shard's.
type users struct {
	mu  sync.Mutex
	ids map[string]map[core.ID]struct{}
}

// New returns an empty store. It panics with an error that wraps
// [core.ErrConfig] if a limit is negative.
func New(cfg Config) *Store {
	for _, f := range []struct {
		name  string
		value int64
	}{{"MaxSessions", int64(cfg.MaxSessions)}, {"MaxBytes", cfg.MaxBytes}, {"SweepInterval", int64(cfg.SweepInterval)}} {
		if f.value < 0 {
			panic(fmt.Errorf("%w: memorystore: %s is negative: %d", core.ErrConfig, f.name, f.value))
		}
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	s := &Store{clock: cfg.Clock}
	for i := range s.shards {
		s.shards[i].records = map[core.ID]*core.Record{}
	}
	s.users.ids = map[string]map[core.ID]struct{}{}
	s.queues.held = map[core.ID][]chan struct{}{}
	return s
}

// NonBlocking marks that no call waits for anything but a mutex; see
// [core.NonBlocking].
func (s *Store) NonBlocking() {}

// ProcessLocal marks that the records die with the process; see
// [core.ProcessLocal].
func (s *Store) ProcessLocal() {}

// Close releases the store.
func (s *Store) Close() error { return nil }

func (s *Store) shard(id core.ID) *shard { return &s.shards[id[0]%shardCount] }

func (s *Store) live(sh *shard, id core.ID) (*core.Record, error) {
	rec := sh.records[id]
	if rec == nil {
		return nil, core.ErrNotFound
	}
	if !s.clock().Before(rec.ExpiresAt) {
		return nil, core.ErrExpired
	}
	return rec, nil
}

// put stores rec in place of what the shard holds under its ID. The shard is
// locked.
func (s *Store) put(sh *shard, rec *core.Record) {
	old := sh.records[rec.ID]
	if old == nil {
		s.count.Add(1)
	}
	sh.records[rec.ID] = rec
	if old == nil || old.User != rec.User {
		if old != nil {
			s.users.remove(old.User, rec.ID)
		}
		s.users.add(rec.User, rec.ID)
	}
}

// drop removes what the shard holds under an ID. The shard is locked.
func (s *Store) drop(sh *shard, id core.ID) {
	if rec := sh.records[id]; rec != nil {
		delete(sh.records, id)
		s.count.Add(-1)
		s.users.remove(rec.User, id)
	}
}

func (u *users) add(user string, id core.ID) {
	if user == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids[user] == nil {
		u.ids[user] = map[core.ID]struct{}{}
	}
	u.ids[user][id] = struct{}{}
}

func (u *users) remove(user string, id core.ID) {
	if user == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids[user], id)
	if len(u.ids[user]) == 0 {
		delete(u.ids, user)
	}
}

// Load returns the live record of id: [core.ErrNotFound], [core.ErrExpired].
func (s *Store) Load(ctx context.Context, id core.ID) (core.Record, error) {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec, err := s.live(sh, id)
	if err != nil {
		return core.Record{}, err
	}
	return *rec, nil
}

// Create stores a new record: [core.ErrExists].
func (s *Store) Create(ctx context.Context, rec core.Record) error {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, err := s.live(sh, rec.ID); err == nil {
		return core.ErrExists
	}
	s.put(sh, &rec)
	return nil
}

// Update replaces the live record of version rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) Update(ctx context.Context, rec core.Record) error {
	sh := s.shard(rec.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old, err := s.live(sh, rec.ID)
	if err != nil {
		return core.ErrNotFound
	}
	if old.Version != rec.Version-1 {
		return core.ErrConflict
	}
	s.put(sh, &rec)
	return nil
}

// Touch moves the times of a live record forward: [core.ErrNotFound].
func (s *Store) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec, err := s.live(sh, id)
	if err != nil {
		return core.ErrNotFound
	}
	if access.After(rec.LastAccess) {
		rec.LastAccess = access
	}
	if expires.After(rec.ExpiresAt) {
		rec.ExpiresAt = expires
	}
	return nil
}

// Delete removes a record and reports whether it was live.
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, err = s.live(sh, id)
	s.drop(sh, id)
	return err == nil, nil
}

// DeleteVersion removes a live record of this version: [core.ErrNotFound],
// [core.ErrConflict].
func (s *Store) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec, err := s.live(sh, id)
	if err != nil {
		return core.ErrNotFound
	}
	if rec.Version != version {
		return core.ErrConflict
	}
	s.drop(sh, id)
	return nil
}

// ListUser returns the live records of a user.
func (s *Store) ListUser(ctx context.Context, user string) ([]core.Record, error) {
	s.users.mu.Lock()
	ids := make([]core.ID, 0, len(s.users.ids[user]))
	for id := range s.users.ids[user] {
		ids = append(ids, id)
	}
	s.users.mu.Unlock()
	var out []core.Record
	for _, id := range ids {
		if rec, err := s.Load(ctx, id); err == nil && rec.User == user {
			out = append(out, rec)
		}
	}
	return out, nil
}

// List yields the live records; no lock is held meanwhile.
func (s *Store) List(ctx context.Context) iter.Seq2[core.Record, error] {
	return func(yield func(core.Record, error) bool) {
		for i := range s.shards {
			sh := &s.shards[i]
			sh.mu.Lock()
			now := s.clock()
			recs := make([]core.Record, 0, len(sh.records))
			for _, rec := range sh.records {
				if now.Before(rec.ExpiresAt) {
					recs = append(recs, *rec)
				}
			}
			sh.mu.Unlock()
			for _, rec := range recs {
				if err := ctx.Err(); err != nil {
					yield(core.Record{}, err)
					return
				}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// Count returns how many records are kept.
func (s *Store) Count(ctx context.Context) (int, error) { return int(s.count.Load()), nil }

// Sweep removes the records with from <= ExpiresAt < to and returns how many.
func (s *Store) Sweep(ctx context.Context, from, to time.Time) (int, error) {
	n := 0
	for i := range s.shards {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		sh := &s.shards[i]
		sh.mu.Lock()
		for id, rec := range sh.records {
			if !rec.ExpiresAt.Before(from) && rec.ExpiresAt.Before(to) {
				s.drop(sh, id)
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n, nil
}
