// Package redisstore keeps sessions in Redis 6.2 or later, or in Valkey: on one
// server, behind Sentinel, or in a Cluster. Processes that share the server
// and the prefix share the sessions, at once: nothing is cached.
//
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
//	...
//	store, err := redisstore.New(client, redisstore.Config{Prefix: "shop"})
//
// The client is the caller's: TLS, credentials, Sentinel and Cluster are
// settings of rueidis, see the examples of [New]. Leave its connections
// pipelined, as they are by default: that is where the speed comes from.
//
// # What is stored
//
// A session is one key, prefix:s:ID, and each verb is one command or one Lua
// script on that key. Reading a session is one round trip, and so is changing
// or touching it. Scripts are called by their hash, and sent whole to a server
// that does not have them.
//
// A user with sessions has a sorted set besides, prefix:u:HASH, with an entry
// for each of them, scored by the time at which the session ends at the latest.
// An entry is added before the record says so: a login takes two round trips,
// and so does ending the session of a user. A change that lengthens a session
// beyond the score of its entry takes three. Who reads a list verifies every
// entry and drops stale ones, so nothing depends on keyspace notifications, and
// nothing but [Store.List] uses SCAN. The keys of a session and of its user may
// live on different nodes of a Cluster; no script has keys of both.
//
// A lock is a key, prefix:l:ID, that holds its owner and lives for 5 seconds,
// until it is renewed. While another process waits for it there is a second one,
// prefix:w:{prefix:l:ID}, in the same slot of a Cluster, and only then its
// release is told, on the channel prefix:l. See [Store.Lock].
//
// # Expiry
//
// The clock of the process that asks, [Config].Clock, decides whether a session
// has expired. Redis removes the key a minute later, by PEXPIREAT and its own
// clock. A server whose clock is ahead by up to a minute changes nothing; one
// further ahead ends sessions that much early. There is nothing to sweep.
//
// # Failures
//
// A command that may have changed something is never repeated: if its answer
// is lost, the call fails, so the first writes after the server restarted may
// fail. Loading a session is tried anew on another connection, at once and a few
// times. It always asks the primary: a replica may still have a session that was
// ended.
//
// # Durability
//
// A write is as durable as the server makes it. Without appendonly, a crash of
// the server loses what was written since its last snapshot; with appendfsync
// everysec, about a second of it; with appendfsync always, nothing. What is
// lost may be a logout as well as a login. Replication is asynchronous, so a
// failover may lose the last writes under any of these settings; the server's
// min-replicas-to-write bounds that.
//
// # Memory
//
// Leave maxmemory-policy at noeviction: a full server then refuses new
// sessions with [core.ErrFull]. Under another policy it throws out sessions in
// use, and the lists that "log out everywhere" goes by. [Store.Check] tells.
//
// With 200 bytes of values, a session takes about 450 bytes of the server's
// memory, everything included, and a session of a user about 700, of which 40 to
// 190 are its entry in the list, the less the more sessions the user has.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/redis/rueidis"
)

