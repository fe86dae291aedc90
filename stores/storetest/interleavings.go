package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// reply is everything that a verb answers.
type reply struct {
	err     error
	existed bool
	rec     core.Record
}

func (r reply) String() string {
	switch {
	case r.err != nil:
		return outcome(r.err)
	case r.existed:
		return "success, it existed"
	case !r.rec.ID.IsZero():
		return fmt.Sprintf("version %d with %q", r.rec.Version, r.rec.Values)
	}
	return "success"
}

// fits reports whether a store may answer what the model did not quite.
func (r reply) fits(model reply) bool {
	if model.err != nil {
		return errors.Is(r.err, model.err) || model.err == core.ErrExpired && errors.Is(r.err, core.ErrNotFound)
	}
	return r.err == nil && r.existed == model.existed && diff(r.rec, model.rec) == ""
}

// actor is one of those who use a record at the same time: a request, say. It
// remembers what it loaded last.
type actor struct {
	id   core.ID
	name string
	seen core.Record
}

// step is one call of an actor.
type step struct {
	name string
	call func(ctx context.Context, s core.Store, a *actor, now time.Time) reply
}

var (
	loads = step{"Load", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		rec, err := s.Load(ctx, a.id)
		return reply{err: err, rec: rec}
	}}
	updates = step{"Update", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		return reply{err: s.Update(ctx, a.next())}
	}}
	// logsIn is an update that changes the user.
	logsIn = step{"Update (login)", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		rec := a.next()
		rec.User = a.name
		return reply{err: s.Update(ctx, rec)}
	}}
	// shortens is an update that brings the end nearer.
	shortens = step{"Update (shorter)", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		rec := a.next()
		rec.ExpiresAt = now.Add(life / 4)
		return reply{err: s.Update(ctx, rec)}
	}}
	// ends is an update that leaves an expired record, to be deleted next.
	ends = step{"Update (expired)", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		rec := a.next()
		rec.ExpiresAt = now
		return reply{err: s.Update(ctx, rec)}
	}}
	touches = step{"Touch", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		return reply{err: s.Touch(ctx, a.id, now.Add(time.Second), now.Add(2*life))}
	}}
	deletes = step{"Delete", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		existed, err := s.Delete(ctx, a.id)
		return reply{err: err, existed: existed}
	}}
	creates = step{"Create", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		return reply{err: s.Create(ctx, firstRecord(a, now))}
	}}
	deletesVersion = step{"DeleteVersion", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
		d, _ := power[core.VersionDeleter](s)
		return reply{err: d.DeleteVersion(ctx, a.id, a.seen.Version)}
	}}
	// waits lets the time pass at which a new record ends.
	waits = step{name: "time passes"}
)

// firstRecord is what an actor creates.
func firstRecord(a *actor, now time.Time) core.Record {
	return core.Record{
		ID: a.id, Version: 1, Generation: 1, Proof: [32]byte{1},
		CreatedAt: now, LastAccess: now, ExpiresAt: now.Add(life + 7*time.Millisecond),
		IdleTimeout: 2 * life, Deadline: now.Add(10 * life), Horizon: now.Add(10 * life),
		Values: []byte("created by " + a.name),
	}
}

// next is the record that an actor makes of what it loaded last.
func (a *actor) next() core.Record {
	rec := a.seen
	rec.ID = a.id
	rec.Version++
	rec.Values = fmt.Appendf(nil, "%s after version %d", a.name, a.seen.Version)
	return rec
}

// script is what a few actors do at the same time.
type script struct {
	name   string
	needs  func(core.Store) bool
	actors [][]step
}

var scripts = []script{
	{"three writers", nil, [][]step{{loads, updates}, {loads, updates}, {loads, updates}}},
	{"a writer, a reader and a logout", nil, [][]step{{loads, updates, loads}, {loads, touches}, {deletes}}},
	{"a writer, a reader and a logout after which the ID is used again", nil, [][]step{{loads, updates}, {loads, touches}, {deletes, creates}}},
	{"a writer, a reader and the end of the session", nil, [][]step{{loads, updates}, {loads, touches}, {waits, creates}}},
	{"a reader, one who shortens the session, and its end", nil, [][]step{{loads, touches}, {loads, shortens}, {waits, loads}}},
	{"a writer, a reader and the end by an Update", nil, [][]step{{loads, updates}, {touches}, {loads, ends, deletes}}},
	{"a writer, a reader and the end by a DeleteVersion", has[core.VersionDeleter], [][]step{{loads, updates}, {touches, loads}, {loads, deletesVersion}}},
	{"two logins and a logout", nil, [][]step{{loads, logsIn}, {loads, logsIn}, {deletes}}},
	{"two who create and two who delete", nil, [][]step{{creates, loads}, {creates}, {deletes}, {deletes}}},
}

// orders yields every order in which lists of these lengths can be merged, as
// the number of the list to take from next.
func orders(lengths ...int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		left := append([]int(nil), lengths...)
		total := 0
		for _, n := range left {
			total += n
		}
		order := make([]int, 0, total)
		var walk func() bool
		walk = func() bool {
			if len(order) == total {
				return yield(order)
			}
			for i := range left {
				if left[i] == 0 {
					continue
				}
				left[i]--
				order = append(order, i)
				if !walk() {
					return false
				}
				order = order[:len(order)-1]
				left[i]++
			}
			return true
		}
		walk()
	}
}

// sparse is how many orders apart those are that a run with -short tries.
const sparse = 5

