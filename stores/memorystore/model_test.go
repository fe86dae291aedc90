package memorystore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// model is the store as its documentation has it, in the simplest way. It
// forgets expired records at once, which nobody may notice.
type model struct {
	recs        map[core.ID]core.Record
	maxSessions int
	maxBytes    int64
}

func (m *model) expire(now time.Time) {
	maps.DeleteFunc(m.recs, func(_ core.ID, rec core.Record) bool { return !rec.ExpiresAt.After(now) })
}

// put stores a record and evicts what it must, or nothing.
func (m *model) put(rec core.Record) error {
	var total, users amount
	var anonymous []core.Record
	for _, old := range m.recs {
		if old.ID == rec.ID {
			continue
		}
		a := recordAmount(&old)
		total = total.minus(amount{}.minus(a))
		if old.User != "" {
			users = users.minus(amount{}.minus(a))
		} else {
			anonymous = append(anonymous, old)
		}
	}
	size := recordAmount(&rec)
	if users.sessions >= m.maxSessions || users.bytes+size.bytes > m.maxBytes {
		return core.ErrFull
	}
	slices.SortFunc(anonymous, func(a, b core.Record) int { return a.LastAccess.Compare(b.LastAccess) })
	for total.sessions >= m.maxSessions || total.bytes+size.bytes > m.maxBytes {
		total = total.minus(recordAmount(&anonymous[0]))
		delete(m.recs, anonymous[0].ID)
		anonymous = anonymous[1:]
	}
	m.recs[rec.ID] = rec
	return nil
}

// The store does what the model does, for a long random walk on few IDs, so
// that all of them meet, near both limits.
func TestModel(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walk(t, seed, 2000) })
	}
}

func walk(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 3))
	cfg := Config{MaxSessions: 5 + r.IntN(40), MaxBytes: int64(5_000 + r.IntN(30_000))}
	f := newFixture(t, cfg)
	m := &model{map[core.ID]core.Record{}, cfg.MaxSessions, cfg.MaxBytes}
	ids := make([]core.ID, 60)
	for i := range ids {
		ids[i] = makeID(i)
		ids[i][0] %= 8
	}
	users := []string{"", "", "", "", "ann", "bob"}
	usedAt := map[int64]bool{} // no two last accesses are the same
	access := func(back bool) time.Time {
		at := f.clock.Load()
		if back {
			at -= r.Int64N(60_000)
		}
		for ; usedAt[at]; at-- {
		}
		usedAt[at] = true
		return instant(at)
	}
	for step := range steps {
		f.advance(time.Duration(1+r.IntN(400)) * time.Millisecond)
		now := instant(f.clock.Load())
		m.expire(now)
		id := ids[r.IntN(len(ids))]
		old, live := m.recs[id]
		verb, got, want := "", error(nil), error(nil)
		change := func(rec core.Record) core.Record {
			rec.ID, rec.User = id, users[r.IntN(len(users))]
			rec.LastAccess = access(r.IntN(4) == 0)
			rec.ExpiresAt = now.Add(time.Duration(r.IntN(60_000)) * time.Millisecond)
			rec.Values = make([]byte, r.IntN(1000))
			if r.IntN(30) == 0 {
				rec.Values = make([]byte, 20_000)
			}
			return rec
		}
		switch r.IntN(12) {
		case 0, 1, 2, 3:
			verb = "Create"
			rec := change(core.Record{Version: 1, CreatedAt: now})
			got = f.Create(f.ctx, rec)
			if want = core.ErrExists; !live {
				want = m.put(rec)
			}
		case 4, 5, 6:
			verb = "Update"
			rec := change(old)
			rec.Version = old.Version + 1 + uint64(r.IntN(8)/7)
			got = f.Update(f.ctx, rec)
			switch {
			case !live:
				want = core.ErrNotFound
			case rec.Version != old.Version+1:
				want = core.ErrConflict
			default:
				want = m.put(rec)
			}
		case 7, 8:
			verb = "Touch"
			at, expires := access(r.IntN(4) == 0), now.Add(time.Duration(r.IntN(60_000))*time.Millisecond)
			got = f.Touch(f.ctx, id, at, expires)
			if want = core.ErrNotFound; live {
				want = nil
				if at.After(old.LastAccess) {
					old.LastAccess = at
				}
				if expires.After(old.ExpiresAt) {
					old.ExpiresAt = expires
				}
				m.recs[id] = old
			}
		case 9:
			verb = "DeleteVersion"
			version := old.Version + uint64(r.IntN(2))
			got = f.DeleteVersion(f.ctx, id, version)
			switch {
			case !live:
				want = core.ErrNotFound
			case version != old.Version:
				want = core.ErrConflict
			default:
				delete(m.recs, id)
			}
		case 10:
			verb = "Delete"
			if existed, _ := f.Delete(f.ctx, id); existed != live {
				t.Fatalf("step %d: Delete: existed %v, want %v", step, existed, live)
			}
			delete(m.recs, id)
		case 11:
			switch r.IntN(3) {
			case 0:
				f.sweep()
			case 1:
				f.Sweep(f.ctx, now.Add(-time.Duration(r.IntN(10_000))*time.Millisecond), now)
			case 2:
				data := f.snapshot()
				cfg.Clock = f.Store.clock
				f.Close()
				f.Store = New(cfg)
				if n, err := f.Restore(bytes.NewReader(data)); n != len(m.recs) || err != nil {
					t.Fatalf("step %d: restored %d of %d, %v", step, n, len(m.recs), err)
				}
			}
		}
		if !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Fatalf("step %d: %s: got %v, want %v", step, verb, got, want)
		}
		if step%10 == 0 {
			m.compare(t, f, step, ids)
		}
	}
	checkInvariants(t, f.Store)
}

