package suite

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coatcheck/sessions/core"
)

// fault is a way in which a store can fail.
type fault string

const (
	healthy     fault = ""
	errorBefore fault = "error before"    // nothing was done
	doneThenErr fault = "done then error" // the answer was lost on its way
	hang        fault = "hang"            // until the deadline
)

// The verbs as the probe counts them. A carrier's Unpack is a load, its End an
// update where it replaces a token, and a delete where it ends a session.
const (
	load   = "load"
	create = "create"
	update = "update"
	touch  = "touch"
	remove = "delete"
)

var errInjected = errors.New("injected fault")

// probe wraps the store under test: it counts the calls, and makes those of
// one verb fail.
type probe struct {
	inner core.Store

	mu    sync.Mutex
	calls []string
	verb  string
	fault fault
}

// newProbe returns a probe and the store to configure, which has the powers of
// the one inside.
func newProbe(inner core.Store) (*probe, core.Store) {
	p := &probe{inner: inner}
	if c, ok := inner.(core.Carrier); ok {
		return p, &carrierProbe{p, c}
	}
	return p, p
}

func (p *probe) fail(verb string, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verb, p.fault = verb, f
}

func (p *probe) repair() { p.fail("", healthy) }

// take returns the calls since the last take.
func (p *probe) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	return calls
}

// writes returns the calls since the last take that are no loads.
func (p *probe) writes() []string {
	return slices.DeleteFunc(p.take(), func(verb string) bool { return verb == load })
}

// do makes a call. It keeps the deadline from the store inside: only a fault can
// run into it, so a slow machine cannot.
func (p *probe) do(ctx context.Context, verb string, call func(context.Context) error) error {
	p.mu.Lock()
	p.calls = append(p.calls, verb)
	f := healthy
	if verb == p.verb {
		f = p.fault
	}
	p.mu.Unlock()
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	switch f {
	case errorBefore:
		return errInjected
	case doneThenErr:
		call(context.WithoutCancel(ctx))
		return errInjected
	case hang:
		<-ctx.Done()
		return ctx.Err()
	}
	return call(context.WithoutCancel(ctx))
}

func (p *probe) Load(ctx context.Context, id core.ID) (rec core.Record, err error) {
	err = p.do(ctx, load, func(ctx context.Context) (err error) { rec, err = p.inner.Load(ctx, id); return err })
	return rec, err
}

func (p *probe) Create(ctx context.Context, rec core.Record) error {
	return p.do(ctx, create, func(ctx context.Context) error { return p.inner.Create(ctx, rec) })
}

func (p *probe) Update(ctx context.Context, rec core.Record) error {
	return p.do(ctx, update, func(ctx context.Context) error { return p.inner.Update(ctx, rec) })
}

func (p *probe) Touch(ctx context.Context, id core.ID, access, expires time.Time) error {
	return p.do(ctx, touch, func(ctx context.Context) error { return p.inner.Touch(ctx, id, access, expires) })
}

func (p *probe) Delete(ctx context.Context, id core.ID) (existed bool, err error) {
	err = p.do(ctx, remove, func(ctx context.Context) (err error) { existed, err = p.inner.Delete(ctx, id); return err })
	return existed, err
}

func (p *probe) DeleteVersion(ctx context.Context, id core.ID, version uint64) error {
	return p.do(ctx, remove, func(ctx context.Context) error { return p.inner.(core.VersionDeleter).DeleteVersion(ctx, id, version) })
}

func (p *probe) Unwrap() core.Store { return p.inner }

type carrierProbe struct {
	*probe
	carrier core.Carrier
}

func (p *carrierProbe) Pack(rec core.Record) ([]byte, error) { return p.carrier.Pack(rec) }

func (p *carrierProbe) Unpack(ctx context.Context, data []byte) (rec core.Record, err error) {
	err = p.do(ctx, load, func(ctx context.Context) (err error) { rec, err = p.carrier.Unpack(ctx, data); return err })
	return rec, err
}

func (p *carrierProbe) End(ctx context.Context, rec core.Record, generation uint64) error {
	verb := update
	if generation >= rec.Generation {
		verb = remove
	}
	return p.do(ctx, verb, func(ctx context.Context) error { return p.carrier.End(ctx, rec, generation) })
}
