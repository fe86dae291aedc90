package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coatcheck/sessions/core"
)

// endedContexts returns contexts that are over, each with its error.
func endedContexts(parent context.Context) []endedContext {
	cancelled, cancel := context.WithCancel(parent)
	cancel()
	late, cancel := context.WithDeadline(parent, time.Unix(0, 0))
	cancel()
	return []endedContext{{"context cancelled", cancelled, context.Canceled}, {"deadline passed", late, context.DeadlineExceeded}}
}

type endedContext struct {
	name string
	ctx  context.Context
	err  error
}

// wantHonest checks the outcome of a call whose context had ended.
func (t *trial) wantHonest(what string, err, ended error) {
	t.Helper()
	if err == nil {
		return
	}
	if !errors.Is(err, ended) {
		t.Errorf("%s: %s, want success or an error that wraps %q", what, outcome(err), ended)
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			t.Errorf("%s: the error is %s too, which is an answer", what, s.name)
		}
	}
}

// contexts are the cases about calls whose context ends.
var contexts = []testcase{
	{"ended-before", "When the context has ended, a verb succeeds or returns an error that wraps the context's, and a record is as it was or as it should become.", func(t *trial) {
		for _, end := range endedContexts(t.ctx) {
			t.endedVerbs(end)
		}
	}},
	{"ended-before-absent", "When the context has ended, no verb takes an absent record for a present one.", func(t *trial) {
		for _, end := range endedContexts(t.ctx) {
			rec := t.record()
			rec.Version = 2
			_, loaded := t.store.Load(end.ctx, rec.ID)
			_, deleted := t.store.Delete(end.ctx, rec.ID)
			for verb, err := range map[string]error{
				"Load":   loaded,
				"Update": t.store.Update(end.ctx, rec),
				"Touch":  t.store.Touch(end.ctx, rec.ID, rec.LastAccess, rec.ExpiresAt),
			} {
				if !errors.Is(err, core.ErrNotFound) && !errors.Is(err, end.err) {
					t.Errorf("%s of an absent record, %s: %s, want ErrNotFound or an error that wraps %q", verb, end.name, outcome(err), end.err)
				}
			}
			t.wantHonest("Delete of an absent record, "+end.name, deleted, end.err)
			t.wantAbsent("afterwards", rec.ID)
			rec.Version = 1
			t.wantStored("created", t.create(rec))
		}
	}},
	{"ends-meanwhile", "A call whose context ends on the way takes effect whole or not at all, and what succeeded is not lost.", func(t *trial) {
		fill := func(rec core.Record) core.Record {
			rec.Requests = rec.Version
			rec.Values = make([]byte, 2000)
			for i := range rec.Values {
				rec.Values[i] = byte(rec.Version)
			}
			return rec
		}
		rec := t.create(fill(t.record()))
		acknowledged := uint64(1) // the version that is stored at least
		const attempts = 100
		for i := range attempts {
			next := rec
			next.Version++
			next = fill(next)
			ctx, cancel := context.WithCancel(t.ctx)
			go func() {
				// From at once to well after the call.
				for range i * i * i {
					if ctx.Err() != nil {
						break
					}
				}
				cancel()
			}()
			err := t.store.Update(ctx, next)
			cancel()
			if err == nil {
				acknowledged = next.Version
			} else if !errors.Is(err, core.ErrConflict) { // of an earlier one that took effect late
				t.wantHonest("Update whose context ended", err, context.Canceled)
			}
			got, err := t.store.Load(t.ctx, rec.ID)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			want := rec
			want.Version = got.Version
			if d := diff(got, fill(want)); d != "" {
				t.Fatalf("a record of version %d: %s", got.Version, d)
			}
			if got.Version < acknowledged || got.Version > next.Version {
				t.Fatalf("the stored version is %d after attempts up to %d, of which %d succeeded", got.Version, next.Version, acknowledged)
			}
			rec = got
		}
		t.delete(rec.ID)
		t.wantAbsent("deleted in the end", rec.ID)
	}},
	{"create-meanwhile", "A Create whose context ends on the way stores the whole record or nothing.", func(t *trial) {
		for i := range 60 {
			rec := t.fullRecord()
			rec.User = fmt.Sprint("user ", i)
			ctx, cancel := context.WithCancel(t.ctx)
			go func() {
				for range i * i * i {
					if ctx.Err() != nil {
						break
					}
				}
				cancel()
			}()
			err := t.store.Create(ctx, rec)
			cancel()
			t.wantHonest("Create whose context ended", err, context.Canceled)
			got, loadErr := t.store.Load(t.ctx, rec.ID)
			switch {
			case loadErr == nil:
				if d := diff(got, rec); d != "" {
					t.Errorf("created, but %s", d)
				}
			case !errors.Is(loadErr, core.ErrNotFound):
				t.Errorf("Load: %v", loadErr)
			case err == nil:
				t.Error("Create succeeded and stored nothing")
			}
			if has[core.UserLister](t.store) && loadErr == nil {
				t.wantListed("created", rec.User, rec)
			}
			t.delete(rec.ID)
		}
	}},
}

