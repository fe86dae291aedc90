// Package storetest is the specification of [core.Store], as tests. A store
// author calls it from a test file of ten lines:
//
//	func newStore(t testing.TB, clock func() time.Time) core.Store {
//		store, err := mystore.New(mystore.Config{Dir: t.TempDir(), Clock: clock})
//		if err != nil {
//			t.Fatal(err)
//		}
//		t.Cleanup(func() { store.Close() })
//		return store
//	}
//
//	func TestStore(t *testing.T)      { storetest.Run(t, newStore) }
//	func BenchmarkStore(b *testing.B) { storetest.Bench(b, newStore) }
//
// A store whose records travel with the client, a [core.Carrier], calls
// [RunCarrier] instead of [Run]. The package needs nothing but the standard
// library and package core.
//
// # What it checks
//
// Every sentence of the contract in core/store.go, verb by verb, on the real
// store: nothing is mocked. The cases come in groups, which are the names of
// subtests, each on a fresh store:
//
//   - verbs: one verb at a time, with every field, odd users, IDs and bytes,
//     and time standing still or passing by the millisecond.
//   - format: records as earlier versions of the library stored them.
//   - interleavings: what two or three do with one record at the same time, in
//     every order there is, and histories at random, compared with a model.
//   - contention: goroutines that meet at one record.
//   - contexts: calls whose context has ended, or ends on the way.
//   - endings, merging, outages: what the library promises its users, by HTTP
//     requests through a [core.Manager] over the store: logout and login win
//     against slower requests, no update is lost, an outage is never taken for
//     a logout.
//   - list-user, revoke, list, count, sweep, expire, delete-version, lock,
//     exclusive, check, migrate: the optional powers, which are found as the
//     manager finds them. A group for a power that the store lacks does not run.
//
// For a carrier: carrying, cookies, and revocation and endings if it can
// revoke, or else no-revocation.
//
// # How to read a failure
//
// A failing case says what the store answered, what it should have answered,
// and, last, the promise: the sentence of the contract that the case guards.
// Run it alone by its name:
//
//	go test -race -run 'TestStore/verbs/touch-backwards$'
//
// Use the race detector: it finds what no assertion can. With -short fewer
// orders are tried, for engines that take milliseconds for a write.
//
// # No false positives
//
// A store that keeps the contract passes, each time. Nothing depends on speed:
// time is a clock that only the cases move, races are scripted or end with
// one result whoever wins, and nothing sleeps to wait for something. What the
// contract leaves open is not checked. A case that fails a store which is right
// is a bug of this package.
//
// # Its own tests
//
// For every case there is a store, in the tests of this package, that is wrong
// in one thing and fails it. A bug that is found in a store becomes a case
// before it is fixed.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Factory returns a fresh, empty store that tells the time by clock. An engine
// that drops expired records by itself may do so by its own clock besides:
// clock starts at the present, and every record that a case needs lives for a
// quarter of an hour at least.
//
// What the store leaves behind is cleared by t.Cleanup. A store that cannot be
// had ends the test with t.Fatal. The factory is called once for each case, and
// what it returns is used by many goroutines.
type Factory func(t testing.TB, clock func() time.Time) core.Store

// Run checks that the stores of a factory keep the contract of [core.Store] and
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
	{"expire", has[core.Expirer], expiring},
	{"delete-version", has[core.VersionDeleter], deleteVersion},
	{"lock", has[core.Locker], locking},
	{"exclusive", has[core.Locker], exclusive},
	{"check", has[core.Checker], checking},
	{"migrate", has[core.Migrator], migrating},
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
