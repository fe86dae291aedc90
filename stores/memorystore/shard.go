package memorystore

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coatcheck/sessions/core"
)

const (
	// shardCount is how many locks there are. IDs are random, so their first
	// byte spreads them.
	shardCount = 256
	// batch is how many records anything handles under one lock: some tens
	// of microseconds of work.
	batch = 64

	never = math.MaxInt64
)

// shard is the part of the store that holds the IDs of one first byte. It
// points to each entry once, in the order of their making; all else refers to
// entries by slot. That makes a garbage collection several times faster than
// maps of pointers do.
type shard struct {
	mu        sync.Mutex
	slots     map[core.ID]int32
	entries   []*entry // by slot, nil if it is free
	free      []int32  // free slots
	expiry    heap     // all entries, by the time when they expire
	anonymous heap     // those of no user, by the time of their last use

	// The bounds of the heaps, to be read without the lock by those who
	// look for the shard to take from.
	soonest, oldest atomic.Int64
}

func (sh *shard) init() {
	sh.expiry.time = func(e *entry) int64 { return e.expires }
	sh.anonymous.time = func(e *entry) int64 { return e.access }
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
func (sh *shard) find(id core.ID, now int64) (e *entry, slot int32, err error) {
	slot, ok := sh.slots[id]
	if !ok {
		return nil, absent, core.ErrNotFound
	}
	e = sh.entries[slot]
	if !e.live(now) {
		return nil, slot, core.ErrExpired
	}
	return e, slot, nil
}

// insert adds an entry.
func (sh *shard) insert(e *entry) {
	slot := int32(len(sh.entries))
	if n := len(sh.free); n > 0 {
		slot, sh.free = sh.free[n-1], sh.free[:n-1]
		sh.entries[slot] = e
	} else {
		sh.entries = append(sh.entries, e)
	}
	if sh.slots == nil {
		sh.slots = make(map[core.ID]int32)
	}
	sh.slots[e.id] = slot
	sh.expiry.push(slot, e)
	if e.user == "" {
		sh.anonymous.push(slot, e)
	}
}

// remove takes an entry out, and gives memory back when most of it is unused.
func (sh *shard) remove(slot int32) {
	delete(sh.slots, sh.entries[slot].id)
	sh.entries[slot] = nil
	sh.free = append(sh.free, slot)
	sh.expiry.remove(slot)
	if sh.anonymous.has(slot) {
		sh.anonymous.remove(slot)
	}
	if n := len(sh.entries); n > 16 && len(sh.slots) < n/8 {
		sh.rebuild()
	}
}

// rebuild puts the entries into as few slots as there are: neither a map nor a
// slice shrinks by itself.
func (sh *shard) rebuild() {
	entries := sh.entries
	slots := make(map[core.ID]int32, len(sh.slots))
	sh.slots, sh.entries, sh.free = slots, nil, nil
	for _, h := range []*heap{&sh.expiry, &sh.anonymous} {
		h.items, h.at = nil, nil
	}
	for _, e := range entries {
		if e != nil {
			sh.insert(e)
		}
	}
}

// insert adds a record that the budget has room for. The shard is locked.
func (s *Store) insert(sh *shard, rec *core.Record) {
	e := &entry{id: rec.ID}
	e.set(rec)
	s.setUser(e, rec.User)
	sh.insert(e)
}

// replace changes an entry into a record that the budget has room for. The
// shard is locked.
func (s *Store) replace(sh *shard, slot int32, rec *core.Record) {
	e := sh.entries[slot]
	e.set(rec)
	s.setUser(e, rec.User)
	sh.expiry.earlier(slot, e)
	switch listed := sh.anonymous.has(slot); {
	case listed && e.user != "":
		sh.anonymous.remove(slot)
	case listed:
		sh.anonymous.earlier(slot, e)
	case e.user == "":
		sh.anonymous.push(slot, e)
	}
}

// setUser sets the user of an entry, here and in the index.
func (s *Store) setUser(e *entry, user string) {
	if e.user == user {
		return
	}
	if e.user != "" {
		s.users.remove(e.user, e.link)
	}
	e.user, e.link = "", 0
	if user != "" {
		e.user = strings.Clone(user) // it may be part of something large
		e.link = s.users.add(e.user, e.id)
	}
}

// drop removes an entry. The shard is locked.
func (s *Store) drop(sh *shard, slot int32) {
	e := sh.entries[slot]
	s.budget.take(amount{}.minus(e.amount()))
	s.setUser(e, "")
	sh.remove(slot)
}