func (m *model) compare(t *testing.T, f *fixture, step int, ids []core.ID) {
	t.Helper()
	for _, id := range ids {
		want, live := m.recs[id]
		got, err := f.Load(f.ctx, id)
		if live != (err == nil) || live && !sameRecord(got, want) {
			t.Fatalf("step %d: Load: got %#v, %v\nwant %#v, %v", step, got, err, want, live)
		}
	}
	if step%50 > 0 {
		return
	}
	listed := 0
	for range f.List(f.ctx) {
		listed++
	}
	if n := f.count(); listed != len(m.recs) || n < listed {
		t.Fatalf("step %d: List has %d, Count %d, the model %d", step, listed, n, len(m.recs))
	}
	for _, user := range []string{"ann", "bob"} {
		var want []core.ID
		for id, rec := range m.recs {
			if rec.User == user {
				want = append(want, id)
			}
		}
		slices.SortFunc(want, func(a, b core.ID) int { return slices.Compare(a[:], b[:]) })
		if got := f.sessionsOf(user); !slices.Equal(got, want) {
			t.Fatalf("step %d: %s has %v, want %v", step, user, got, want)
		}
	}
}

func sameRecord(a, b core.Record) bool {
	if len(a.Values) != len(b.Values) {
		return false
	}
	a.Values, b.Values = nil, nil
	return reflect.DeepEqual(a, b)
}

// Each goroutine has sessions of its own, of which it knows what they must
// hold, and shares others, of which only the version tells how often they
// changed. Fails under -race if a verb touches an entry without its lock, and
// without -race if Update does not compare versions under it.
func TestStress(t *testing.T) {
	const workers, own, shared, steps = 8, 50, 5, 1000
	f := newFixture(t, Config{SweepInterval: time.Millisecond})
	for i := range shared {
		f.create(1_000_000+i, "all")
	}
	var updates [shared][workers]uint64
	stop := make(chan struct{})
	var work, others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			f.Sweep(f.ctx, time.Time{}, instant(f.clock.Load()))
			f.snapshot()
			f.sessionsOf("all")
			f.sessionsOf("mine")
			f.Stats()
		}
	})
	for w := range workers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 4))
			mine := map[core.ID]core.Record{}
			for range steps {
				f.clock.Add(1)
				rec := f.rec(w*1000+r.IntN(own), []string{"", "mine"}[r.IntN(2)])
				rec.ExpiresAt = rec.ExpiresAt.Add(24 * time.Hour)
				old, live := mine[rec.ID]
				rec.Version = old.Version + 1
				switch r.IntN(6) {
				case 0:
					if existed, _ := f.Delete(f.ctx, rec.ID); existed != live {
						t.Errorf("Delete: existed %v, want %v", existed, live)
					}
					delete(mine, rec.ID)
				case 1:
					if err := f.DeleteVersion(f.ctx, rec.ID, old.Version); (err == nil) != live {
						t.Errorf("DeleteVersion: %v, live %v", err, live)
					}
					delete(mine, rec.ID)
				case 2, 3:
					err := error(nil)
					if live {
						err = f.Update(f.ctx, rec)
					} else {
						err = f.Create(f.ctx, rec)
					}
					if err != nil {
						t.Errorf("write: %v, live %v", err, live)
					}
					mine[rec.ID] = rec
				case 4:
					if got, err := f.Load(f.ctx, rec.ID); (err == nil) != live || live && !reflect.DeepEqual(got, old) {
						t.Errorf("Load: got %#v, %v\nwant %#v, %v", got, err, old, live)
					}
				case 5:
					i := r.IntN(shared)
					rec, err := f.Load(f.ctx, makeID(1_000_000+i))
					if err != nil {
						t.Error(err)
					}
					rec.Version++
					switch err := f.Update(f.ctx, rec); {
					case err == nil:
						updates[i][w]++
					case err != core.ErrConflict:
						t.Error(err)
					}
				}
			}
		})
	}
	work.Wait()
	close(stop)
	others.Wait()
	for i := range shared {
		want := uint64(1)
		for _, n := range updates[i] {
			want += n
		}
		if rec, err := f.Load(f.ctx, makeID(1_000_000+i)); err != nil || rec.Version != want {
			t.Errorf("version %d after %d updates, %v", rec.Version, want-1, err)
		}
	}
}
