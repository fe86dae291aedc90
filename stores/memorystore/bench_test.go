package memorystore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coatcheck/sessions/core"
)

// valueBytes is what five ordinary values take encoded.
const valueBytes = 200

func benchRecord(i int, user string, now time.Time) core.Record {
	return core.Record{
		ID: makeID(i), Version: 1, Generation: 1, Proof: [32]byte{1}, User: user,
		CreatedAt: now, LastAccess: now, ExpiresAt: now.Add(30 * time.Minute),
		IdleTimeout: 30 * time.Minute, Deadline: now.Add(24 * time.Hour), Horizon: now.Add(24 * time.Hour),
		Values: make([]byte, valueBytes),
	}
}

func benchUser(i int, loggedIn bool) string {
	if !loggedIn {
		return ""
	}
	return fmt.Sprintf("user-%d", i)
}

// filled returns a store with n sessions and their IDs. It needs no Close: its
// timer does not keep it.
func filled(b testing.TB, n int, loggedIn bool, cfg Config) (*Store, []core.ID) {
	s := New(cfg)
	now := s.clock()
	ids := make([]core.ID, n)
	for i := range ids {
		rec := benchRecord(i, benchUser(i, loggedIn), now)
		ids[i] = rec.ID
		if err := s.Create(b.Context(), rec); err != nil {
			b.Fatal(err)
		}
	}
	return s, ids
}

func BenchmarkVerbs(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			s, ids := filled(b, n, false, Config{MaxSessions: 10_000_000, MaxBytes: 1 << 40})
			ctx, now := b.Context(), time.Now()
			var seed atomic.Uint64
			parallel := func(b *testing.B, verb func(core.ID) error) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					r := rand.New(rand.NewPCG(seed.Add(1), 2))
					for pb.Next() {
						if err := verb(ids[r.IntN(len(ids))]); err != nil && err != core.ErrConflict {
							b.Fatal(err)
						}
					}
				})
			}
			b.Run("Load", func(b *testing.B) {
				parallel(b, func(id core.ID) error { _, err := s.Load(ctx, id); return err })
			})
			b.Run("LoadUpdate", func(b *testing.B) {
				parallel(b, func(id core.ID) error {
					rec, err := s.Load(ctx, id)
					if err != nil {
						return err
					}
					rec.Version++
					rec.LastAccess = rec.LastAccess.Add(time.Millisecond)
					return s.Update(ctx, rec)
				})
			})
			b.Run("Touch", func(b *testing.B) {
				parallel(b, func(id core.ID) error { return s.Touch(ctx, id, now, now.Add(time.Hour)) })
			})
			b.Run("CreateDelete", func(b *testing.B) {
				b.ReportAllocs()
				var next atomic.Int64
				next.Store(int64(n))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						rec := benchRecord(int(next.Add(1)), "", now)
						rec.Values = ids[0][:]
						if err := s.Create(ctx, rec); err != nil {
							b.Fatal(err)
						}
						s.Delete(ctx, rec.ID)
					}
				})
			})
		})
	}
}

// BenchmarkFlood creates anonymous sessions in a store that is full of them.
func BenchmarkFlood(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			s, _ := filled(b, n, false, Config{MaxSessions: n})
			ctx, now := b.Context(), time.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				rec := benchRecord(n+i, "", now.Add(time.Duration(i)*time.Millisecond))
				if err := s.Create(ctx, rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports what a session takes beside its values, and how long
// a full garbage collection is.
func BenchmarkMemory(b *testing.B) {
	for _, loggedIn := range []bool{false, true} {
		for _, n := range []int{100_000, 1_000_000} {
			b.Run(fmt.Sprintf("users=%v/sessions=%d", loggedIn, n), func(b *testing.B) {
				for b.Loop() {
					var before, after runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&before)
					s, _ := filled(b, n, loggedIn, Config{MaxSessions: n})
					runtime.GC()
					runtime.ReadMemStats(&after)
					start := time.Now()
					runtime.GC()
					gc := time.Since(start)
					b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n)-valueBytes, "B/session")
					b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/float64(n)-1, "objects/session")
					b.ReportMetric(float64(gc.Microseconds())/1000, "ms/GC")
					stats := s.Stats()
					b.ReportMetric(float64(stats.Bytes)/float64(stats.Sessions)-valueBytes, "counted-B/session")
					runtime.KeepAlive(s)
				}
			})
		}
	}
}

// BenchmarkExpiry reports the longest that a Load waits while a million
// sessions that expired together are removed, and while nothing is.
func BenchmarkExpiry(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		b.StopTimer()
		var clock atomic.Int64
		clock.Store(time.Now().UnixNano())
		s, _ := filled(b, n, true, Config{MaxSessions: n + 1000, SweepInterval: time.Hour, Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
		later := time.Unix(0, clock.Load()).Add(time.Hour)
		ids := make([]core.ID, 1000)
		for i := range ids {
			rec := benchRecord(n+i, "", later)
			ids[i] = rec.ID
			if err := s.Create(b.Context(), rec); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		quiet := longest(s, ids, func() { time.Sleep(time.Second) })
		clock.Store(later.UnixNano())
		b.StartTimer()
		busy := longest(s, ids, s.sweep)
		if got := s.Stats().Sessions; got != len(ids) {
			b.Fatalf("%d sessions left", got)
		}
		b.ReportMetric(float64(quiet.Microseconds())/1000, "ms-max-quiet")
		b.ReportMetric(float64(busy.Microseconds())/1000, "ms-max-sweep")
	}
}

// longest returns the longest Load while work runs.
func longest(s *Store, ids []core.ID, work func()) (most time.Duration) {
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		for i := 0; !done.Load(); i++ {
			start := time.Now()
			s.Load(context.Background(), ids[i%len(ids)])
			most = max(most, time.Since(start))
		}
	})
	work()
	done.Store(true)
	wg.Wait()
	return most
}
