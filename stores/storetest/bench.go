package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// Bench measures the verbs of a factory's store, in a way that makes stores
// comparable: the same records, of 200 bytes and of 4 KB, by one caller and by
// 16 and 128 at once.
//
//	func BenchmarkStore(b *testing.B) { storetest.Bench(b, newStore) }
//
// Every operation of a benchmark is one call, but for create+delete, which is
// two. Callers use records of their own, except in contended, where all update
// one record, and an operation is an update that succeeded. ListUser lists 10
// sessions of a user in a store that holds 1000 others.
func Bench(b *testing.B, f Factory) {
	b.Run("load", func(b *testing.B) {
		inSizes(b, f, func(ctx context.Context, s core.Store, rec *core.Record) error {
			_, err := s.Load(ctx, rec.ID)
			return err
		})
	})
	b.Run("create+delete", func(b *testing.B) {
		inSizes(b, f, func(ctx context.Context, s core.Store, rec *core.Record) error {
			next := *rec
			next.ID = newID()
			if err := s.Create(ctx, next); err != nil {
				return err
			}
			_, err := s.Delete(ctx, next.ID)
			return err
		})
	})
	b.Run("update", func(b *testing.B) {
		inSizes(b, f, func(ctx context.Context, s core.Store, rec *core.Record) error {
			rec.Version++
			return s.Update(ctx, *rec)
		})
	})
	b.Run("touch", func(b *testing.B) {
		inSizes(b, f, func(ctx context.Context, s core.Store, rec *core.Record) error {
			rec.LastAccess = rec.LastAccess.Add(time.Millisecond)
			rec.ExpiresAt = rec.ExpiresAt.Add(time.Millisecond)
			return s.Touch(ctx, rec.ID, rec.LastAccess, rec.ExpiresAt)
		})
	})
	b.Run("contended", func(b *testing.B) {
		for _, callers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { contend(b, f, callers) })
		}
	})
	b.Run("list-user", func(b *testing.B) { benchListUser(b, f) })
}

// benchStore returns a store that uses the real clock.
func benchStore(b *testing.B, f Factory) core.Store {
	b.Helper()
	store := f(b, time.Now)
	if store == nil {
		b.Fatal("the factory returned no store")
	}
	if has[core.Carrier](store) {
		b.Fatalf("%T is a core.Carrier and keeps no records", store)
	}
	return store
}

func benchRecord(size int) core.Record {
	now := time.Now().UTC().Truncate(time.Millisecond)
	values := make([]byte, size)
	for i := range values {
		values[i] = byte('a' + i%26)
	}
	return core.Record{
		ID: newID(), Version: 1, Generation: 1, Proof: [32]byte{1, 2, 3},
		User: "user-42", CreatedAt: now, LoginAt: now, LastAccess: now,
		ExpiresAt: now.Add(24 * time.Hour), IdleTimeout: 24 * time.Hour,
		Deadline: now.Add(48 * time.Hour), Horizon: now.Add(48 * time.Hour),
		Values: values,
	}
}

// inSizes runs a call by different numbers of callers, each with a record of
// its own.
func inSizes(b *testing.B, f Factory, call func(ctx context.Context, s core.Store, rec *core.Record) error) {
	for _, size := range []int{200, 4 << 10} {
		for _, callers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("size=%d/callers=%d", size, callers), func(b *testing.B) {
				store := benchStore(b, f)
				ctx := b.Context()
				recs := make([]core.Record, callers)
				for i := range recs {
					recs[i] = benchRecord(size)
					recs[i].User = fmt.Sprint("user ", i)
					if err := store.Create(ctx, recs[i]); err != nil {
						b.Fatalf("Create: %v", err)
					}
				}
				b.ReportAllocs()
				atOnce(b, callers, func(i int) error { return call(ctx, store, &recs[i]) })
			})
		}
	}
}

// atOnce spreads b.N calls over exactly so many goroutines, each with a number
// of its own. (With b.RunParallel the number would depend on the processors.)
func atOnce(b *testing.B, callers int, call func(i int) error) {
	var begun atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		wg.Go(func() {
			for begun.Add(1) <= int64(b.N) {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// contend measures updates of one record by all callers.
func contend(b *testing.B, f Factory, callers int) {
	store := benchStore(b, f)
	ctx := b.Context()
	rec := benchRecord(200)
	if err := store.Create(ctx, rec); err != nil {
		b.Fatalf("Create: %v", err)
	}
	var conflicts atomic.Int64
	atOnce(b, callers, func(int) error {
		for {
			next, err := store.Load(ctx, rec.ID)
			if err != nil {
				return err
			}
			next.Version++
			err = store.Update(ctx, next)
			if !errors.Is(err, core.ErrConflict) {
				return err
			}
			conflicts.Add(1)
		}
	})
	b.ReportMetric(float64(conflicts.Load())/float64(b.N), "conflicts/op")
}

func benchListUser(b *testing.B, f Factory) {
	store := benchStore(b, f)
	lister, ok := power[core.UserLister](store)
	if !ok {
		b.Logf("%T is no core.UserLister", store)
		return
	}
	ctx := b.Context()
	for i := range 1010 {
		rec := benchRecord(200)
		if i >= 10 {
			rec.User = fmt.Sprint("user ", i%100)
		}
		if err := store.Create(ctx, rec); err != nil {
			b.Fatalf("Create: %v", err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		recs, err := lister.ListUser(ctx, "user-42")
		if err != nil || len(recs) != 10 {
			b.Fatalf("ListUser: %d sessions, %v, want 10", len(recs), err)
		}
	}
}
