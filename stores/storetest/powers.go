package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coatcheck/sessions/core"
)

// power finds an optional interface where the manager does: on the store, or
// on one that it wraps.
func power[P any](s core.Store) (P, bool) {
	for s != nil {
		if p, ok := s.(P); ok {
			return p, true
		}
		u, ok := s.(interface{ Unwrap() core.Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var none P
	return none, false
}

func has[P any](s core.Store) bool {
	_, ok := power[P](s)
	return ok
}

// must returns a power of the store under test.
func must[P any](t *trial) P {
	t.Helper()
	p, ok := power[P](t.store)
	if !ok {
		t.Fatalf("the store lacks a power that another store of the factory has")
	}
	return p
}

// wantListed checks that exactly these records are listed under a user.
func (t *trial) wantListed(when, user string, want ...core.Record) {
	t.Helper()
	got, err := must[core.UserLister](t).ListUser(t.ctx, user)
	if err != nil {
		t.Fatalf("%s: ListUser: %v", when, err)
	}
	t.wantSame(fmt.Sprintf("%s: ListUser(%q)", when, user), got, want)
}

// wantSame checks that two lists hold the same records, in any order, but for
// Values that were left out.
func (t *trial) wantSame(what string, got, want []core.Record) {
	t.Helper()
	wanted := map[core.ID]core.Record{}
	for _, rec := range want {
		wanted[rec.ID] = rec
	}
	seen := map[core.ID]bool{}
	for _, rec := range got {
		w, ok := wanted[rec.ID]
		switch {
		case seen[rec.ID]:
			t.Errorf("%s: %v is there twice", what, rec)
		case !ok:
			t.Errorf("%s: %v of user %q, which is not among the %d expected", what, rec, rec.User, len(want))
		default:
			if len(rec.Values) == 0 {
				w.Values = nil
			}
			if d := diff(rec, w); d != "" {
				t.Errorf("%s: %s", what, d)
			}
		}
		seen[rec.ID] = true
	}
	var missing []string
	for id := range wanted {
		if !seen[id] {
			missing = append(missing, id.String())
		}
	}
	if sort.Strings(missing); len(missing) > 0 {
		t.Errorf("%s: %d of %d records are missing, among them %s", what, len(missing), len(want), missing[0])
	}
}

// of returns a plain record of a user.
func (t *trial) of(user string) core.Record {
	rec := t.record()
	rec.User, rec.LoginAt = user, rec.CreatedAt
	return rec
}

// listUser are the cases for a [core.UserLister].
var listUser = []testcase{
	{"create", "ListUser returns the live records of a user, and no others.", func(t *trial) {
		t.wantListed("an empty store", "alice")
		a1, a2, b := t.create(t.of("alice")), t.create(t.of("alice")), t.create(t.of("bob"))
		t.create(t.record())
		t.wantListed("after Create", "alice", a1, a2)
		t.wantListed("after Create", "bob", b)
		t.wantListed("after Create", "carol")
		full := t.fullRecord()
		t.wantListed("every field", full.User, t.create(full))
	}},
	{"login", "A record is listed from the Update that gave it its user on.", func(t *trial) {
		rec := t.create(t.record())
		t.wantListed("before the login", "alice")
		rec.User, rec.LoginAt = "alice", t.clock.now()
		rec = t.update(rec)
		t.wantListed("after the login", "alice", rec)
		for range 3 {
			rec = t.update(rec)
			t.wantListed("after another Update", "alice", rec)
		}
	}},
	{"logout", "A deleted record is not listed.", func(t *trial) {
		a1, a2 := t.create(t.of("alice")), t.create(t.of("alice"))
		t.delete(a1.ID)
		t.wantListed("after Delete", "alice", a2)
		t.delete(a2.ID)
		t.wantListed("after both", "alice")
		a1 = t.create(t.of("alice"))
		t.wantListed("after another login", "alice", a1)
	}},
	{"user-change", "A record is listed under the user of its last Update only.", func(t *trial) {
		other := t.create(t.of("alice"))
		rec := t.create(t.of("alice"))
		for _, user := range []string{"bob", "alice", "", "bob", "", "alice"} {
			rec.User = user
			rec = t.update(rec)
			for _, name := range []string{"alice", "bob"} {
				var want []core.Record
				if name == user {
					want = append(want, rec)
				}
				if name == "alice" {
					want = append(want, other)
				}
				t.wantListed(fmt.Sprintf("after the change to %q", user), name, want...)
			}
		}
	}},
	{"expiry", "An expired record is not listed, swept or not, and one that was prolonged is.", func(t *trial) {
		short, touched, updated := t.create(t.of("alice")), t.create(t.of("alice")), t.create(t.of("alice"))
		soft := t.create(t.of("alice"))
		soft.ExpiresAt = t.clock.now()
		t.update(soft)
		end := short.ExpiresAt
		touched.ExpiresAt = end.Add(life)
		t.want("Touch", t.store.Touch(t.ctx, touched.ID, touched.LastAccess, touched.ExpiresAt), nil)
		updated.ExpiresAt = end.Add(2 * life)
		updated = t.update(updated)
		t.clock.set(end.Add(-time.Millisecond))
		t.wantListed("a millisecond before the first end", "alice", short, touched, updated)
		t.clock.set(end)
		t.wantListed("at the first end", "alice", touched, updated)
		t.clock.set(touched.ExpiresAt)
		t.wantListed("at the second end", "alice", updated)
		late := t.create(t.of("alice"))
		t.wantListed("with a new one", "alice", updated, late)
		t.clock.set(updated.ExpiresAt)
		t.wantListed("at the third end", "alice")
	}},
	{"refused", "A verb that was refused leaves no trace in the lists.", func(t *trial) {
		rec := t.create(t.of("alice"))
		other := t.of("bob")
		other.ID = rec.ID
		t.want("Create of an existing ID", t.store.Create(t.ctx, other), core.ErrExists)
		other.Version = 7
		t.want("Update of another version", t.store.Update(t.ctx, other), core.ErrConflict)
		absent := t.of("bob")
		absent.Version = 2
		t.want("Update of an absent record", t.store.Update(t.ctx, absent), core.ErrNotFound)
		t.wantListed("after refusals", "alice", rec)
		t.wantListed("after refusals", "bob")
	}},
	{"replaced", "A record created over an expired one is listed under its own user only.", func(t *trial) {
		old := t.create(t.of("alice"))
		t.clock.set(old.ExpiresAt)
		rec := t.of("bob")
		rec.ID = old.ID
		t.create(rec)
		t.wantListed("created over an expired record", "alice")
		t.wantListed("created over an expired record", "bob", rec)
	}},
	{"many", "A user may have any number of sessions.", func(t *trial) {
		var want []core.Record
		var mu sync.Mutex
		together(8, func(int) {
			for range 40 {
				rec := t.of("alice")
				if err := t.store.Create(t.ctx, rec); err != nil {
					t.Errorf("Create: %v", err)
					return
				}
				mu.Lock()
				want = append(want, rec)
				mu.Unlock()
			}
		})
		t.wantListed("with many sessions", "alice", want...)
		for _, rec := range want[:len(want)/2] {
			t.delete(rec.ID)
		}
		t.wantListed("with half of them ended", "alice", want[len(want)/2:]...)
	}},
	{"users", "Users are told apart byte by byte.", func(t *trial) {
		users := append([]string{
			"alice", "Alice", "ALICE", "alice ", " alice", "alic", "alicea", "alice%", "al%", "al_ce", "al*", "alicé", "alice\u0301",
			"\u00e9", "ss", "ß", "user:1", "user:11", "user:1:", "1", "01", "1.0", "+1",
		}, oddUsers...)
		recs := map[string]core.Record{}
		for _, user := range users {
			if _, ok := recs[user]; !ok {
				recs[user] = t.create(t.of(user))
			}
		}
		for user, rec := range recs {
			t.wantListed("with many users", user, rec)
		}
		gone := map[string]bool{}
		for user, rec := range recs {
			if len(gone) < len(recs)/2 {
				gone[user] = true
				t.delete(rec.ID)
			}
		}
		for user, rec := range recs {
			if gone[user] {
				t.wantListed("after its end", user)
			} else {
				t.wantListed("after the end of others", user, rec)
			}
		}
	}},
	{"contention", "ListUser misses no record whose Create or Update with this user has returned, whatever others do meanwhile.", func(t *trial) {
		lister := must[core.UserLister](t)
		listed := func(when string, id core.ID, want bool) {
			recs, err := lister.ListUser(t.ctx, "alice")
			if err != nil {
				t.Errorf("%s: ListUser: %v", when, err)
				return
			}
			found := false
			for _, rec := range recs {
				found = found || rec.ID == id
				if rec.User != "alice" {
					t.Errorf("%s: ListUser returned a record of %q", when, rec.User)
				}
			}
			if found != want {
				t.Errorf("%s: listed is %t, want %t", when, found, want)
			}
		}
		check := func(err error) {
			if err != nil {
				t.Errorf("a verb on a record of one's own: %v", err)
			}
		}
		for range 6 {
			recs := make([]core.Record, 8)
			together(len(recs), func(i int) {
				rec := t.of("alice")
				if i%2 == 0 {
					check(t.store.Create(t.ctx, rec))
				} else {
					rec.User = "bob"
					check(t.store.Create(t.ctx, rec))
					listed("before the change of user", rec.ID, false)
					rec.User, rec.Version = "alice", 2
					check(t.store.Update(t.ctx, rec))
				}
				listed("after Create or Update", rec.ID, true)
				recs[i] = rec
			})
			t.wantListed("after all Creates and Updates", "alice", recs...)
			together(len(recs), func(i int) {
				rec := recs[i]
				check(t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt.Add(time.Second)))
				listed("after Touch", rec.ID, true)
				if i%3 == 0 {
					rec.Version++
					rec.User = "carol"
					check(t.store.Update(t.ctx, rec))
					listed("after a change of user", rec.ID, false)
					rec.Version++
					rec.User = "alice"
					check(t.store.Update(t.ctx, rec))
					listed("after the change back", rec.ID, true)
				}
				if i%2 == 0 {
					_, err := t.store.Delete(t.ctx, rec.ID)
					check(err)
					listed("after Delete", rec.ID, false)
				}
			})
			for i, rec := range recs {
				listed("after all of this", rec.ID, i%2 != 0)
				t.delete(rec.ID)
			}
		}
		t.wantListed("in the end", "alice")
	}},
}

// listAll returns what List yields.
func (t *trial) listAll() []core.Record {
	t.Helper()
	var out []core.Record
	for rec, err := range must[core.Lister](t).List(t.ctx) {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		out = append(out, rec)
	}
	return out
}

// list are the cases for a [core.Lister].
var list = []testcase{
	{"live", "List yields the live records, each once.", func(t *trial) {
		t.wantSame("List of an empty store", t.listAll(), nil)
		var want []core.Record
		for i := range 250 {
			rec := t.record()
			if i%2 == 0 {
				rec = t.of(fmt.Sprint("user ", i%7))
			}
			want = append(want, t.create(rec))
		}
		want = append(want, t.create(t.fullRecord()))
		for i := range want {
			switch i % 5 {
			case 0:
				t.delete(want[i].ID)
			case 1:
				want[i] = t.update(want[i])
			}
		}
		left := want[:0]
		for i, rec := range want {
			if i%5 != 0 {
				left = append(left, rec)
			}
		}
		t.wantSame("List", t.listAll(), left)
	}},
	{"expiry", "List yields no expired record, swept or not.", func(t *trial) {
		short, long := t.create(t.record()), t.create(t.record())
		long.ExpiresAt = short.ExpiresAt.Add(life)
		t.want("Touch", t.store.Touch(t.ctx, long.ID, long.LastAccess, long.ExpiresAt), nil)
		t.clock.set(short.ExpiresAt.Add(-time.Millisecond))
		t.wantSame("List before the first end", t.listAll(), []core.Record{short, long})
		t.clock.set(short.ExpiresAt)
		t.wantSame("List at the first end", t.listAll(), []core.Record{long})
		t.clock.set(long.ExpiresAt)
		t.wantSame("List at the second end", t.listAll(), nil)
	}},
	{"stop", "The caller of List may stop at any record, and use the store meanwhile.", func(t *trial) {
		for range 20 {
			t.create(t.record())
		}
		for _, after := range []int{1, 7, 20} {
			n := 0
			for rec, err := range must[core.Lister](t).List(t.ctx) {
				if err != nil {
					t.Fatalf("List: %v", err)
				}
				t.wantStored("listed", t.update(func() core.Record {
					full, err := t.store.Load(t.ctx, rec.ID)
					if err != nil {
						t.Fatalf("Load of a listed record: %v", err)
					}
					return full
				}()))
				if n++; n == after {
					break
				}
			}
			if n != after {
				t.Errorf("List yielded %d records, want %d or more", n, after)
			}
		}
	}},
	{"churn", "List misses only records that come or go meanwhile.", func(t *trial) {
		lister := must[core.Lister](t)
		stay := map[core.ID]bool{}
		var recs []core.Record
		for range 100 {
			rec := t.create(t.record())
			stay[rec.ID] = true
			recs = append(recs, rec)
		}
		var changes atomic.Int32
		done := make(chan struct{})
		together(3, func(i int) {
			switch i {
			case 0:
				defer close(done)
				for n, changed := 0, 0; n < 10 || changed < len(recs) && !t.Failed(); n++ {
					changed = int(changes.Load())
					seen := map[core.ID]bool{}
					for rec, err := range lister.List(t.ctx) {
						if err != nil {
							t.Errorf("List: %v", err)
							return
						}
						seen[rec.ID] = true
					}
					for id := range stay {
						if !seen[id] {
							t.Errorf("List missed a record that was there all the time")
							return
						}
					}
				}
			case 1: // come and go
				for {
					select {
					case <-done:
						return
					default:
					}
					rec := t.record()
					if err := t.store.Create(t.ctx, rec); err != nil {
						t.Errorf("Create: %v", err)
						return
					}
					if _, err := t.store.Delete(t.ctx, rec.ID); err != nil {
						t.Errorf("Delete: %v", err)
						return
					}
				}
			case 2: // change
				for i := 0; ; i = (i + 1) % len(recs) {
					select {
					case <-done:
						return
					default:
					}
					recs[i].Version++
					recs[i].ExpiresAt = recs[i].ExpiresAt.Add(time.Millisecond)
					if err := t.store.Update(t.ctx, recs[i]); err != nil {
						t.Errorf("Update: %v", err)
						return
					}
					changes.Add(1)
				}
			}
		})
	}},
}

// count are the cases for a [core.Counter].
var count = []testcase{
	{"live", "Count is the number of live records; some that have expired may be counted.", func(t *trial) {
		want := func(when string, least, most int) {
			t.Helper()
			n, err := must[core.Counter](t).Count(t.ctx)
			if err != nil {
				t.Fatalf("%s: Count: %v", when, err)
			}
			if n < least || n > most {
				t.Errorf("%s: Count is %d, want %d to %d", when, n, least, most)
			}
		}
		want("an empty store", 0, 0)
		var recs []core.Record
		for range 30 {
			recs = append(recs, t.create(t.of("alice")))
		}
		want("30 created", 30, 30)
		for i := range recs {
			recs[i] = t.update(recs[i])
		}
		want("updated", 30, 30)
		t.want("Create of an existing ID", t.store.Create(t.ctx, recs[0]), core.ErrExists)
		want("after a refused Create", 30, 30)
		for _, rec := range recs[:10] {
			t.delete(rec.ID)
			t.delete(rec.ID)
		}
		want("10 deleted, twice", 20, 20)
		for _, rec := range recs[10:15] {
			t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt.Add(life)), nil)
		}
		t.clock.set(recs[0].ExpiresAt)
		want("15 expired", 5, 20)
		for range 3 {
			t.create(t.record())
		}
		want("3 new ones", 8, 23)
		again := t.record()
		again.ID = recs[20].ID
		t.create(again)
		want("one created over an expired one", 9, 23)
	}},
}

