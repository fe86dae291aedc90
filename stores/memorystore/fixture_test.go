package memorystore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// fixture is a store whose clock stands still until it is advanced.
type fixture struct {
	*Store
	t     testing.TB
	ctx   context.Context
	clock *atomic.Int64 // milliseconds
}

func newFixture(t testing.TB, cfg Config) *fixture {
	t.Helper()
	f := &fixture{t: t, ctx: t.Context(), clock: new(atomic.Int64)}
	f.clock.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	cfg.Clock = func() time.Time { return instant(f.clock.Load()) }
	f.Store = New(cfg)
	t.Cleanup(func() {
		f.Close()
		checkInvariants(t, f.Store)
	})
	return f
}

func (f *fixture) advance(d time.Duration) { f.clock.Add(d.Milliseconds()) }

// makeID returns the i-th ID: well spread, never the same.
func makeID(i int) (id core.ID) {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	for half := range 2 {
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		binary.LittleEndian.PutUint64(id[8*half:], x)
	}
	return id
}

// rec returns a record that was used now and expires in an hour.
func (f *fixture) rec(i int, user string) core.Record {
	now := instant(f.clock.Load())
	return core.Record{
		ID: makeID(i), Version: 1, Generation: 1, Proof: [32]byte{1}, User: user,
		CreatedAt: now, LastAccess: now, ExpiresAt: now.Add(time.Hour),
		IdleTimeout: time.Hour, Deadline: now.Add(time.Hour), Horizon: now.Add(time.Hour),
		Values: []byte("values"),
	}
}

// create stores rec(i, user).
func (f *fixture) create(i int, user string) core.Record {
	f.t.Helper()
	rec := f.rec(i, user)
	if err := f.Create(f.ctx, rec); err != nil {
		f.t.Fatalf("Create %d: %v", i, err)
	}
	return rec
}

func (f *fixture) touch(i int) {
	f.t.Helper()
	now := instant(f.clock.Load())
	if err := f.Touch(f.ctx, makeID(i), now, now.Add(time.Hour)); err != nil {
		f.t.Fatalf("Touch %d: %v", i, err)
	}
}

// want checks what a Load of a record answers.
func (f *fixture) want(i int, sentinel error) {
	f.t.Helper()
	if _, err := f.Load(f.ctx, makeID(i)); !errors.Is(err, sentinel) {
		f.t.Errorf("Load %d: got %v, want %v", i, err, sentinel)
	}
}

func (f *fixture) count() int {
	n, _ := f.Count(f.ctx)
	return n
}

// checkInvariants checks that all parts of a store at rest agree.
func checkInvariants(t testing.TB, s *Store) {
	t.Helper()
	var total amount
	links := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		defer sh.mu.Unlock()
		anonymous := 0
		for id, slot := range sh.slots {
			e := sh.entries[slot]
			if e.id != id || int(id[0]) != i {
				t.Errorf("entry %v is kept as %v in shard %d", e.id, id, i)
			}
			a := e.amount()
			total.sessions++
			total.bytes += a.bytes
			total.fixed += a.fixed
			if !sh.expiry.has(slot) || sh.anonymous.has(slot) != (e.user == "") {
				t.Errorf("entry %v of user %q is in the wrong heaps", id, e.user)
			}
			switch {
			case e.user == "":
				anonymous++
			case s.users.link(e.link).id != id || !slices.Contains(s.users.ids(e.user), id):
				t.Errorf("entry %v of user %q is not in the index", id, e.user)
			default:
				links++
			}
		}
		if n := len(sh.slots); n != len(sh.expiry.items) || n+len(sh.free) != len(sh.entries) || anonymous != len(sh.anonymous.items) {
			t.Errorf("shard %d: %d records, %d slots, %d free, heaps of %d and %d", i, n, len(sh.entries), len(sh.free), len(sh.expiry.items), len(sh.anonymous.items))
		}
		checkHeap(t, &sh.expiry, sh.entries)
		checkHeap(t, &sh.anonymous, sh.entries)
		if sh.soonest.Load() != sh.expiry.bound() || sh.oldest.Load() != sh.anonymous.bound() {
			t.Errorf("shard %d publishes stale bounds", i)
		}
	}
	if used := s.budget.now(); used != total {
		t.Errorf("the budget says %+v, the records are %+v", used, total)
	}
	if used := s.budget.now(); used.sessions > s.budget.maxSessions || used.bytes > s.budget.maxBytes {
		t.Errorf("%+v is beyond the limits", used)
	}
	for user := range s.users.first {
		links -= len(s.users.ids(user))
	}
	if links != 0 {
		t.Errorf("the index of users has %d links too many", -links)
	}
}

func checkHeap(t testing.TB, h *heap, entries []*entry) {
	t.Helper()
	for i, it := range h.items {
		if int(h.at[it.slot]) != i {
			t.Errorf("slot %d is at %d, not %d", it.slot, i, h.at[it.slot])
		}
		if it.key > h.time(entries[it.slot]) {
			t.Errorf("the key of slot %d is later than its time", it.slot)
		}
		if i > 0 && h.items[(i-1)/4].key > it.key {
			t.Errorf("the heap is out of order at %d", i)
		}
	}
}
