package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// verb names a method of [core.Store].
type verb string

const (
	load    verb = "Load"
	create  verb = "Create"
	update  verb = "Update"
	touch   verb = "Touch"
	destroy verb = "Delete"
)

// fault is what goes wrong with a call.
type fault int

const (
	sound      fault = iota
	failBefore       // the engine cannot be reached
	failAfter        // the answer is lost
	hang             // no answer until the context ends
)

var errEngine = errors.New("storetest: the engine failed, as the test arranged")

// faulty is a store whose engine fails on demand. Its optional powers are those
// of the store inside.
type faulty struct {
	t     testing.TB
	inner core.Store

	mu     sync.Mutex
	faults map[verb]fault
}

var _ core.Store = (*faulty)(nil)

func (f *faulty) Unwrap() core.Store { return f.inner }

// arrange makes every call of a verb go wrong, until it is called with sound.
func (f *faulty) arrange(v verb, what fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults == nil {
		f.faults = map[verb]fault{}
	}
	f.faults[v] = what
}

// call passes a call on, or does not. What is passed on is spared the deadline,
// which may be too short for a real engine.
func (f *faulty) call(ctx context.Context, v verb, inner func(context.Context) error) error {
	f.mu.Lock()
	what := f.faults[v]
	f.mu.Unlock()
	if what == failBefore {
		return errEngine
	}
	if what == hang {
		if _, ok := ctx.Deadline(); !ok {
			f.t.Errorf("a call of %s came without a deadline", v)
			return errEngine
		}
		<-ctx.Done()
		return ctx.Err()
	}
	err := inner(context.WithoutCancel(ctx))
	if what == failAfter {
		return errEngine
	}
	return err
}

func (f *faulty) Load(ctx context.Context, id core.ID) (rec core.Record, err error) {
	err = f.call(ctx, load, func(ctx context.Context) (err error) {
		rec, err = f.inner.Load(ctx, id)
		return err
	})
	return rec, err
}

func (f *faulty) Create(ctx context.Context, rec core.Record) error {
	return f.call(ctx, create, func(ctx context.Context) error { return f.inner.Create(ctx, rec) })
}

func (f *faulty) Update(ctx context.Context, rec core.Record) error {
	return f.call(ctx, update, func(ctx context.Context) error { return f.inner.Update(ctx, rec) })
}

func (f *faulty) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return f.call(ctx, touch, func(ctx context.Context) error { return f.inner.Touch(ctx, id, access, expires) })
}

func (f *faulty) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	err = f.call(ctx, destroy, func(ctx context.Context) (err error) {
		existed, err = f.inner.Delete(ctx, id)
		return err
	})
	return existed, err
}