// sweep calls Sweep, which must succeed and remove n records.
func (t *trial) sweep(what string, from, to time.Time, n int) {
	t.Helper()
	got, err := must[core.Sweeper](t).Sweep(t.ctx, from, to)
	if err != nil {
		t.Fatalf("%s: Sweep: %v", what, err)
	}
	if got != n {
		t.Errorf("%s: Sweep removed %d records, want %d", what, got, n)
	}
}

// ending returns a record that ends at the given time.
func (t *trial) ending(at time.Time) core.Record {
	rec := t.record()
	rec.ExpiresAt = at
	return rec
}

// sweeping are the cases for a [core.Sweeper].
var sweeping = []testcase{
	{"expired", "Sweep removes the expired records, tells how many, and leaves the live ones.", func(t *trial) {
		t.sweep("an empty store", time.Time{}, t.clock.now(), 0)
		var dead, alive []core.Record
		for range 20 {
			dead = append(dead, t.create(t.of("alice")))
		}
		end := dead[0].ExpiresAt
		for range 20 {
			rec := t.of("alice")
			rec.ExpiresAt = end.Add(life)
			alive = append(alive, t.create(rec))
		}
		t.sweep("nothing expired", time.Time{}, t.clock.now(), 0)
		t.clock.set(end.Add(time.Millisecond))
		t.sweep("20 of 40 expired", time.Time{}, t.clock.now(), 20)
		t.sweep("swept", time.Time{}, t.clock.now(), 0)
		for _, rec := range dead {
			t.wantAbsent("a record that was swept", rec.ID)
		}
		for _, rec := range alive {
			t.wantStored("a live record", rec)
		}
		t.clock.set(end.Add(2 * life))
		t.sweep("the rest expired", time.Time{}, t.clock.now(), 20)
	}},
	{"range", "Sweep removes what expired from its first time on and before its second, to the millisecond.", func(t *trial) {
		at := func(ms int) time.Time {
			return t.clock.now().Truncate(time.Second).Add(life + time.Duration(ms)*time.Millisecond)
		}
		times := map[int]time.Time{}
		for _, ms := range []int{0, 1, 998, 999, 1000, 1001, 1999, 2000} {
			times[ms] = at(ms)
			t.create(t.ending(times[ms]))
		}
		t.clock.advance(10 * life)
		t.sweep("from 999 to 1000 ms", times[999], times[1000], 1)
		t.sweep("from 1 to 1 ms", times[1], times[1], 0)
		t.sweep("from 1 to 1001 ms", times[1], times[1001], 3)
		t.sweep("from 1001 to 2000 ms", times[1001], times[2000], 2)
		t.sweep("up to 2000 ms", time.Time{}, times[2000], 1)
		t.sweep("all", time.Time{}, t.clock.now(), 1)
	}},
	{"moved", "A record expires for Sweep when its last Update or Touch says.", func(t *trial) {
		now := t.clock.now()
		first, last := now.Add(life+1*time.Millisecond), now.Add(3*life+1*time.Millisecond)
		touched, prolonged, shortened := t.create(t.ending(first)), t.create(t.ending(first)), t.create(t.ending(last))
		t.want("Touch", t.store.Touch(t.ctx, touched.ID, touched.LastAccess, last), nil)
		touched.ExpiresAt = last
		prolonged.ExpiresAt = last
		prolonged = t.update(prolonged)
		shortened.ExpiresAt = first
		t.update(shortened)
		soft := t.create(t.ending(last))
		soft.ExpiresAt = now
		t.update(soft)
		replaced := t.create(t.ending(first))
		t.clock.set(now.Add(2 * life))
		again := t.ending(last)
		again.ID = replaced.ID
		t.create(again)
		t.sweep("the shortened and the one that an Update expired", time.Time{}, t.clock.now(), 2)
		t.wantStored("touched", touched)
		t.wantStored("prolonged", prolonged)
		t.wantStored("created over an expired one", again)
		t.clock.set(now.Add(4 * life))
		t.sweep("the others", time.Time{}, t.clock.now(), 3)
	}},
	{"many", "Sweep removes everything in its range, however much, and may run in several places at once.", func(t *trial) {
		const all = 600
		sweeper := must[core.Sweeper](t)
		end := t.clock.now().Add(life)
		together(16, func(i int) {
			for n := i; n < all; n += 16 {
				if err := t.store.Create(t.ctx, t.ending(end.Add(time.Duration(n)*time.Millisecond))); err != nil {
					t.Errorf("Create: %v", err)
					return
				}
			}
		})
		var alive []core.Record
		for range 5 {
			alive = append(alive, t.create(t.ending(end.Add(10*life))))
		}
		t.clock.set(end.Add(2 * life))
		var mu sync.Mutex
		total := 0
		together(3, func(int) {
			n, err := sweeper.Sweep(t.ctx, time.Time{}, t.clock.now())
			if err != nil {
				t.Errorf("Sweep: %v", err)
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
		if total != all {
			t.Errorf("three sweeps at once removed %d records together, want %d", total, all)
		}
		t.sweep("afterwards", time.Time{}, t.clock.now(), 0)
		for _, rec := range alive {
			t.wantStored("a live record", rec)
		}
	}},
}

// deleteVersion are the cases for a [core.VersionDeleter].
var deleteVersion = []testcase{
	{"version", "DeleteVersion removes the record only at the given version: ErrConflict, ErrNotFound.", func(t *trial) {
		d := must[core.VersionDeleter](t)
		t.want("DeleteVersion of what never was", d.DeleteVersion(t.ctx, newID(), 1), core.ErrNotFound)
		rec := t.update(t.create(t.of("alice"))) // version 2
		for _, version := range []uint64{0, 1, 3, 1 << 40} {
			t.want(fmt.Sprintf("DeleteVersion %d of version 2", version), d.DeleteVersion(t.ctx, rec.ID, version), core.ErrConflict)
			t.wantStored("after a refused DeleteVersion", rec)
		}
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt.Add(time.Second)), nil)
		t.want("DeleteVersion 2 of version 2, touched", d.DeleteVersion(t.ctx, rec.ID, 2), nil)
		t.wantAbsent("after DeleteVersion", rec.ID)
		t.want("DeleteVersion again", d.DeleteVersion(t.ctx, rec.ID, 2), core.ErrNotFound)
		if has[core.UserLister](t.store) {
			t.wantListed("after DeleteVersion", "alice")
		}
		rec.Version = 1
		t.wantStored("created anew", t.create(rec))
	}},
	{"expiry", "DeleteVersion answers ErrNotFound for an expired record.", func(t *trial) {
		rec := t.create(t.record())
		t.clock.set(rec.ExpiresAt)
		t.want("DeleteVersion of an expired record", must[core.VersionDeleter](t).DeleteVersion(t.ctx, rec.ID, 1), core.ErrNotFound)
		t.wantExpired("after that", rec.ID)
	}},
	{"contention", "Of an Update and a DeleteVersion of the same version, exactly one succeeds.", func(t *trial) {
		d := must[core.VersionDeleter](t)
		for n := range 50 {
			rec := t.create(t.record())
			next := rec
			next.Version, next.Values = 2, []byte("updated")
			var updated, deleted error
			together(2, func(i int) {
				if i == n%2 {
					updated = t.store.Update(t.ctx, next)
				} else {
					deleted = d.DeleteVersion(t.ctx, rec.ID, 1)
				}
			})
			switch {
			case updated == nil && errors.Is(deleted, core.ErrConflict):
				t.wantStored("updated, not deleted", next)
			case errors.Is(updated, core.ErrNotFound) && deleted == nil:
				t.wantAbsent("deleted, not updated", rec.ID)
			default:
				t.Fatalf("Update: %s; DeleteVersion: %s; want one success, and ErrNotFound or ErrConflict for the other", outcome(updated), outcome(deleted))
			}
		}
	}},
}

// glimpse is how long a lock is watched that must not be had. A slow store
// cannot make the watching fail, only a broken lock can.
const glimpse = 30 * time.Millisecond

// patience is for what must happen, and is only spent in full by a store that
// fails. A variable, for the tests of the kit.
var patience = 30 * time.Second

// wantHeld checks that nobody else gets the lock.
func (t *trial) wantHeld(when string, id core.ID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, glimpse)
	defer cancel()
	unlock, err := must[core.Locker](t).Lock(ctx, id)
	switch {
	case err == nil:
		unlock()
		t.Errorf("%s: a second caller got the lock", when)
	case !errors.Is(err, context.DeadlineExceeded):
		t.Errorf("%s: Lock whose context ended: %v, want an error that wraps the context's", when, err)
	}
}

