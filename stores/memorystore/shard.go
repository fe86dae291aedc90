package memorystore

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/coatcheck/sessions/core"
)

const (
	// shardCount is how many locks there are. IDs are random, so their first
	// byte spreads them.
	shardCount = 256
	// batch is how many records anything handles under one lock: some ten
	// microseconds of work.
	batch = 64

	never = math.MaxInt64
)

// shard is the part of the store that holds the IDs of one first byte.
type shard struct {
	mu        sync.Mutex
	entries   map[core.ID]*entry
	peak      int  // how many entries the map has had
	expiry    heap // all entries, by the time when they expire
	anonymous heap // those of no user, by the time of their last use

	// The bounds of the heaps, to be read without the lock by those who
	// look for the shard to take from.
	soonest, oldest atomic.Int64

	_ [24]byte // keeps neighbours off each other's cache lines
}

func (sh *shard) init() {
	sh.expiry.of, sh.anonymous.of = byExpiry, byAccess
	sh.publish()
}

func (s *Store) shard(id core.ID) *shard { return &s.shards[id[0]] }

// unlock ends a change.
func (sh *shard) unlock() {
	sh.publish()
	sh.mu.Unlock()
}

func (sh *shard) publish() {
	if t := sh.expiry.bound(); t != sh.soonest.Load() {
		sh.soonest.Store(t)
	}
	if t := sh.anonymous.bound(); t != sh.oldest.Load() {
		sh.oldest.Store(t)
	}
}

// find returns the live entry of an ID: ErrNotFound, ErrExpired.
func (sh *shard) find(id core.ID, now int64) (*entry, error) {
	e := sh.entries[id]
	switch {
	case e == nil:
		return nil, core.ErrNotFound
	case !e.live(now):
		return nil, core.ErrExpired
	}
	return e, nil
}

// insert adds a record that the budget has room for. The shard is locked.
func (s *Store) insert(sh *shard, rec *core.Record) {
	e := &entry{id: rec.ID, at: [2]int32{absent, absent}}
	e.set(rec)
	if sh.entries == nil {
		sh.entries = make(map[core.ID]*entry)
	}
	sh.entries[e.id] = e
	sh.peak = max(sh.peak, len(sh.entries))
	sh.expiry.push(e)
	s.place(sh, e, rec.User)
}

// place brings an entry to where a user's, or nobody's, belong. The shard is
// locked.
func (s *Store) place(sh *shard, e *entry, user string) {
	if e.user != user {
		s.users.move(e, user)
	}
	switch listed := e.at[byAccess] != absent; {
	case !listed && user == "":
		sh.anonymous.push(e)
	case listed && user != "":
		sh.anonymous.remove(e)
	}
}

// drop removes an entry. The shard is locked.
func (s *Store) drop(sh *shard, e *entry) {
	s.budget.give(e.cost())
	e.gone = true
	delete(sh.entries, e.id)
	sh.expiry.remove(e)
	if e.at[byAccess] != absent {
		sh.anonymous.remove(e)
	}
	if e.user != "" {
		s.users.move(e, "")
	}
	sh.shrink()
}

// shrink gives back the memory of a map that has lost most of its entries: a
// map never shrinks by itself.
func (sh *shard) shrink() {
	n := len(sh.entries)
	if n > 0 && (sh.peak < 1024 || n > sh.peak/8) {
		return
	}
	old := sh.entries
	sh.entries, sh.peak = nil, n
	if n > 0 {
		sh.entries = make(map[core.ID]*entry, n)
		for id, e := range old {
			sh.entries[id] = e
		}
	}
}
