package peers

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// One benchmark for each scenario, so that -bench S3 finds it. Sequential ones
// are meant for -cpu 1: with more, the collector works beside them.

func BenchmarkS1(b *testing.B)  { sequential(b, "S1") }
func BenchmarkS2(b *testing.B)  { sequential(b, "S2") }
func BenchmarkS3(b *testing.B)  { sequential(b, "S3") }
func BenchmarkS4(b *testing.B)  { sequential(b, "S4") }
func BenchmarkS5(b *testing.B)  { sequential(b, "S5") }
func BenchmarkS6(b *testing.B)  { sequential(b, "S6") }
func BenchmarkS6w(b *testing.B) { sequential(b, "S6w") }
func BenchmarkS6c(b *testing.B) { sequential(b, "S6c") }
func BenchmarkS8(b *testing.B)  { sequential(b, "S8") }
func BenchmarkS9(b *testing.B)  { sequential(b, "S9") }

// sequential runs a scenario on every column it applies to, one request after
// the other, all with the same session.
func sequential(b *testing.B, id string) {
	sc := FindScenario(id)
	for _, c := range Columns {
		if !sc.Applies(c) {
			continue
		}
		b.Run(c.Name(), func(b *testing.B) {
			ensure(b, c, sc)
			s := c.Open(sc.Setup())
			defer s.Close()
			cookie := ""
			if sc.With && c.Keeps != Bare {
				cookie = Filled(s)
			}
			client := s.Client(sc.Path)
			client.Present(cookie)
			measure(b, client, sc.Follow)
			if set := client.Cookie(); set != "" {
				cookie = set
			}
			if cookie != "" {
				b.ReportMetric(float64(len(cookie)), "cookie-B")
			}
		})
	}
}

// measure times a client.
func measure(b *testing.B, client Client, follow bool) {
	b.ReportAllocs()
	for b.Loop() {
		if status := client.Serve(); status != http.StatusOK {
			b.Fatalf("status %d", status)
		}
		if follow {
			client.Present(client.Cookie())
		}
	}
}

// checked remembers what was checked by this process.
var checked sync.Map

// ensure checks a column before it is timed.
func ensure(b *testing.B, c Column, sc Scenario) {
	b.Helper()
	key := c.Name() + sc.ID
	if _, done := checked.Load(key); done {
		return
	}
	if err := Check(c, sc.Setup()); err != nil {
		b.Fatalf("not timed, since it is not right: %v", err)
	}
	checked.Store(key, true)
}

// BenchmarkS7 has S7r and S7w of each column as r/ and w/, over the same
// sessions. Run it with -cpu 1,2.
func BenchmarkS7(b *testing.B) {
	for _, c := range Columns {
		if !FindScenario("S7r").Applies(c) {
			continue
		}
		b.Run(c.Name(), func(b *testing.B) {
			sc := FindScenario("S7r")
			ensure(b, c, sc)
			s := c.Open(sc.Setup())
			defer s.Close()
			cookies := populate(s, nil, sc.Sessions)
			b.Run("r", func(b *testing.B) { parallel(b, s, pathRead, cookies) })
			b.Run("w", func(b *testing.B) { parallel(b, s, pathCount, cookies) })
		})
	}
}

// parallel has every processor make requests, each with another session.
func parallel(b *testing.B, s Site, path string, cookies []string) {
	b.ReportAllocs()
	var seed atomic.Uint64
	var failed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		client := s.Client(path)
		next := dice{seed.Add(1)}
		for pb.Next() {
			client.Present(cookies[next.roll(len(cookies))])
			if client.Serve() != http.StatusOK {
				failed.Add(1)
			}
		}
	})
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d requests failed", n)
	}
}

// dice are pseudo-random numbers that cost next to nothing.
type dice struct{ state uint64 }

func (d *dice) roll(n int) int {
	d.state = d.state*6364136223846793005 + 1442695040888963407
	return int((d.state >> 33) % uint64(n))
}

// populate makes sessions until there are n, on all processors, and returns
// the cookies of all.
func populate(s Site, cookies []string, n int) []string {
	have := len(cookies)
	cookies = append(cookies, make([]string, n-have)...)
	var wg sync.WaitGroup
	var at atomic.Int64
	at.Store(int64(have))
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			client := s.Client(pathFill)
			for {
				i := int(at.Add(1)) - 1
				if i >= n {
					return
				}
				if client.Serve() != http.StatusOK {
					panic("peers: cannot make a session")
				}
				cookies[i] = client.Cookie()
			}
		})
	}
	wg.Wait()
	return cookies
}