// endedVerbs calls each verb with a context that is over.
func (t *trial) endedVerbs(end endedContext) {
	t.Helper()
	rec := t.create(t.fullRecord())
	got, err := t.store.Load(end.ctx, rec.ID)
	t.wantHonest("Load, "+end.name, err, end.err)
	if err == nil {
		if d := diff(got, rec); d != "" {
			t.Errorf("Load, %s: %s", end.name, d)
		}
	}

	next := rec
	next.Version, next.Values, next.User = 2, []byte("updated"), "another"
	err = t.store.Update(end.ctx, next)
	t.wantHonest("Update, "+end.name, err, end.err)
	rec = t.wantEither("Update, "+end.name, err, rec, next)

	next = rec
	next.LastAccess, next.ExpiresAt = rec.LastAccess.Add(time.Minute), rec.ExpiresAt.Add(time.Minute)
	err = t.store.Touch(end.ctx, rec.ID, next.LastAccess, next.ExpiresAt)
	t.wantHonest("Touch, "+end.name, err, end.err)
	rec = t.wantEither("Touch, "+end.name, err, rec, next)

	err = t.store.Create(end.ctx, rec)
	if !errors.Is(err, core.ErrExists) && !errors.Is(err, end.err) {
		t.Errorf("Create of an existing ID, %s: %s, want ErrExists or an error that wraps %q", end.name, outcome(err), end.err)
	}
	t.wantStored("Create of an existing ID, "+end.name, rec)

	_, err = t.store.Delete(end.ctx, rec.ID)
	t.wantHonest("Delete, "+end.name, err, end.err)
	if err == nil {
		t.wantAbsent("Delete, "+end.name, rec.ID)
	} else if _, err := t.store.Load(t.ctx, rec.ID); err == nil {
		t.wantStored("Delete, "+end.name, rec)
	}

	fresh := t.fullRecord()
	err = t.store.Create(end.ctx, fresh)
	t.wantHonest("Create, "+end.name, err, end.err)
	if err == nil {
		t.wantStored("Create, "+end.name, fresh)
	} else if err := t.store.Create(t.ctx, fresh); err != nil && !errors.Is(err, core.ErrExists) {
		t.Errorf("Create after one whose context had ended: %s, want success or ErrExists", outcome(err))
	} else {
		t.wantStored("Create, "+end.name+", tried again", fresh)
	}
}

// wantEither checks that a record is as it was before a call or as it should
// be after it, the latter if the call succeeded, and returns which.
func (t *trial) wantEither(what string, err error, before, after core.Record) core.Record {
	t.Helper()
	got, loadErr := t.store.Load(t.ctx, before.ID)
	if loadErr != nil {
		t.Fatalf("after %s: Load: %v", what, loadErr)
	}
	if diff(got, after) == "" {
		return after
	}
	if err == nil {
		t.Errorf("%s succeeded, but the record differs: %s", what, diff(got, after))
	} else if d := diff(got, before); d != "" {
		t.Fatalf("after %s the record is neither the old nor the new one; from the old: %s", what, d)
	}
	return before
}
