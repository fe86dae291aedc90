// Package memorystore keeps sessions in the memory of one process: for an
// application that runs as a single process, for development and for tests.
//
//	store := memorystore.New(memorystore.Config{})
//	sessions := core.MustNew(core.Config{Store: store})
//
// # When it is full
//
// A [Store] is bounded in number and in bytes. At a limit it makes room:
// expired records go first, then anonymous sessions, those of no user, the
// least recently used first. A session that somebody logged in to is never
// evicted. Only when there would be no room even without the anonymous ones is
// a new session, or one that grows, refused, with a [*FullError]; then nobody
// is evicted. So a flood of visitors without a login costs other such visitors
// their session, and users nothing.
//
// "Used" is Record.LastAccess, which the manager stores as often as
// core.Config.TouchInterval says. The order is that of the whole store.
//
// # When it restarts
//
// Everything is lost, unless [Store.Snapshot] wrote it to a file before and
// [Store.Restore] reads it afterwards. The browsers' cookies survive only if
// core.Config.Secrets is set: the secrets that a manager makes for itself die
// with the process. Two processes never share sessions, so behind a load
// balancer use another store, or send each client to one process.
//
// # What it costs
//
// Each session takes about 300 bytes and one allocation beside its values and
// the name of its user. A call locks one of 256 parts of the store, takes
// some hundred nanoseconds, and waits for nothing else; what goes through many
// records takes 64 at a time.
package memorystore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/internal/expiry"
)

// Config describes a [Store]. The zero value is the one for production.
type Config struct {
	// MaxSessions bounds how many sessions are kept, expired ones that were
	// not yet removed included. Default: 1,000,000; at 200 bytes of values
	// each they take half of the default MaxBytes.
	MaxSessions int
	// MaxBytes bounds the memory that sessions take: for each, 320 bytes,
	// and its values and the name of its user rounded up to 64 bytes. Count
	// on as much again for the garbage collector (GOGC), and lower it where
	// the process has little memory. Default: 1 GiB.
	MaxBytes int64
	// SweepInterval is how often expired sessions are removed. They are
	// refused from the moment they expire; this only says how long they
	// take up memory. Default: 1 minute.
	SweepInterval time.Duration
	// Clock tells the time. It must not use the store. Default: time.Now.
	Clock func() time.Time
}

const (
	defaultMaxSessions   = 1_000_000
	defaultMaxBytes      = 1 << 30
	defaultSweepInterval = time.Minute
)

// withDefaults returns the configuration in force, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	bad := func(field string, value any, why string) (Config, error) {
		return c, fmt.Errorf("%w: memorystore: %s is %v, %s", core.ErrConfig, field, value, why)
	}
	switch {
	case c.MaxSessions < 0:
		return bad("MaxSessions", c.MaxSessions, "negative; 0 means the default")
	case c.MaxBytes < 0:
		return bad("MaxBytes", c.MaxBytes, "negative; 0 means the default")
	case c.SweepInterval < 0:
		return bad("SweepInterval", c.SweepInterval, "negative; 0 means the default")
	case c.SweepInterval > 0 && c.SweepInterval < time.Millisecond:
		return bad("SweepInterval", c.SweepInterval, "less than a millisecond")
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = defaultMaxSessions
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.SweepInterval == 0 {
		c.SweepInterval = defaultSweepInterval
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c, nil
}

// Store is a [core.Store] in memory. Make one with [New]; it is safe for
// concurrent use. Records go in and out without a copy of their values, which
// nobody may change.
//
// The verbs never wait, so they do their work even if the context has ended: a
// logout is not lost because the client hung up.
type Store struct {
	clock   func() time.Time
	budget  budget
	users   users
	queues  queues
	sweeper sweeper
	evicted atomic.Uint64
	expired atomic.Uint64
	told    expiry.Listeners // of records that expired

	// Locks are taken in this order: a shard's, then the budget's or that
	// of the users. Nobody holds two shards.
	shards [shardCount]shard
}

var (
	_ core.Store          = (*Store)(nil)
	_ core.UserLister     = (*Store)(nil)
	_ core.Lister         = (*Store)(nil)
	_ core.Counter        = (*Store)(nil)
	_ core.Sweeper        = (*Store)(nil)
	_ core.VersionDeleter = (*Store)(nil)
	_ core.Locker         = (*Store)(nil)
	_ core.Expirer        = (*Store)(nil)
	_ core.NonBlocking    = (*Store)(nil)
	_ core.ProcessLocal   = (*Store)(nil)
)

// New returns an empty store. It panics with an error that wraps
// [core.ErrConfig] and names the field if one is out of range. Nothing runs in
// the background until the store holds a session.
func New(cfg Config) *Store {
	cfg, err := cfg.withDefaults()
	if err != nil {
		panic(err)
	}
	s := &Store{clock: cfg.Clock}
	s.budget.maxSessions, s.budget.maxBytes = cfg.MaxSessions, cfg.MaxBytes
	s.sweeper.interval = cfg.SweepInterval
	for i := range s.shards {
		s.shards[i].init()
	}
	return s
}

// NonBlocking reports that no verb waits for anything but a mutex; see
// [core.NonBlocking].
func (s *Store) NonBlocking() bool { return true }

// ProcessLocal marks that the records die with the process, so that the
// manager may run without secrets; see [core.ProcessLocal]. Set them to keep
// sessions over a restart.
func (s *Store) ProcessLocal() {}

// Stats are the figures of a [Store] at one moment, for metrics.
type Stats struct {
	// Sessions and Bytes are what counts against Config.MaxSessions and
	// Config.MaxBytes.
	Sessions int
	Bytes    int64
	// Evicted counts the anonymous sessions that made room for others since
	// the store was made. If it grows, raise a limit.
	Evicted uint64
	// Expired counts the records removed because they had expired.
	Expired uint64
}

// Stats returns the store's figures.
func (s *Store) Stats() Stats {
	used := s.budget.now()
	return Stats{used.sessions, used.bytes, s.evicted.Load(), s.expired.Load()}
}

// Count returns how many records the store holds, expired ones that were not
// yet removed included. The error is always nil.
func (s *Store) Count(context.Context) (int, error) {
	return s.budget.now().sessions, nil
}

// now is the time in the unit of entries.
func (s *Store) now() int64 { return s.clock().UnixMilli() }
