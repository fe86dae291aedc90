package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// told is what a store told of records that it removed.
type told struct {
	mu    sync.Mutex
	met   map[core.ID][]core.Record
	swept map[core.ID][]core.Record
}

// listen begins to listen to the store under test.
func (t *trial) listen() (heard *told, cancel func()) {
	heard = &told{met: map[core.ID][]core.Record{}, swept: map[core.ID][]core.Record{}}
	return heard, must[core.Expirer](t).NotifyExpired(func(ctx context.Context, rec core.Record, swept bool) {
		heard.mu.Lock()
		defer heard.mu.Unlock()
		if ctx == nil {
			t.Error("a record was told of without a context")
		}
		if swept {
			heard.swept[rec.ID] = append(heard.swept[rec.ID], rec)
		} else {
			heard.met[rec.ID] = append(heard.met[rec.ID], rec)
		}
	})
}

// times returns how often a record was told of.
func (h *told) times(id core.ID) (met, swept int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.met[id]), len(h.swept[id])
}

// wantTold checks how often a record was told of, in either way.
func (t *trial) wantTold(when string, heard *told, id core.ID, met, swept int) {
	t.Helper()
	if m, s := heard.times(id); m != met || s != swept {
		t.Errorf("%s: the record was told of %d times as met and %d times as swept, want %d and %d", when, m, s, met, swept)
	}
}

// expire calls Expire, which must succeed.
func (t *trial) expire(what string, id core.ID) {
	t.Helper()
	if err := must[core.Expirer](t).Expire(t.ctx, id); err != nil {
		t.Errorf("%s: Expire: %s, want success", what, outcome(err))
	}
}

