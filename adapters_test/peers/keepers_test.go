package peers

import (
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"
)

// million is how many sessions the benchmarks of memory, growth and sweeps go
// up to. Most of their time goes into making them.
var million = flag.Int("sessions", 1_000_000, "how many sessions BenchmarkGrowth and BenchmarkSweep go up to")

// BenchmarkGrowth fills a store step by step, and at each step times S3 and S4
// on sessions picked at random. At the last it reports the memory that a
// session takes and times a full collection of garbage.
func BenchmarkGrowth(b *testing.B) {
	for _, column := range Keepers {
		b.Run(column, func(b *testing.B) {
			c := FindColumn(column)
			ensure(b, c, FindScenario("S3"))
			before := heap()
			s := c.Open(Setup{Content: Small})
			defer s.Close()
			var cookies []string
			for n := 1000; n <= *million; n *= 10 {
				cookies = populate(s, cookies, n)
				at := fmt.Sprintf("sessions=%d/", n)
				b.Run(at+"S3", func(b *testing.B) { shuffled(b, s.Client(pathRead), cookies) })
				b.Run(at+"S4", func(b *testing.B) { shuffled(b, s.Client(pathCount), cookies) })
			}
			n, one := float64(len(cookies)), cookies[0]
			cookies = nil
			after := heap()
			at := fmt.Sprintf("sessions=%.0f/", n)
			b.Run(at+"memory", func(b *testing.B) {
				for b.Loop() {
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/session")
				b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/n, "objects/session")
				b.ReportMetric(0, "ns/op")
			})
			b.Run(at+"collection", func(b *testing.B) {
				for b.Loop() {
					runtime.GC()
				}
			})
			// The store must be alive until here.
			c2 := s.Client(pathRead)
			c2.Present(one)
			if c2.Serve() != http.StatusOK {
				b.Fatal("a session was lost")
			}
		})
	}
}

// shuffled is measure, each request with another session.
func shuffled(b *testing.B, client Client, cookies []string) {
	b.ReportAllocs()
	next := dice{1}
	for b.Loop() {
		client.Present(cookies[next.roll(len(cookies))])
		if status := client.Serve(); status != http.StatusOK {
			b.Fatalf("status %d", status)
		}
	}
}

// heap returns what is in use, after a collection.
func heap() runtime.MemStats {
	runtime.GC()
	runtime.GC() // the first may have to finish what another began
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

// BenchmarkSweep has one client read a session again and again, one request
// after the other, while the sessions of all others are there, and while they
// expire and are removed. It reports how long those requests took: quiet,
// then sweep.
func BenchmarkSweep(b *testing.B) {
	for _, w := range Sweeps {
		b.Run(w.Name, func(b *testing.B) {
			s, reader, expire := w.Fill(*million)
			defer s.Close()
			var times []int64
			watch := func(d time.Duration) {
				times = make([]int64, 0, 16<<20)
				runtime.GC()
				for end := time.Now().Add(d); ; {
					begin := time.Now()
					if !begin.Before(end) || len(times) == cap(times) {
						return
					}
					if status := reader.Serve(); status != http.StatusOK {
						b.Fatalf("status %d", status)
					}
					times = append(times, int64(time.Since(begin)))
				}
			}
			report := func(b *testing.B) {
				slices.Sort(times)
				at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))]) }
				for b.Loop() {
				}
				b.ReportMetric(0, "ns/op")
				for _, q := range Quantiles {
					b.ReportMetric(at(q.At), q.Unit)
				}
			}
			watch(sweepWatch)
			b.Run("quiet", report)
			before := heap().HeapObjects
			watch(expire())
			if left := heap().HeapObjects; *million >= 100_000 && left > before*3/4 {
				b.Fatalf("nothing was swept: %d objects before, %d after", before, left)
			}
			b.Run("sweep", report)
		})
	}
}
