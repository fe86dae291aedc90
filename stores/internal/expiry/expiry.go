// Package expiry is the half of [core.Expirer] that is the same in every store:
// who wants to be told.
package expiry

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/coatcheck/sessions/core"
)

// Listeners are the functions to call with each expired record that a store
// removes. The zero value has none. It is safe for concurrent use.
type Listeners struct {
	mu  sync.Mutex
	fns atomic.Pointer[[]*listener] // replaced, never changed
}

type listener func(ctx context.Context, rec core.Record, swept bool)

// Add adds a function until cancel is called, once or more often. A call under
// way may still reach it.
func (l *Listeners) Add(fn func(ctx context.Context, rec core.Record, swept bool)) (cancel func()) {
	own := (*listener)(&fn)
	l.change(func(fns []*listener) []*listener { return append(fns, own) })
	return func() {
		l.change(func(fns []*listener) []*listener {
			return slices.DeleteFunc(fns, func(other *listener) bool { return other == own })
		})
	}
}

func (l *Listeners) change(fn func([]*listener) []*listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fns := fn(slices.Clone(l.all()))
	l.fns.Store(&fns)
}

func (l *Listeners) all() []*listener {
	if fns := l.fns.Load(); fns != nil {
		return *fns
	}
	return nil
}

// Any reports whether anybody listens.
func (l *Listeners) Any() bool { return len(l.all()) > 0 }

// Tell calls the functions with each record. No lock may be held.
func (l *Listeners) Tell(ctx context.Context, swept bool, recs ...core.Record) {
	for _, fn := range l.all() {
		for _, rec := range recs {
			(*fn)(ctx, rec, swept)
		}
	}
}
