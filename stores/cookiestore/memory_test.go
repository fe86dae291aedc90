package cookiestore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
	"github.com/coatcheck/sessions/stores/cookiestore"
)

// The rules of Revocations, one step at a time.
func TestMemoryRevocations(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	m := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: clock.Now})
	id := core.ID{1}
	for i, step := range []struct {
		generation uint64
		first      bool
		ended      uint64
	}{
		{0, false, 0}, {1, true, 1}, {1, false, 1}, {0, false, 1}, {3, true, 3}, {2, false, 3},
		{cookiestore.AllGenerations, true, cookiestore.AllGenerations}, {4, false, cookiestore.AllGenerations},
	} {
		first, err := m.End(ctx, id, step.generation, clock.Now().Add(time.Hour))
		if first != step.first || err != nil {
			t.Errorf("step %d: End of %d: %t, %v", i, step.generation, first, err)
		}
		if ended, err := m.Ended(ctx, id); ended != step.ended || err != nil {
			t.Errorf("step %d: Ended: %d, %v, want %d", i, ended, err, step.ended)
		}
	}
	if ended, err := m.Ended(ctx, core.ID{2}); ended != 0 || err != nil {
		t.Errorf("Ended of another ID: %d, %v", ended, err)
	}
}

// Fails if an entry is moved in the heap without its index, if until can
// shrink, or if drop does not compare it with the clock: a model says what must
// be known and what must be gone.
func TestMemoryRevocationsAgainstAModel(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	m := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: clock.Now})
	type fact struct {
		generation uint64
		until      time.Time
	}
	model := map[core.ID]fact{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		clock.Advance(time.Duration(rng.IntN(1000)) * time.Millisecond)
		now := clock.Now()
		for id, f := range model {
			if !now.Before(f.until) {
				delete(model, id)
			}
		}
		id := core.ID{byte(rng.IntN(200)), 1}
		generation, until := uint64(rng.IntN(5)), now.Add(time.Duration(rng.IntN(100_000))*time.Millisecond)
		first, err := m.End(ctx, id, generation, until)
		f := model[id]
		if want := generation > f.generation; first != want || err != nil {
			t.Fatalf("End: %t, %v, want %t", first, err, want)
		}
		f.generation = max(f.generation, generation)
		if until.After(f.until) {
			f.until = until
		}
		model[id] = f
		// All that was over was dropped, for there is less than a batch of it.
		if m.Len() != len(model) {
			t.Fatalf("%d entries, want %d", m.Len(), len(model))
		}
		probe := core.ID{byte(rng.IntN(200)), 1}
		if got, _ := m.Ended(ctx, probe); got != model[probe].generation {
			t.Fatalf("Ended: %d, want %d", got, model[probe].generation)
		}
	}
}

// Fails without the check against the limit, or if a known session needs room.
func TestMemoryRevocationsAreBounded(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	const limit = 1000
	m := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{MaxEntries: limit, Clock: clock.Now})
	id := func(i int) core.ID { return core.ID{byte(i), byte(i >> 8), 1} }
	until := clock.Now().Add(time.Hour)
	for i := range limit {
		if _, err := m.End(ctx, id(i), 1, until); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.End(ctx, id(limit), 1, until)
	var full *cookiestore.FullError
	if !errors.As(err, &full) || full.Limit != limit || !errors.Is(err, core.ErrFull) {
		t.Errorf("End on a full list: %v", err)
	}
	if first, err := m.End(ctx, id(7), 2, until); !first || err != nil {
		t.Errorf("End of a session on a full list: %t, %v", first, err)
	}
	// All are over at once: each End drops a few, and none holds others up.
	clock.Advance(time.Hour)
	before := m.Len()
	for i := 0; m.Len() > 100; i++ {
		if _, err := m.End(ctx, id(limit+i), 1, clock.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		dropped := before + 1 - m.Len()
		if dropped < 2 || dropped > 64 {
			t.Fatalf("one call dropped %d of %d", dropped, before)
		}
		before = m.Len()
	}
}

// Fails without the mutex around End.
func TestMemoryRevocationsHaveOneFirst(t *testing.T) {
	m := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{})
	until := time.Now().Add(time.Hour)
	for i := range 50 {
		var firsts atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if first, _ := m.End(context.Background(), core.ID{1}, uint64(i+1), until); first {
					firsts.Add(1)
				}
				if ended, _ := m.Ended(context.Background(), core.ID{1}); ended != uint64(i+1) {
					t.Errorf("Ended after End of %d: %d", i+1, ended)
				}
			})
		}
		wg.Wait()
		if firsts.Load() != 1 {
			t.Fatalf("%d callers were the first", firsts.Load())
		}
	}
}

func TestMemoryRevocationsRefuseANegativeLimit(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, core.ErrConfig) {
			t.Errorf("got %v", err)
		}
	}()
	cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{MaxEntries: -1})
}

func BenchmarkMemoryRevocations(b *testing.B) {
	ctx, clock := b.Context(), newClock()
	m := cookiestore.NewMemoryRevocations(cookiestore.MemoryConfig{Clock: clock.Now})
	id := func(i int) core.ID { return core.ID{byte(i), byte(i >> 8), byte(i >> 16), 1} }
	for i := range 100_000 {
		m.End(ctx, id(i), 1, clock.Now().Add(time.Duration(i)*time.Second))
	}
	b.Run("Ended", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				m.Ended(ctx, id(i%200_000))
			}
		})
	})
	b.Run("End", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.End(ctx, id(i%200_000), 1, clock.Now().Add(24*time.Hour))
		}
	})
}