// Config describes a [Store].
type Config struct {
	// Prefix begins every key, followed by a colon. Applications that share
	// a server need different ones. At most 64 bytes, without braces, which
	// would put all sessions on one node of a Cluster. Required.
	Prefix string
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

const (
	maxPrefix = 64

	// slack is how much longer than its ExpiresAt a record is kept, so that
	// the server's clock ends no session that is live by ours.
	slack = time.Minute

	// maxReads is how often a read is tried: a client has 4 connections by
	// default, and after a restart of the server each may be dead.
	maxReads = 5
)

// Store is a [core.Store] in Redis. It can list by user, go through all its
// sessions, delete by version, and lock. It does not count sessions, since
// Redis could only go through them all. Make one with [New]; it is safe for
// concurrent use.
type Store struct {
	client rueidis.Client
	prefix string
	clock  func() time.Time
	calls  atomic.Int64 // under way, see call
	queues queues
	lease  time.Duration // of a lock
	watch  watch
}

var (
	_ core.Store          = (*Store)(nil)
	_ core.UserLister     = (*Store)(nil)
	_ core.Lister         = (*Store)(nil)
	_ core.VersionDeleter = (*Store)(nil)
	_ core.Locker         = (*Store)(nil)
	_ core.Checker        = (*Store)(nil)
	_ io.Closer           = (*Store)(nil)
)

// New returns a store on a client, which stays the caller's to close. It does
// not talk to the server; [Store.Check] does. An error wraps [core.ErrConfig].
func New(client rueidis.Client, cfg Config) (*Store, error) {
	bad := func(format string, args ...any) (*Store, error) {
		return nil, fmt.Errorf("%w: redisstore: "+format, append([]any{core.ErrConfig}, args...)...)
	}
	if v := reflect.ValueOf(client); client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return bad("the client is nil; make one with rueidis.NewClient")
	}
	switch {
	case cfg.Prefix == "":
		return bad("Prefix is empty; name the application, so that others on the same server keep apart")
	case len(cfg.Prefix) > maxPrefix:
		return bad("Prefix has %d bytes; at most %d, as it is part of every key", len(cfg.Prefix), maxPrefix)
	case strings.ContainsAny(cfg.Prefix, "{}"):
		return bad("Prefix %q has braces, which would put all sessions on one node of a Cluster", cfg.Prefix)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Store{client: client, prefix: cfg.Prefix, clock: cfg.Clock, queues: newQueues(), lease: lockLease, watch: newWatch()}, nil
}

func (s *Store) recordKey(id core.ID) string { return s.prefix + ":s:" + id.String() }

// Load returns the live record of id: [core.ErrNotFound], [core.ErrExpired],
// [core.ErrCorrupt].
func (s *Store) Load(ctx context.Context, id core.ID) (core.Record, error) {
	env, err := s.load(ctx, id)
	if err != nil {
		return core.Record{}, err
	}
	if env.expired(s.clock()) {
		return core.Record{}, core.ErrExpired
	}
	return env.rec, nil
}

func (s *Store) load(ctx context.Context, id core.ID) (envelope, error) {
	for try := 1; ; try++ {
		answer, err := s.do(ctx, s.client, s.get(id))
		env, err := open(id, answer, err)
		if try == maxReads || !lost(err) || ctx.Err() != nil {
			return env, failure(ctx, err)
		}
	}
}

// get is a GET that the client does not know to be a read, so that it neither
// sends it to a replica nor repeats it for as long as the server is down.
func (s *Store) get(id core.ID) rueidis.Completed {
	return s.client.B().Arbitrary("GET").Keys(s.recordKey(id)).Build()
}

// open reads the answer to a get.
func open(id core.ID, answer rueidis.RedisMessage, err error) (envelope, error) {
	if err != nil {
		if rueidis.IsRedisNil(err) {
			return envelope{}, core.ErrNotFound
		}
		if e, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(e.Error(), "WRONGTYPE") {
			return envelope{}, fmt.Errorf("%w: its key holds another type", core.ErrCorrupt)
		}
		return envelope{}, err
	}
	data, err := answer.AsBytes()
	if err != nil {
		return envelope{}, err
	}
	return parse(id, data)
}

// Create stores a new record: [core.ErrExists], [core.ErrFull].
func (s *Store) Create(ctx context.Context, rec core.Record) error {
	var entry mark
	if rec.User != "" {
		var err error
		if entry, err = s.enlist(ctx, rec.ID, lastsUntil(rec), rec.User); err != nil {
			return err
		}
	}
	code, err := s.run(ctx, createScript, s.recordKey(rec.ID),
		millis(s.clock()), removal(rec.ExpiresAt), seal(rec, entry))
	if err != nil {
		return err
	}
	return s.verdict(code, entry)
}

// Update replaces the live record of version rec.Version-1:
// [core.ErrNotFound], [core.ErrConflict].
func (s *Store) Update(ctx context.Context, rec core.Record) error {
	entry := mark{until: lastsUntil(rec), user: tagOf(rec.User)}
	// A login, which also replaces the token, is sure to need an entry. What
	// else does, the script finds out.
	enlist := rec.User != "" && rec.Generation > 1 && rec.LoginAt.Equal(rec.LastAccess)
	for {
		if enlist {
			var err error
			if entry, err = s.enlist(ctx, rec.ID, entry.until, rec.User); err != nil {
				return err
			}
		}
		code, err := s.run(ctx, updateScript, s.recordKey(rec.ID),
			millis(s.clock()), removal(rec.ExpiresAt), version(rec.Version-1), seal(rec, entry))
		if err != nil {
			return err
		}
		if code == codeUnlisted && !enlist {
			enlist = true
			continue
		}
		return s.verdict(code, entry)
	}
}

// Touch moves the times of a live record forward: [core.ErrNotFound].
func (s *Store) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	var entry mark
	const tries = 4 // others may change the user at the same time
	for range tries {
		code, err := s.run(ctx, touchScript, s.recordKey(id),
			millis(s.clock()), millis(access), millis(expires), slackMillis, entry.bytes())
		if err != nil {
			return err
		}
		if code != codeUnlisted {
			return s.verdict(code, entry)
		}
		env, err := s.load(ctx, id)
		if err != nil {
			return err
		}
		if entry = (mark{}); env.rec.User == "" {
			continue
		}
		if entry, err = s.enlist(ctx, id, expires, env.rec.User); err != nil {
			return err
		}
	}
	return errors.New("redisstore: the session changed its user all the time")
}

// Delete removes a record and reports whether it was live.
func (s *Store) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	code, err := s.remove(ctx, id, "")
	return code == codeDone, err
}

// DeleteVersion removes a live record of this version: [core.ErrNotFound],
// [core.ErrConflict].
func (s *Store) DeleteVersion(ctx context.Context, id core.ID, v uint64) error {
	code, err := s.remove(ctx, id, version(v))
	if err != nil {
		return err
	}
	return s.verdict(code, mark{})
}

// remove deletes a record and then its entry in the list of its user.
func (s *Store) remove(ctx context.Context, id core.ID, version string) (code int64, err error) {
	answer, err := s.exec(ctx, deleteScript, []string{s.recordKey(id)}, millis(s.clock()), version)
	if err != nil {
		return 0, failure(ctx, err)
	}
	parts, err := answer.ToArray()
	if err != nil || len(parts) != 2 {
		return 0, failure(ctx, errAnswer)
	}
	if code, err = parts[0].AsInt64(); err != nil {
		return 0, failure(ctx, err)
	}
	if m, ok := parseMark(parts[1]); ok {
		// The session has ended, whatever comes of this: an entry that
		// stays costs the next reader of the list a look.
		_ = s.unlist(ctx, m.user, m.stamp.member(id))
	}
	return code, nil
}
