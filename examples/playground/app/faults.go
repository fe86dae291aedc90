package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// The verbs of a store that are counted and can fail.
const (
	verbLoad   = "load"
	verbCreate = "create"
	verbUpdate = "update"
	verbTouch  = "touch"
	verbDelete = "delete"
)

var verbNames = []string{verbLoad, verbCreate, verbUpdate, verbTouch, verbDelete}

// The ways in which a call fails.
const (
	faultError = "error" // before it
	faultAfter = "after" // it is done, then reported as failed
	faultHang  = "hang"  // until its context ends
)

var faultModes = []string{faultError, faultAfter, faultHang}

var errInjected = errors.New("injected failure of the store")

// injectFaults puts a store behind one that counts its calls and fails them on
// demand. It has the same powers, except [core.NonBlocking]: a call that hangs
// must have a deadline.
func injectFaults(inner core.Store) (core.Store, *faults) {
	f := &faults{plans: map[string]plan{}, calls: map[string]int{}}
	s := faultyStore{f, inner}
	if c, ok := inner.(core.Carrier); ok {
		return faultyCarrier{s, c}, f
	}
	if d, ok := inner.(core.VersionDeleter); ok {
		return faultyDeleter{s, d}, f
	}
	return s, f
}

// faults is what the calls of a store were, and what shall become of the next.
type faults struct {
	mu    sync.Mutex
	plans map[string]plan // by verb
	calls map[string]int  // by verb
}

// plan is the fate of the next n calls of a verb.
type plan struct {
	mode string
	n    int
}

// set plans the next n calls of a verb, or of each with "all".
func (f *faults) set(verb, mode string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range verbNames {
		if verb == v || verb == "all" {
			f.plans[v] = plan{mode, n}
		}
	}
}

// counts returns how often each verb was called.
func (f *faults) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for _, v := range verbNames {
		out[v] = f.calls[v]
	}
	return out
}

// next counts a call and returns how it fails, or "".
func (f *faults) next(verb string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[verb]++
	p := f.plans[verb]
	if p.n == 0 {
		return ""
	}
	p.n--
	f.plans[verb] = p
	return p.mode
}

// call makes one call of a verb, or fails it. As with an engine at the other
// end of a network, nothing comes of a call whose context has ended.
func (f *faults) call(ctx context.Context, verb string, do func() error) error {
	mode := f.next(verb)
	if err := ctx.Err(); err != nil {
		return err
	}
	switch mode {
	case faultError:
		return errInjected
	case faultAfter:
		do()
		return errInjected
	case faultHang:
		<-ctx.Done()
		return ctx.Err()
	}
	return do()
}

// faultyStore is a store behind faults. Powers that it lacks are found by way
// of Unwrap.
type faultyStore struct {
	f     *faults
	inner core.Store
}

func (s faultyStore) Unwrap() core.Store { return s.inner }

func (s faultyStore) Load(ctx context.Context, id core.ID) (rec core.Record, err error) {
	err = s.f.call(ctx, verbLoad, func() error {
		rec, err = s.inner.Load(ctx, id)
		return err
	})
	return rec, err
}

func (s faultyStore) Create(ctx context.Context, rec core.Record) error {
	return s.f.call(ctx, verbCreate, func() error { return s.inner.Create(ctx, rec) })
}

func (s faultyStore) Update(ctx context.Context, rec core.Record) error {
	return s.f.call(ctx, verbUpdate, func() error { return s.inner.Update(ctx, rec) })
}

func (s faultyStore) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return s.f.call(ctx, verbTouch, func() error { return s.inner.Touch(ctx, id, access, expires) })
}

func (s faultyStore) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	err = s.f.call(ctx, verbDelete, func() error {
		existed, err = s.inner.Delete(ctx, id)
		return err
	})
	return existed, err
}

// faultyDeleter is a faultyStore whose inner store deletes by version.
type faultyDeleter struct {
	faultyStore
	deleter core.VersionDeleter
}

func (s faultyDeleter) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	return s.f.call(ctx, verbDelete, func() error { return s.deleter.DeleteVersion(ctx, id, version) })
}

// faultyCarrier is a faultyStore whose records travel in the cookie. To open
// one counts as a load, to end one as a delete.
type faultyCarrier struct {
	faultyStore
	carrier core.Carrier
}

func (s faultyCarrier) Pack(rec core.Record) ([]byte, error) { return s.carrier.Pack(rec) }

func (s faultyCarrier) Unpack(ctx context.Context, data []byte) (rec core.Record, err error) {
	err = s.f.call(ctx, verbLoad, func() error {
		rec, err = s.carrier.Unpack(ctx, data)
		return err
	})
	return rec, err
}

func (s faultyCarrier) End(ctx context.Context, rec core.Record, generation uint64) error {
	return s.f.call(ctx, verbDelete, func() error { return s.carrier.End(ctx, rec, generation) })
}

func debugFault(q *request) error {
	verb, err := q.required("op")
	if err != nil {
		return err
	}
	if verb != "all" && !slices.Contains(verbNames, verb) {
		return badParameter("parameter op must be all or one of %v", verbNames)
	}
	mode := q.param("mode")
	if mode == "" {
		mode = faultError
	}
	if !slices.Contains(faultModes, mode) {
		return badParameter("parameter mode must be one of %v", faultModes)
	}
	n, err := q.number("n", 1, 0, 1<<30)
	if err != nil {
		return err
	}
	q.srv.faults.set(verb, mode, n)
	return q.plain(answer{"ok": true})
}

func debugCalls(q *request) error { return q.plain(q.srv.faults.counts()) }

func debugStore(q *request) error {
	ids := []core.ID{}
	lister, ok := q.srv.store.(core.Lister)
	if _, carrier := q.srv.store.(core.Carrier); !ok && !carrier {
		return adminError(fmt.Errorf("%T cannot list its records: %w", q.srv.store, errors.ErrUnsupported))
	}
	if ok {
		for rec, err := range lister.List(q.Request().Context()) {
			if err != nil {
				return adminError(err)
			}
			ids = append(ids, rec.ID)
		}
	}
	return q.plain(answer{"count": len(ids), "ids": ids})
}
