// Package storetest is the specification of [core.Store], as tests. A store
// author calls it from a test file of ten lines:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB, clock func() time.Time) core.Store {
//			store, err := mystore.New(mystore.Config{Dir: t.TempDir(), Clock: clock})
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { store.Close() })
//			return store
//		})
//	}
//
// A store whose records travel with the client, a [core.Carrier], calls
// [RunCarrier] instead. [Bench] makes stores comparable.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Factory returns a fresh, empty store that tells time by clock and by nothing
// else, except that an engine which drops expired records by itself may use its
// own clock for that: clock starts at the present and never runs behind it by
// more than the test has taken. What the store needs cleared afterwards goes
// into t.Cleanup; a store that cannot be had ends the test with t.Fatal.
type Factory func(t testing.TB, clock func() time.Time) core.Store

// Run checks that the stores of a factory keep the contract of [core.Store],
// of the optional powers that they have, and, under a [core.Manager], the
// promises of the library.
func Run(t *testing.T, f Factory) {
	run(t, f, groups, func(t testing.TB, store core.Store) {
		if has[core.Carrier](store) {
			t.Fatalf("%T is a core.Carrier: its records travel with the client, so the test calls storetest.RunCarrier", store)
		}
		t.Logf("optional powers of %T: %s", store, powersOf(store))
	})
}

// run runs those groups that apply. It makes a store first, to see which, and
// has it checked.
func run(t *testing.T, f Factory, groups []group, check func(testing.TB, core.Store)) {
	probe := f.store(t, newClock())
	check(t, probe)
	for _, g := range groups {
		if g.needs != nil && !g.needs(probe) {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.try(t, f) })
			}
		})
	}
}

// store makes a store, which must succeed.
func (f Factory) store(t testing.TB, clock *clock) core.Store {
	t.Helper()
	store := f(t, clock.now)
	if store == nil {
		t.Fatal("the factory returned no store")
	}
	return store
}

// group is a chapter of the specification. It applies to every store, or to
// those that can do what it needs.
type group struct {
	name  string
	needs func(core.Store) bool
	cases []testcase
}

// groups is the specification of stores that keep records.
var groups = []group{
	{"verbs", nil, verbs},
	{"format", nil, format},
	{"interleavings", nil, interleavings},
	{"contention", nil, contention},
	{"contexts", nil, contexts},
	{"endings", nil, endings},
	{"merging", nil, merging},
	{"outages", nil, outages},
	{"list-user", has[core.UserLister], listUser},
	{"revoke", has[core.UserLister], revoking},
	{"list", has[core.Lister], list},
	{"count", has[core.Counter], count},
	{"sweep", has[core.Sweeper], sweeping},
	{"delete-version", has[core.VersionDeleter], deleteVersion},
	{"lock", has[core.Locker], locking},
	{"exclusive", has[core.Locker], exclusive},
}

// testcase is one case of the specification. The promise is a sentence of the
// contract, or follows from one; it is printed with a failure.
type testcase struct {
	name    string
	promise string
	run     func(*trial)
}

// try runs the case on a fresh store.
func (c testcase) try(t testing.TB, f Factory) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the promise: %s", c.promise)
		}
	}()
	clock := newClock()
	c.run(&trial{TB: t, ctx: t.Context(), clock: clock, store: f.store(t, clock)})
}

// trial is a case at work: where to report, and what to work on.
type trial struct {
	testing.TB
	ctx     context.Context
	clock   *clock
	store   core.Store
	secrets []core.Secret // of the managers of this trial
}