// expiring are the cases for a [core.Expirer].
var expiring = []testcase{
	{"met", "Expire removes a record that has expired, at once, and tells of it once, as it was.", func(t *trial) {
		heard, _ := t.listen()
		rec := t.fullRecord()
		rec.ExpiresAt = t.clock.now().Add(life)
		t.create(rec)
		other := t.create(t.ending(rec.ExpiresAt))
		t.clock.set(rec.ExpiresAt)
		for range 2 {
			t.expire("an expired record", rec.ID)
			t.wantTold("after Expire", heard, rec.ID, 1, 0)
			t.wantAbsent("after Expire", rec.ID)
			t.wantTold("another expired record", heard, other.ID, 0, 0)
		}
		for _, got := range heard.met[rec.ID] {
			if d := diff(got, rec, "Values"); d != "" {
				t.Errorf("the record that was told of differs: %s", d)
			}
		}
		t.expire("what never was", newID())
		if has[core.UserLister](t.store) {
			t.wantListed("after Expire", rec.User)
		}
		rec.ExpiresAt = rec.ExpiresAt.Add(life)
		t.wantStored("created anew", t.create(rec))
	}},
	{"unheard", "Expire removes an expired record, and leaves a live one, if nobody listens.", func(t *trial) {
		rec, live := t.create(t.record()), t.create(t.ending(t.clock.now().Add(3*life)))
		t.clock.set(rec.ExpiresAt)
		t.expire("an expired record", rec.ID)
		t.expire("a live record", live.ID)
		t.wantAbsent("after Expire", rec.ID)
		t.wantStored("a live record", live)
		heard, _ := t.listen()
		t.expire("an expired record, again", rec.ID)
		t.wantTold("removed before somebody listened", heard, rec.ID, 0, 0)
	}},
	{"live", "Expire leaves a live record alone, to the millisecond, and one that was prolonged.", func(t *trial) {
		heard, _ := t.listen()
		rec := t.create(t.record())
		t.clock.set(rec.ExpiresAt.Add(-time.Millisecond))
		t.expire("a millisecond before its end", rec.ID)
		t.wantStored("a millisecond before its end", rec)
		rec.ExpiresAt = rec.ExpiresAt.Add(life)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.clock.advance(time.Second)
		t.expire("a record that a Touch prolonged", rec.ID)
		t.wantStored("a record that a Touch prolonged", rec)
		rec.ExpiresAt = rec.ExpiresAt.Add(life)
		rec = t.update(rec)
		t.clock.advance(life)
		t.expire("a record that an Update prolonged", rec.ID)
		t.wantStored("a record that an Update prolonged", rec)
		t.wantTold("a live record", heard, rec.ID, 0, 0)
		rec.ExpiresAt = t.clock.now()
		t.update(rec)
		t.expire("a record that an Update expired", rec.ID)
		t.wantTold("a record that an Update expired", heard, rec.ID, 1, 0)
	}},
	{"deleted", "Of a record that Delete removes it is told if it had expired, and not if it was live.", func(t *trial) {
		heard, _ := t.listen()
		live, dead, version := t.create(t.record()), t.create(t.record()), t.create(t.record())
		t.delete(live.ID)
		if d, ok := power[core.VersionDeleter](t.store); ok {
			t.want("DeleteVersion", d.DeleteVersion(t.ctx, version.ID, 1), nil)
		} else {
			t.delete(version.ID)
		}
		t.clock.set(dead.ExpiresAt)
		for range 2 {
			t.delete(dead.ID)
			t.delete(live.ID)
		}
		t.expire("after Delete", dead.ID)
		t.expire("after Delete", live.ID)
		t.wantTold("a live record, deleted", heard, live.ID, 0, 0)
		t.wantTold("a live record, deleted by version", heard, version.ID, 0, 0)
		t.wantTold("an expired record, deleted", heard, dead.ID, 1, 0)
		t.wantAbsent("after Delete", dead.ID)
	}},
	{"swept", "Of each record that Sweep removes it is told once.", func(t *trial) {
		sweeper, ok := power[core.Sweeper](t.store)
		if !ok {
			return
		}
		heard, _ := t.listen()
		var dead, live []core.Record
		for i := range 70 {
			rec := t.of("alice")
			dead = append(dead, t.create(rec))
			rec = t.ending(rec.ExpiresAt.Add(time.Duration(i+1) * life))
			live = append(live, t.create(rec))
		}
		t.clock.set(dead[0].ExpiresAt.Add(time.Millisecond))
		n, err := sweeper.Sweep(t.ctx, time.Time{}, t.clock.now())
		if err != nil || n != len(dead) {
			t.Errorf("Sweep: %d, %v; want %d", n, err, len(dead))
		}
		for range 2 {
			for _, rec := range dead {
				t.wantTold("swept", heard, rec.ID, 0, 1)
				t.wantAbsent("swept", rec.ID)
			}
			for _, rec := range live {
				t.wantTold("live", heard, rec.ID, 0, 0)
				t.wantStored("live", rec)
			}
			t.expire("swept", dead[0].ID)
			t.sweep("swept", time.Time{}, t.clock.now(), 0)
		}
		for _, got := range heard.swept[dead[1].ID] {
			if d := diff(got, dead[1], "Values"); d != "" {
				t.Errorf("the record that was told of differs: %s", d)
			}
		}
	}},
	{"cancel", "Every function is told until it is cancelled, and then no more; that of another is.", func(t *trial) {
		first, cancel := t.listen()
		second, _ := t.listen()
		before, after := t.create(t.record()), t.create(t.record())
		t.clock.set(before.ExpiresAt)
		t.expire("two listen", before.ID)
		cancel()
		cancel()
		t.expire("one was cancelled", after.ID)
		t.wantTold("before cancel", first, before.ID, 1, 0)
		t.wantTold("before cancel of the other", second, before.ID, 1, 0)
		t.wantTold("after cancel", first, after.ID, 0, 0)
		t.wantTold("after cancel of the other", second, after.ID, 1, 0)
	}},
	{"unlocked", "No lock is held while it is told: the store can be used.", func(t *trial) {
		met, found := t.create(t.record()), t.create(t.record())
		done := make(chan struct{})
		must[core.Expirer](t).NotifyExpired(func(ctx context.Context, rec core.Record, _ bool) {
			if _, err := t.store.Delete(ctx, rec.ID); err != nil {
				t.Errorf("Delete while it is told: %v", err)
			}
			rec.ExpiresAt = rec.ExpiresAt.Add(life)
			if err := t.store.Create(ctx, rec); err != nil {
				t.Errorf("Create while it is told: %v", err)
			}
		})
		t.clock.set(met.ExpiresAt.Add(time.Second))
		go func() {
			defer close(done)
			t.expire("met", met.ID)
			if sweeper, ok := power[core.Sweeper](t.store); ok {
				if _, err := sweeper.Sweep(t.ctx, time.Time{}, t.clock.now()); err != nil {
					t.Errorf("Sweep: %v", err)
				}
			} else {
				t.expire("found", found.ID)
			}
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the call that tells does not return")
		}
		for _, rec := range []core.Record{met, found} {
			if _, err := t.store.Load(t.ctx, rec.ID); err != nil {
				t.Errorf("created while it was told: Load: %s", outcome(err))
			}
		}
	}},
	{"contention", "However many meet or sweep an expired record, it is told of once.", func(t *trial) {
		heard, _ := t.listen()
		var dead, live []core.Record
		for range 30 {
			dead = append(dead, t.create(t.record()))
			live = append(live, t.create(t.ending(dead[0].ExpiresAt.Add(life))))
		}
		t.clock.set(dead[0].ExpiresAt.Add(time.Second))
		expirer := must[core.Expirer](t)
		sweeper, sweeps := power[core.Sweeper](t.store)
		together(6, func(i int) {
			for n := range dead {
				n = (n + i*7) % len(dead)
				var err error
				switch {
				case i == 0:
					_, err = t.store.Delete(t.ctx, dead[n].ID)
				case i == 1 && sweeps && n%10 == 0:
					_, err = sweeper.Sweep(t.ctx, time.Time{}, t.clock.now())
				default:
					t.store.Load(t.ctx, dead[n].ID)
					err = expirer.Expire(t.ctx, dead[n].ID)
				}
				if err != nil {
					t.Errorf("a call at the same time as others: %v", err)
					return
				}
			}
		})
		for i := range dead {
			if met, swept := heard.times(dead[i].ID); met+swept != 1 {
				t.Errorf("an expired record was told of %d times, want once", met+swept)
			}
			t.wantAbsent("an expired record", dead[i].ID)
			t.wantTold("a live record", heard, live[i].ID, 0, 0)
			t.wantStored("a live record", live[i])
		}
	}},
	{"prolonged", "A record that was prolonged in time is neither removed nor told of, and one that was not is both.", func(t *trial) {
		heard, _ := t.listen()
		expirer := must[core.Expirer](t)
		for range 30 {
			rec := t.create(t.ending(t.clock.now().Add(time.Hour)))
			next := rec
			next.Version, next.ExpiresAt = 2, rec.ExpiresAt.Add(10*life)
			var updated error
			together(3, func(i int) {
				switch i {
				case 0:
					updated = t.store.Update(t.ctx, next)
				case 1:
					t.clock.set(rec.ExpiresAt)
				case 2:
					if err := expirer.Expire(t.ctx, rec.ID); err != nil {
						t.Errorf("Expire: %v", err)
					}
				}
			})
			if updated == nil {
				t.wantStored("prolonged", next)
				t.wantTold("prolonged", heard, rec.ID, 0, 0)
				continue
			}
			t.expire("not prolonged", rec.ID)
			t.want("Update of an expired record", updated, core.ErrNotFound)
			t.wantAbsent("not prolonged", rec.ID)
			t.wantTold("not prolonged", heard, rec.ID, 1, 0)
		}
	}},
}