// lock takes a lock, which must succeed.
func (t *trial) lock(when string, id core.ID) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	unlock, err := must[core.Locker](t).Lock(ctx, id)
	if err != nil {
		t.Fatalf("%s: Lock: %v", when, err)
	}
	return unlock
}

// locking are the cases for a [core.Locker].
var locking = []testcase{
	{"exclusive", "Lock gives one caller at a time the use of an ID, and others wait until it is free or their context ends.", func(t *trial) {
		rec, other := t.create(t.record()), t.create(t.record())
		unlock := t.lock("a free ID", rec.ID)
		t.wantHeld("while it is held", rec.ID)
		t.lock("another ID", other.ID)()
		unlock()
		unlock = t.lock("after unlock", rec.ID)
		t.wantHeld("while it is held again", rec.ID)
		unlock()
	}},
	{"advisory", "A lock holds nobody off the record.", func(t *trial) {
		rec := t.create(t.record())
		defer t.lock("a free ID", rec.ID)()
		rec = t.update(rec)
		t.wantStored("updated while locked", rec)
		t.want("Touch", t.store.Touch(t.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt), nil)
		t.delete(rec.ID)
		t.wantAbsent("deleted while locked", rec.ID)
	}},
	{"unlock-twice", "Calling unlock again does nothing, even if another holds the lock by then.", func(t *trial) {
		rec := t.create(t.record())
		first := t.lock("a free ID", rec.ID)
		first()
		first()
		second := t.lock("after unlock", rec.ID)
		first()
		t.wantHeld("held by another while the first unlocks again", rec.ID)
		second()
		t.lock("in the end", rec.ID)()
	}},
	{"waiter", "A waiter gets the lock when it is free.", func(t *trial) {
		locker := must[core.Locker](t)
		rec := t.create(t.record())
		unlock := t.lock("a free ID", rec.ID)
		waiting, got := make(chan struct{}), make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.ctx, patience)
			defer cancel()
			close(waiting)
			unlock, err := locker.Lock(ctx, rec.ID)
			if err == nil {
				unlock()
			}
			got <- err
		}()
		<-waiting
		unlock()
		if err := <-got; err != nil {
			t.Errorf("Lock of a waiter: %v", err)
		}
	}},
	{"contention", "Of many who want the lock, each gets it, one at a time.", func(t *trial) {
		locker := must[core.Locker](t)
		rec := t.create(t.record())
		// Atomics, because the lock of a remote engine orders nothing in the
		// eyes of the race detector.
		var turns, inside atomic.Int32
		together(8, func(int) {
			for range 5 {
				ctx, cancel := context.WithTimeout(t.ctx, patience)
				unlock, err := locker.Lock(ctx, rec.ID)
				cancel()
				if err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				if n := inside.Add(1); n > 1 {
					t.Errorf("%d callers hold the lock", n)
				}
				runtime.Gosched()
				turns.Add(1)
				inside.Add(-1)
				unlock()
			}
		})
		if n := turns.Load(); !t.Failed() && n != 8*5 {
			t.Errorf("%d turns under the lock, want %d", n, 8*5)
		}
	}},
	{"given-up", "A waiter that gave up leaves nothing behind.", func(t *trial) {
		locker := must[core.Locker](t)
		rec := t.create(t.record())
		unlock := t.lock("a free ID", rec.ID)
		ctx, cancel := context.WithCancel(t.ctx)
		got := make(chan error)
		for range 5 {
			go func() {
				_, err := locker.Lock(ctx, rec.ID)
				got <- err
			}()
		}
		cancel()
		for range 5 {
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("Lock whose context was cancelled: %s, want an error that wraps the context's", outcome(err))
			}
		}
		t.wantHeld("after waiters gave up", rec.ID)
		unlock()
		t.lock("after waiters gave up", rec.ID)()
	}},
}

// powersOf names what a store can do.
func powersOf(s core.Store) string {
	var out []string
	for _, p := range []struct {
		name string
		has  bool
	}{
		{"UserLister", has[core.UserLister](s)},
		{"Lister", has[core.Lister](s)},
		{"Counter", has[core.Counter](s)},
		{"Sweeper", has[core.Sweeper](s)},
		{"Expirer", has[core.Expirer](s)},
		{"VersionDeleter", has[core.VersionDeleter](s)},
		{"Locker", has[core.Locker](s)},
		{"Checker", has[core.Checker](s)},
		{"Migrator", has[core.Migrator](s)},
		{"ProcessLocal", has[core.ProcessLocal](s)},
	} {
		if p.has {
			out = append(out, p.name)
		}
	}
	if n, ok := s.(core.NonBlocking); ok && n.NonBlocking() {
		out = append(out, "NonBlocking")
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