// play runs a script in one order, on a record of its own, against the store
// and the model.
func (t *trial) play(s script, order []int) {
	t.Helper()
	id := newID()
	m := newModel(t.clock.now)
	start := firstRecord(&actor{id: id, name: "nobody"}, t.clock.now())
	actors := make([]actor, len(s.actors))
	for i := range actors {
		actors[i] = actor{id: id, name: string(rune('A' + i)), seen: start}
	}
	m.records[id] = start
	t.create(start)

	at := make([]int, len(s.actors))
	var history strings.Builder
	for _, who := range order {
		step := s.actors[who][at[who]]
		at[who]++
		a := &actors[who]
		if step.call == nil {
			t.clock.set(t.clock.now().Add(life + 7*time.Millisecond))
			fmt.Fprintf(&history, "\n\ttime passes")
			continue
		}
		now := t.clock.now()
		want := step.call(t.ctx, m, a, now)
		got := step.call(t.ctx, t.store, a, now)
		fmt.Fprintf(&history, "\n\t%s: %s: %v", a.name, step.name, got)
		if !got.fits(want) {
			why := ""
			if d := diff(got.rec, want.rec); got.err == nil && want.err == nil && d != "" {
				why = " (" + d + ")"
			}
			t.Fatalf("%s, in the order%s\nthe last answer should be %v%s", s.name, history.String(), want, why)
		}
		if step.name == loads.name && want.err == nil {
			a.seen = want.rec
		}
		t.sameUsers(m, actors, s.name+", in the order"+history.String())
	}
	t.delete(id)
}

// sameUsers checks that the actors' sessions are listed as the model lists
// them.
func (t *trial) sameUsers(m *model, actors []actor, when string) {
	t.Helper()
	lister, ok := power[core.UserLister](t.store)
	if !ok {
		return
	}
	for _, a := range actors {
		want, _ := m.ListUser(t.ctx, a.name)
		got, err := lister.ListUser(t.ctx, a.name)
		if err != nil {
			t.Fatalf("%s\nListUser: %v", when, err)
		}
		expected := map[core.ID]uint64{}
		for _, rec := range want {
			expected[rec.ID] = rec.Version
		}
		for _, rec := range got {
			if expected[rec.ID] == rec.Version {
				delete(expected, rec.ID)
			}
		}
		if len(got) != len(want) || len(expected) > 0 {
			t.Fatalf("%s\nListUser(%q) should now return %v and returns %v", when, a.name, want, got)
		}
	}
}

// interleavings are the cases about small scripts, in every order.
var interleavings = []testcase{
	{"scripts", "Verbs are atomic: whoever uses a record at the same time, in whichever order, gets the answers of the contract.", func(t *trial) {
		for _, s := range scripts {
			if s.needs != nil && !s.needs(t.store) {
				continue
			}
			lengths := make([]int, len(s.actors))
			for i, steps := range s.actors {
				lengths[i] = len(steps)
			}
			n := 0
			for order := range orders(lengths...) {
				if n++; !testing.Short() || n%sparse == 0 {
					t.play(s, order)
				}
			}
		}
	}},
	{"history", "Verbs answer as the contract says, whatever was called before.", func(t *trial) {
		for seed := range uint64(10) {
			t.wander(seed, 150)
		}
	}},
}

// wander calls verbs at random on a few records, and compares with the model.
func (t *trial) wander(seed uint64, calls int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	m := newModel(t.clock.now)
	users := []actor{{name: fmt.Sprintf("one of %d", seed)}, {name: fmt.Sprintf("two of %d", seed)}}
	ids := []core.ID{newID(), newID()}
	actors := make([]actor, 4) // two for each record
	for i := range actors {
		a := &actors[i]
		*a = actor{id: ids[i/2], name: string(rune('A' + i))}
		a.seen = firstRecord(a, t.clock.now())
	}

	var by time.Duration
	var user string
	steps := []step{loads, loads, loads, loads, updates, updates, updates, creates, creates, deletes, ends, shortens,
		{"Touch", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
			return reply{err: s.Touch(ctx, a.id, now, now.Add(by))}
		}},
		{"Update (user)", func(ctx context.Context, s core.Store, a *actor, now time.Time) reply {
			rec := a.next()
			rec.User = user
			return reply{err: s.Update(ctx, rec)}
		}},
	}
	if has[core.VersionDeleter](t.store) {
		steps = append(steps, deletesVersion)
	}

	var history []string
	recent := func() string { return "after\n\t" + strings.Join(history[max(0, len(history)-20):], "\n\t") }
	for range calls {
		by = time.Duration(random.Int64N(int64(2*life)) - int64(life)/2).Truncate(time.Millisecond)
		user = users[random.IntN(len(users))].name
		a, step := &actors[random.IntN(len(actors))], steps[random.IntN(len(steps))]
		if random.IntN(12) == 0 {
			t.clock.advance(by)
			history = append(history, fmt.Sprintf("%v pass", max(by, 0)))
			continue
		}
		now := t.clock.now()
		want := step.call(t.ctx, m, a, now)
		got := step.call(t.ctx, t.store, a, now)
		history = append(history, fmt.Sprintf("%s, of record %v: %s: %v", a.name, a.id, step.name, got))
		if !got.fits(want) {
			t.Fatalf("%s\nthe last answer should be %v", recent(), want)
		}
		if step.name == loads.name && want.err == nil {
			a.seen = want.rec
		}
		if random.IntN(4) == 0 {
			t.sameUsers(m, users, recent())
		}
	}
	for _, id := range ids {
		var got, want reply
		want.rec, want.err = m.Load(t.ctx, id)
		got.rec, got.err = t.store.Load(t.ctx, id)
		if !got.fits(want) {
			t.Fatalf("%s\nrecord %v should be %v and is %v", recent(), id, want, got)
		}
		t.delete(id)
	}
}
